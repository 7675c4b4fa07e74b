"""Single images: their orientation, their shape, and the memory that they take."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from pictures import noise
from PIL import Image, ImageOps
from torchvision.transforms import functional

from msr.data import RENDERED, dsprites, files, trifeature


def squashed(path, size):
    """The whole image, resized to a square."""
    with Image.open(path) as file:
        file.draft("RGB", (size, size))
        image = files.rgb(file)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3)
    return functional.pil_to_tensor(image)


# ------------------------------------------------------------------------------------ orientation


def oriented(path, image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_an_image_is_turned_as_its_exif_says(tmp_path, orientation, suffix):
    path = tmp_path / f"a{suffix}"
    oriented(path, noise(0, (90, 50)), orientation)
    with Image.open(path) as file:
        ImageOps.exif_transpose(file).save(tmp_path / "upright.png")
    upright, aspect, _ = files.decode(str(tmp_path / "upright.png"), 50)
    found = files.decode(str(path), 50)
    assert torch.equal(found[0], upright) and found[1] == aspect


def test_a_large_jpeg_is_turned_after_it_was_read_at_a_lower_scale(tmp_path):
    """The top half of the scene is white; the camera stored it on the left."""
    pixels = np.zeros((1000, 1200, 3), dtype=np.uint8)
    pixels[:, :600] = 255
    oriented(tmp_path / "a.jpg", Image.fromarray(pixels), 6)  # turn by 90 degrees clockwise
    decoded = files.decode(str(tmp_path / "a.jpg"), 32)[0]
    assert decoded[:, :14].min() > 200 and decoded[:, 18:].max() < 50


def test_a_damaged_exif_block_is_ignored(tmp_path):
    noise(0).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x07")
    noise(0).save(tmp_path / "b.jpg")
    a, b = (files.decode(str(tmp_path / name), 16)[0] for name in ("a.jpg", "b.jpg"))
    assert torch.equal(a, b)


# ------------------------------------------------------------------------------ shapes and memory


@pytest.mark.parametrize("shape", [(20, 24), (300, 200), (201, 800), (640, 481)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_whole_image_is_squashed_and_its_shape_is_told(tmp_path, shape, suffix):
    path = str(tmp_path / f"a.{suffix}")
    noise(1, shape).save(path)
    for size in (18, 73, 256):
        pixels, aspect, _ = files.decode(path, size)
        assert torch.equal(pixels, squashed(path, size)) and aspect == shape[1] / shape[0]


MEASURE = """
import resource, sys
from msr.data import dsprites, files
import torch
def peak():
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kept / 2 ** (20 if sys.platform == "darwin" else 10)
start = peak()
files.decode(sys.argv[1], 256)
image = peak()
n = 30_000
masks = torch.zeros(1, 32, 32, dtype=torch.uint8).expand(n, -1, -1)
dsprites.images(dsprites.values_of(dsprites.classes_of(torch.arange(n))), masks=masks)
print(image - start, peak() - image, n * 3 * 32**2 / 2**20)
"""


def test_memory_of_a_long_image_and_of_sprites(tmp_path):
    """A long image is not enlarged as a whole; sprites take the memory of their pixels once."""
    noise(0, (8, 20_000)).save(tmp_path / "a.png")
    run = [sys.executable, "-c", MEASURE, str(tmp_path / "a.png")]
    out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    image, sprites, pixels = map(float, out.split())  # MiB
    assert image < 50 and sprites < 1.5 * pixels


@pytest.mark.parametrize("name", RENDERED)
def test_no_images_are_rendered_as_none(name):
    for split in RENDERED[name](n_train=0, n_val=0, size=24, seed=1):
        assert split.pixels.shape == (0, 3, 24, 24) and split.pixels.dtype == torch.uint8
    assert len(trifeature.images(trifeature.sample(0, 0), 24)) == 0
    assert dsprites.render(dsprites.values_of(dsprites.classes_of(torch.arange(0)))).shape[0] == 0

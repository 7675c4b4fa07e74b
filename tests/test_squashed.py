"""Photographs of any shape: crops are of the whole image, as torchvision's, and nothing is bent."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

import msr
from msr import evaluate
from msr.augment import ColorJitter, Normalise, Pipeline, ResizedCrop, Rotation, pipelines
from msr.data import files
from msr.data.images import Batches
from msr.data.squashed import Squashed
from msr.views import Views

SHAPES = ((60, 90), (90, 60), (64, 64), (40, 120))  # heights and widths


def smooth(height, width):
    """A picture without fine detail, so that resampling twice loses little."""
    y, x = np.mgrid[0:height, 0:width] / 30
    waves = [np.sin(x + k) * np.cos(y * (1 + k / 3) - k) for k in range(3)]
    return Image.fromarray(((np.stack(waves, 2) + 1) * 127).astype(np.uint8))


def squashed(picture, side=80):
    pixels, aspect, _ = files.decode(picture, side)
    return Squashed(pixels[None], torch.tensor([aspect]))


def close(view, wanted):
    assert (view - wanted).abs().mean() < 0.01 and (view - wanted).abs().max() < 0.06


@pytest.mark.parametrize("height, width", SHAPES)
def test_a_crop_is_that_of_the_photograph(height, width):
    picture, crop = smooth(height, width), ResizedCrop(32, scale=(0.2, 0.9))
    images, original = squashed(picture), functional.to_tensor(picture)
    views = Views(Pipeline([crop]))
    for seed in range(5):
        (made,) = views.apply(images, [views.sample(torch.Generator().manual_seed(seed), 1, 80)[0]])
        params = crop.sample(torch.Generator().manual_seed(seed), 1, 80)
        box = crop.box(params | {"aspect": images.aspect})[0] * torch.tensor([height, width] * 2)
        top, left, h, w = (round(float(value)) for value in box)
        # torchvision cuts at whole pixels: compare at these
        corners = torch.tensor([[top / height, left / width, h / height, w / width]])
        mine = msr.augment.spatial.cut(images.pixels / 255, corners, 32)[0]
        close(mine, functional.resized_crop(original, top, left, h, w, [32, 32], antialias=True))
        assert (made[0] - mine).abs().mean() < 0.05


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.5, 4.0])
def test_area_and_ratio_are_those_in_the_photograph(aspect):
    crop, n = ResizedCrop(32, scale=(0.08, 0.15)), 2000
    params = crop.sample(torch.Generator().manual_seed(0), n, 80)
    top, left, height, width = crop.box(params | {"aspect": torch.full((n,), aspect)}).unbind(1)
    area, ratio = height * width, aspect * width / height
    assert area.min() > 0.0799 and area.max() < 0.1501
    assert ratio.min() > 0.7499 and ratio.max() < 1.3334
    assert ratio.log().mean().abs() < 0.02 and abs(float(area.mean()) - 0.115) < 0.002
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 1.0001 and (left + width).max() <= 1.0001
    # every part of the image is reached, not only its centre square
    assert left.min() < 0.01 and (left + width).max() > 0.99 and top.min() < 0.01


@pytest.mark.parametrize("height, width", SHAPES)
def test_the_plain_view_is_the_centre_square(height, width):
    picture = smooth(height, width)
    side = min(height, width)
    middle = functional.center_crop(functional.to_tensor(picture), [side, side])
    wanted = functional.resize(middle, [32, 32], antialias=True)
    images = squashed(picture)
    for first in (ResizedCrop(32), ColorJitter()):  # with a crop, and with no crop at all
        pipeline = Pipeline([first])
        plain = evaluate.plain(pipeline, 1)
        x, params = pipeline.unsquash(images.pixels / 255, plain, images.aspect)
        view = pipeline.apply(x, params)[0]
        close(functional.resize(view, [32, 32], antialias=True), wanted)
    close(msr.weights.pictures._square(images, 32)[0], wanted)


def test_a_rotation_before_the_crop_turns_a_square():
    """Turning a squashed image would bend it."""
    pipeline = Pipeline([Rotation(90), ResizedCrop(16), Normalise()])
    images = squashed(smooth(40, 120))
    params = pipeline.sample(torch.Generator().manual_seed(0), 1, 80)
    x, own = pipeline.unsquash(images.pixels / 255, params, images.aspect)
    assert x.shape[-1] == 80 and float(own["crop"]["aspect"]) == 1.0
    middle = functional.center_crop(functional.to_tensor(smooth(40, 120)), [40, 40])
    close(x[0], functional.resize(middle, [80, 80], antialias=True))


def test_square_images_are_as_before():
    x = torch.randint(0, 256, (6, 3, 24, 24), dtype=torch.uint8)
    views = Views(*pipelines("medium", 16), ("appearance", "spatial"))
    plain = views(x, torch.Generator().manual_seed(3))
    assert torch.equal(plain, views(Squashed(x, torch.ones(6)), torch.Generator().manual_seed(3)))


@pytest.fixture()
def wide(tmp_path):
    """Photographs three times as wide as high; the left quarter alone is red."""
    for split, n in (("train", 20), ("val", 20)):
        (tmp_path / split).mkdir()
        for i in range(n):
            x = np.full((32, 96, 3), 60 + i, np.uint8)
            x[:, :24] = (255, 0, 0)
            Image.fromarray(x).save(tmp_path / split / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("in_memory", [True, False])
def test_training_sees_the_whole_photograph(wide, in_memory, monkeypatch):
    if not in_memory:
        monkeypatch.setattr(msr.data.images, "AT_ONCE", 0)
    train, _ = msr.load_images(wide, 16)
    assert (train.pixels is not None) == in_memory
    views = Views(Pipeline([ResizedCrop(16, scale=(0.05, 0.2))]))
    (batch,) = Batches(train, 20).epoch(0)
    assert torch.equal(batch.aspect, torch.full((20,), 3.0))
    made = views(batch, torch.Generator().manual_seed(0))[0]  # [B, 3, S, S]
    red = (made[:, 0] > 0.9) & (made[:, 1] < 0.1)
    assert 3 < red.flatten(1).all(dim=1).sum() + red.flatten(1).any(dim=1).sum() < 30
    # to look at, the centre square as it was: without the red quarter
    seen = train.fetch(torch.arange(3))
    assert seen.shape == (3, 3, *[train.side] * 2) and seen[:, 1].min() > 50


def test_probes_know_the_shapes(wide, monkeypatch):
    """The targets of a crop are shares of the photograph, in memory and in files alike."""
    views = Views(*pipelines("medium", 16), ("appearance", "spatial"))
    net, features = msr.backbone("cnn", 16, width=4)
    model = msr.MultiSpace(net, features, msr.Spaces.of(views.groups, (4, 2, 2)), (8,))
    found = []
    for most in (10**6, 0):
        monkeypatch.setattr(msr.data.images, "AT_ONCE", most)
        found.append(evaluate.style.drawn(model, views, msr.load_images(wide, 16)[1], 1))
    for name, value in found[0].targets.items():
        assert np.array_equal(value, found[1].targets[name]), name
    assert all(np.array_equal(found[0].view[s], found[1].view[s]) for s in found[0].view)
    square = evaluate.style.drawn(model, views, msr.load_images(wide, 16)[1].decoded().loaded, 1)
    ratio = found[0].targets["crop_size"] / square.targets["crop_size"]
    assert not np.allclose(found[0].targets["crop_x"], square.targets["crop_x"])
    assert np.all(ratio < 1 + 1e-6), "boxes that are too long for the photograph are cut"

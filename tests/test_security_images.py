"""Image files from strangers: read in bounded memory, without hanging, or refused by name.

SECURITY.md names these tests.
"""

import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
import torch
from hostile import chunk, claiming, folder, guarded, png, reasons
from pictures import blob, noise
from PIL import Image

from msr import data, safe
from msr.data import files

GOOD = blob(noise(0), "PNG")


def read(content):
    """Why bytes are not read as an image; "" if they are."""
    try:
        files.decode(io.BytesIO(content), 16)
    except Exception as error:
        return safe.line(error)
    return ""


# ---------------------------------------------------------------------------------- image files


def test_pipes_sockets_and_devices_are_skipped(tmp_path, monkeypatch):
    root = folder(tmp_path / "d")
    os.mkfifo(root / "pipe.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    (root / "loop.jpg").symlink_to("loop.jpg")
    monkeypatch.chdir(root)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as end, guarded():
        end.bind("socket.jpg")
        train, val = data.load(root, 16, max_bad=0.5)
    assert len(train) + len(val) == 30
    why = reasons(train)
    assert set(why) == {"pipe.jpg", "zero.jpg", "loop.jpg", "socket.jpg"}
    assert all("not a regular file" in why[n] for n in ("pipe.jpg", "zero.jpg", "socket.jpg"))


def test_links_are_followed_to_images_alone(tmp_path):
    """Links to a folder are followed once each; nothing but images in it is opened."""
    root = folder(tmp_path / "d")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.txt").write_text("secret")
    os.mkfifo(tmp_path / "other" / "pipe")
    (tmp_path / "other" / "more.png").write_bytes(blob(noise(99), "PNG"))
    for name in ("one", "two"):
        (root / name).symlink_to(tmp_path / "other")
    (root / "up").symlink_to(tmp_path)
    (root / "passwords").symlink_to("/etc/passwd")
    with guarded():
        listing = files.index(root)
    assert sum(map(len, listing.values())) == 31


@pytest.mark.parametrize("side", [12_000, 50_000])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG", "PPM"])
def test_decompression_bombs(kind, side):
    """More pixels than Pillow's limit are refused from the header; Pillow itself would warn."""
    side = min(side, 16_000) if kind == "WEBP" else side
    with guarded():
        why = read(claiming(kind, side))
    assert "pixels" in why and ("more than" in why or "exceeds limit" in why), why


def test_the_smallest_webp_files_have_a_canvas_too():
    """A picture of one colour without loss may have 26 bytes."""
    bits = (16383 - 1) | (10900 - 1) << 14
    body = b"\x2f" + bits.to_bytes(4, "little") + b"\x88"
    chunk = b"VP8L" + len(body).to_bytes(4, "little") + body
    content = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    assert len(content) == 26
    with guarded():
        assert read(content) == "16383 × 10900 pixels, more than 89,478,485"


WEBP = {b"VP8 ": {}, b"VP8L": {"lossless": True}, b"VP8X": {"exif": b"Exif\0\0II"}}


@pytest.mark.parametrize("form", WEBP)
def test_the_canvas_of_a_webp_is_known_before_pillow_takes_memory_for_it(form, monkeypatch):
    """Pillow takes 8 bytes a pixel as it opens one: 2 GiB for a file of a few bytes."""
    out = io.BytesIO()
    noise(0, (17, 31)).save(out, "WEBP", **WEBP[form])
    content = out.getvalue()
    assert content[12:16] == form
    assert safe._canvas(io.BytesIO(content)) == (31, 17)
    assert read(content) == ""
    file = io.BytesIO(b"other" + content)
    file.seek(5)
    assert safe._canvas(file) == (31, 17) and file.tell() == 5
    monkeypatch.setattr(safe, "PIXELS", 500)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow opened it"))
    assert read(content) == "31 × 17 pixels, more than 500"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "CMYK", "LA"])
def test_an_image_takes_at_most_24_bytes_a_pixel(mode):
    sides = 2000, 2000
    flat = Image.new("L" if mode == "I;16" else mode, sides)
    if mode == "I;16":
        flat = Image.fromarray(np.zeros(sides, dtype=np.uint16))
    out = io.BytesIO()
    more = {"transparency": 0} if mode == "P" else {}
    flat.save(out, "TIFF" if mode == "CMYK" else "PNG", **more)
    with guarded(24 * 2000 * 2000 / 2**20 + 8):
        assert read(out.getvalue()) == ""


def test_compressed_texts_and_profiles_are_bounded():
    """128 MiB in a chunk of 128 KiB, as a text and as a colour profile."""
    bomb = zlib.compress(bytes(2**27))
    for kind in (chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb)):
        with guarded():
            assert "Decompressed" in read(png(24, kind))


def test_of_an_animation_the_first_frame_is_read():
    out = io.BytesIO()
    frames = [noise(i, (20, 20)) for i in range(50)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    first, *_ = files.decode(io.BytesIO(out.getvalue()), 20)
    alone, *_ = files.decode(io.BytesIO(blob(frames[0], "GIF")), 20)
    assert torch.equal(first, alone)


def test_a_tag_that_claims_four_gigabytes():
    whole = bytearray(blob(noise(0), "TIFF"))
    first = struct.unpack_from("<I", whole, 4)[0]
    struct.pack_into("<HHII", whole, first + 2, 34675, 7, 2**32 - 1, 8)  # instead of the width
    with guarded():
        assert read(bytes(whole)) != ""


def test_only_image_formats_are_read():
    """Pillow would start Ghostscript for this one."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
    assert Image.open(io.BytesIO(eps)).format == "EPS"
    assert read(eps).startswith("cannot identify image file")


def test_a_file_larger_than_an_image(tmp_path):
    root = folder(tmp_path / "d")
    with open(root / "huge.png", "wb") as file:
        file.truncate(10 * 2**30)  # takes no place on the disk
    with guarded():
        train, _ = data.load(root, 16)
    assert reasons(train) == {"huge.png": "10,737,418,240 bytes, more than 268,435,456"}


@pytest.mark.parametrize("workers", [0, 1])
def test_names_of_any_characters_in_messages(tmp_path, workers):
    """A line break, an escape sequence, a byte that is not UTF-8."""
    for i in range(20):
        (tmp_path / os.fsdecode(b"%d\n\x1b[31mred\xff.png" % i)).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"20 files|of 20 files|18 files") as error:
        data.load(tmp_path, 16, num_workers=workers)
    assert str(error.value).isprintable() and "??[31mred?.png" in str(error.value)

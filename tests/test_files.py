"""The index of many files, and files in folders that are no images."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import blob, by_pixels, noise
from PIL import Image
from small import imagenet_setup

from msr import data
from msr.data import Batches, files, folders, images, places
from msr.experiments import imagenet

# Twelve kinds of files: broken ones, which are skipped, and unusual ones, which are read in RGB.
SKIPPED = (
    "truncated.jpg",
    "corrupt.png",
    "empty.jpg",
    "text.jpg",
    "pixel.png",
    "bomb.png",
    "dangling.jpg",
)
CONVERTED = {
    "L": "grey.jpg",
    "CMYK": "cmyk.jpg",
    "RGBA": "alpha.png",
    "P": "palette.png",
    "I;16": "deep.png",
}


def unusual(folder: Path):
    """Write the files named above."""
    good = blob(noise(0))
    png = bytearray(blob(noise(0), "PNG"))
    png[len(png) // 2] ^= 255
    contents = {
        "truncated.jpg": good[: len(good) // 2],
        "corrupt.png": bytes(png),
        "empty.jpg": b"",
        "text.jpg": b"hello\nworld",
        "pixel.png": blob(Image.new("RGB", (1, 1)), "PNG"),
        "bomb.png": bomb(),
        "grey.jpg": blob(noise(1).convert("L")),
        "cmyk.jpg": blob(noise(2).convert("CMYK")),
        "alpha.png": blob(noise(3).convert("RGBA"), "PNG"),
        "palette.png": blob(noise(4).convert("P"), "PNG"),
        "deep.png": blob(Image.fromarray(np.full((20, 20), 40000, dtype=np.uint16)), "PNG"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()  # not a file, whatever its name


def bomb():
    """A PNG that claims to have 10¹⁰ pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + checksum + b"\0" * 12


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """240 files in two classes, 5 % of them broken or unusual (7 + 5 of 240)."""
    root = tmp_path_factory.mktemp("dirty")
    for name in ("a", "b"):
        (root / name).mkdir()
    unusual(root / "b")
    for i in range(240 - len(SKIPPED) - len(CONVERTED)):
        noise(i).save(root / "ab"[i % 2] / f"{i:03d}.png")
    return root


# ---------------------------------------------------------------------------------- dirty folders


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("memory", [images.IN_MEMORY, 0])
def test_each_file_is_skipped_or_read_and_named(dirty, monkeypatch, workers, memory):
    monkeypatch.setattr(images, "IN_MEMORY", memory)
    train, val = data.load(dirty, 16, num_workers=workers)
    if memory:
        assert len(train) + len(val) == 240 - len(SKIPPED)
        assert len(train.labels["class"]) + len(val.labels["class"]) == 240 - len(SKIPPED)
    else:
        assert len(train) + len(val) == 240
        list(Batches(train, 24, num_workers=workers).epoch(0))
        val.decoded(workers)
    met = train.inspection
    reasons = {Path(name).name: reason for name, reason in met.skipped.items()}
    kinds = {kind: {Path(name).name for name in names} for kind, names in met.converted.items()}
    assert set(reasons) == set(SKIPPED) and met.total == 240
    assert kinds == {kind: {name} for kind, name in CONVERTED.items()}
    assert "1 × 1 pixels" in reasons["pixel.png"]
    assert met.summary().startswith(
        "7 of 240 files could not be read and were skipped; converted to RGB: 1 CMYK, 1 I;16, 1 L"
    )


def test_labels_stay_with_their_images(dirty):
    """In memory, the label of a skipped file is dropped with it."""
    train, val = data.load(dirty, 24)
    for split in (train, val):
        again = by_pixels(split)
        for c, name in enumerate("ab"):
            for path in (dirty / name).glob("[0-9]*.png"):
                key = files.decode(str(path), train.pixels.shape[-1])[0].numpy().tobytes()
                assert again.get(key, c) == c


@pytest.mark.parametrize("workers", [0, 2])
def test_training_on_a_dirty_folder_finishes(dirty, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(imagenet, "MIN_VAL", 5)
    setup = imagenet_setup(
        data_dir=str(dirty),
        max_images=0,
        epochs=2,
        out_dir=str(tmp_path),
        num_workers=workers,
    )
    setup.probe(setup.fit(0))
    trained = json.loads((tmp_path / "spaces_seed0" / "files.json").read_text())
    written = json.loads((tmp_path / "files.json").read_text())  # with those of the probes
    assert {Path(name).name for name in written["skipped"]} == set(SKIPPED)
    assert trained["skipped"].items() <= written["skipped"].items()
    converted = {Path(entry["first"][0]).name for entry in written["converted"].values()}
    assert converted == set(CONVERTED.values())


def test_what_was_skipped_is_remembered(tmp_path):
    """A run that is resumed or only loaded does not meet the files again."""
    record = files.Inspection(total=9, max_bad=1)
    record.add(3, [("a", "", "broken"), ("b", "L", ""), ("c", "L", "")])
    record.write(tmp_path / "files.json")
    later = files.Inspection(total=9, max_bad=1)
    later.add(1, [("d", "", "empty"), ("b", "L", "")])
    later.write(tmp_path / "files.json")
    written = json.loads((tmp_path / "files.json").read_text())
    assert written["skipped"] == {"a": "broken", "d": "empty"}
    assert written["converted"]["L"] == {"files": 2, "first": ["b", "c"]}
    (tmp_path / "files.json").write_text("[" * 10**5)
    later.write(tmp_path / "files.json")
    assert json.loads((tmp_path / "files.json").read_text())["skipped"] == {"d": "empty"}


def test_a_substitute_is_the_same_for_every_number_of_workers(dirty, monkeypatch):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    train, _ = data.load(dirty, 16)
    a, b = (list(Batches(train, 24, num_workers=workers).epoch(0)) for workers in (0, 2))
    assert torch.equal(torch.cat([x.pixels for x in a]), torch.cat([x.pixels for x in b]))


@pytest.mark.parametrize("memory", [images.IN_MEMORY, 0])
def test_too_many_bad_files_end_the_run_in_one_line(tmp_path, monkeypatch, memory):
    monkeypatch.setattr(images, "IN_MEMORY", memory)
    for i in range(100):
        (tmp_path / f"{i}.jpg").write_bytes(b"no" if i % 4 == 0 else blob(noise(i)))
    says = (
        r"of 100 files cannot be read, more than max_bad = 0.1 of the 100 looked at: "
        r".*\.jpg .cannot identify.*give a larger max_bad"
    )
    with pytest.raises(ValueError, match=says) as error:
        list(Batches(data.load(tmp_path, 16)[0], 30, num_workers=1).epoch(0))
    assert "\n" not in str(error.value)
    assert len(list(Batches(data.load(tmp_path, 16, max_bad=0.3)[0], 30).epoch(0))) >= 2


def test_a_folder_without_a_readable_file(tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(b"no")
    with pytest.raises(ValueError, match="none of 18 files can be read, such as .*jpg"):
        data.load(tmp_path, 16)


def test_modes_keep_their_brightness(tmp_path):
    unusual(tmp_path)
    deep, *_ = files.decode(str(tmp_path / "deep.png"), 16)
    assert abs(int(deep.float().mean()) - 40000 / 257) < 1, "16 bits are scaled"
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    clear, *_ = files.decode(str(tmp_path / "clear.png"), 16)
    assert clear.min() == 255, "transparency shows white"


# -------------------------------------------------------------------------------------- the index


def listed(root):
    return folders.sources(places.Place(str(root), "data_dir")).source.names


def relative(root):
    return [os.path.relpath(path, root) for path in listed(root)]


def count(monkeypatch):
    """The calls of `scan`, of which each reads a whole tree."""
    calls, scan = [], files.scan
    monkeypatch.setattr(files, "scan", lambda root: calls.append(root) or scan(root))
    monkeypatch.setattr(files, "SETTLED", 0)
    return calls


def test_the_index_is_read_once_and_again_after_a_change(dirty, tmp_path, monkeypatch):
    root, calls = tmp_path / "d", count(monkeypatch)
    (root / "a" / "deep").mkdir(parents=True)
    (root / "b").mkdir()
    for name in ("a/2.png", "a/1.png", "a/deep/0.png", "b/x.png"):
        noise(0).save(root / name)
    first = list(listed(root))
    assert relative(root) == ["a/1.png", "a/2.png", "a/deep/0.png", "b/x.png"]
    assert list(listed(root)) == first and len(calls) == 1, "from the cache, in the same order"
    changes = [
        lambda: noise(0).save(root / "a/deep/9.png"),
        lambda: (root / "b/x.png").rename(root / "b/y.png"),
        lambda: (root / "a/1.png").unlink(),
        lambda: (root / "c").mkdir(),
    ]
    for n, change in enumerate(changes, start=2):
        change()
        listed(root)
        assert len(calls) == n, n
    assert relative(root) == ["a/2.png", "a/deep/0.png", "a/deep/9.png", "b/y.png"]


def test_a_folder_that_changed_just_now_is_read_again(tmp_path, monkeypatch):
    calls = count(monkeypatch)
    monkeypatch.setattr(files, "SETTLED", 10**12)
    noise(0).save(tmp_path / "a.png")
    listed(tmp_path), listed(tmp_path)
    assert len(calls) == 2


@pytest.mark.parametrize("harm", ["garbage", "no folder"])
def test_without_a_usable_cache_the_folder_is_read(tmp_path, monkeypatch, harm):
    home = str(tmp_path / "cache") if harm == "garbage" else "/proc/nowhere"
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    (tmp_path / "d").mkdir()
    noise(0).save(tmp_path / "d" / "a.png")
    assert len(listed(tmp_path / "d")) == 1
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text('{"folders": [3')
    assert len(listed(tmp_path / "d")) == 1


def test_a_link_to_a_parent_folder_is_not_followed_twice(tmp_path):
    noise(0).save(tmp_path / "a.png")
    (tmp_path / "up").symlink_to(tmp_path)
    assert len(listed(tmp_path)) == 1


def test_strings():
    names = ["a", "", "ümlaut/é.jpg", "x" * 300, os.fsdecode(b"\xff.jpg")]
    strings = files.Strings(names)
    assert list(strings) == names and len(strings) == 5 and strings[2] == names[2]
    assert list(files.Strings([])) == []

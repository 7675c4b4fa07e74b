"""The index of many files, tar shards, and what folders hold that is not an image."""
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from msr import dist, experiment
from msr.data import files, images, shards
from test_experiment import SMALL

# Eleven kinds of files, and what becomes of each: skipped, or read in RGB. Some are broken, some only unusual.
SKIPPED = ("truncated.jpg", "corrupt.png", "empty.jpg", "text.jpg", "pixel.png", "bomb.png", "dangling.jpg")
CONVERTED = {"L": "grey.jpg", "CMYK": "cmyk.jpg", "RGBA": "alpha.png", "P": "palette.png", "I;16": "deep.png"}


def noise(seed, size=(24, 20)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def blob(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def unusual(folder: Path):
    """Write the files named above."""
    good = blob(noise(0))
    png = bytearray(blob(noise(0), "PNG"))
    png[len(png) // 2] ^= 255
    for name, data in (("truncated.jpg", good[: len(good) // 2]), ("corrupt.png", bytes(png)), ("empty.jpg", b""), ("text.jpg", b"hello\nworld"),
                       ("pixel.png", blob(Image.new("RGB", (1, 1)), "PNG")), ("bomb.png", bomb()), ("grey.jpg", blob(noise(1).convert("L"))),
                       ("cmyk.jpg", blob(noise(2).convert("CMYK"))), ("alpha.png", blob(noise(3).convert("RGBA"), "PNG")),
                       ("palette.png", blob(noise(4).convert("P"), "PNG")),
                       ("deep.png", blob(Image.fromarray(np.full((20, 20), 40000, dtype=np.uint16)), "PNG"))):
        (folder / name).write_bytes(data)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()                           # no file at all, whatever its name


def bomb():
    """A PNG that says it has 10¹⁰ pixels."""
    import struct
    import zlib
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + b"\0" * 12


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """240 files in two classes, one in twenty of them unusual: 5 % (7 + 5 of 240)."""
    root = tmp_path_factory.mktemp("dirty")
    for name in ("a", "b"):
        (root / name).mkdir()
    unusual(root / "b")
    for i in range(240 - len(SKIPPED) - len(CONVERTED)):
        noise(i).save(root / "ab"[i % 2] / f"{i:03d}.png")
    return root


# ------------------------------------------------------------------------------------------------------ dirty folders

@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("memory", [images.IN_MEMORY, 0])
def test_each_is_skipped_or_read_and_named(dirty, monkeypatch, workers, memory):
    monkeypatch.setattr(images, "IN_MEMORY", memory)
    train, val = images.load(dirty, 16, num_workers=workers)
    if not memory:
        assert len(train) + len(val) == 240
        list(images.Batches(train, 24, num_workers=workers).epoch(0))
        val = val.decoded(workers)
    else:
        assert len(train) + len(val) == 240 - len(SKIPPED) == len(train.labels["class"]) + len(val.labels["class"])
    report = train.report
    assert {Path(name).name for name in report.skipped} == set(SKIPPED) and report.total == 240
    assert {kind: {Path(n).name for n in names} for kind, names in report.converted.items()} == {kind: {name} for kind, name in CONVERTED.items()}
    assert "1 × 1 pixels" in next(reason for name, reason in report.skipped.items() if name.endswith("pixel.png"))
    assert report.summary().startswith("7 of 240 files could not be read and were skipped; converted to RGB: 1 CMYK, 1 I;16, 1 L")


def test_labels_stay_with_their_images(dirty):
    """In memory a skipped file takes its label along."""
    train, val = images.load(dirty, 24)
    for split in (train, val):
        again = {p.numpy().tobytes(): c for p, c in zip(split.pixels, split.labels["class"].tolist())}
        for c, name in enumerate("ab"):
            for path in (dirty / name).glob("[0-9]*.png"):
                key = files.decode(str(path), train.pixels.shape[-1])[0].numpy().tobytes()
                assert again.get(key, c) == c


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_to_the_end(dirty, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(experiment, "MIN_VAL", 5)
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    setup = experiment.prepare(**{**SMALL, "data_dir": str(dirty), "max_images": 0, "epochs": 2, "out_dir": str(tmp_path), "num_workers": workers})
    setup.probe(setup.fit(0))
    written = json.loads((tmp_path / "spaces_seed0" / "files.json").read_text())
    assert {Path(name).name for name in written["skipped"]} == set(SKIPPED)
    assert {Path(entry["first"][0]).name for entry in written["converted"].values()} == set(CONVERTED.values())


def test_a_substitute_is_the_same_for_every_number_of_workers(dirty, monkeypatch):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    train = images.load(dirty, 16)[0]
    epochs = [torch.cat(list(images.Batches(train, 24, num_workers=workers).epoch(0))) for workers in (0, 2)]
    assert torch.equal(*epochs)


@pytest.mark.parametrize("memory", [images.IN_MEMORY, 0])
def test_too_many_bad_files_end_the_run_in_one_line(tmp_path, monkeypatch, memory):
    monkeypatch.setattr(images, "IN_MEMORY", memory)
    for i in range(100):
        (tmp_path / f"{i}.jpg").write_bytes(b"no" if i % 4 == 0 else blob(noise(i)))
    with pytest.raises(ValueError, match=r"of 100 files cannot be read, more than max_bad = 0.1 of the 100 looked at: .*\.jpg .cannot identify.*give a larger max_bad") as error:
        list(images.Batches(images.load(tmp_path, 16)[0], 30, num_workers=1).epoch(0))
    assert "\n" not in str(error.value)
    assert len(list(images.Batches(images.load(tmp_path, 16, max_bad=0.3)[0], 30).epoch(0))) >= 2


def test_a_folder_of_rubbish(tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(b"no")
    with pytest.raises(ValueError, match="none of 18 files can be read, such as .*jpg"):
        images.load(tmp_path, 16)


def test_modes_keep_their_brightness(tmp_path):
    unusual(tmp_path)
    assert abs(int(files.decode(str(tmp_path / "deep.png"), 16)[0].float().mean()) - 40000 / 257) < 1, "16 bits are scaled"
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert files.decode(str(tmp_path / "clear.png"), 16)[0].min() == 255, "what is transparent lies on white"


# ---------------------------------------------------------------------------------------------------------- the index

def listed(root):
    return images.sources(str(root))[0].names


def count(monkeypatch):
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
    assert [os.path.relpath(p, root) for p in first] == ["a/1.png", "a/2.png", "a/deep/0.png", "b/x.png"]
    assert list(listed(root)) == first and len(calls) == 1, "from the cache, in the same order"
    changes = [lambda: noise(0).save(root / "a/deep/9.png"), lambda: (root / "b/x.png").rename(root / "b/y.png"), lambda: (root / "a/1.png").unlink(),
               lambda: (root / "c").mkdir()]
    for n, change in enumerate(changes, start=2):
        change()
        listed(root)
        assert len(calls) == n, n
    assert [os.path.relpath(p, root) for p in listed(root)] == ["a/2.png", "a/deep/0.png", "a/deep/9.png", "b/y.png"]


def test_a_folder_that_changed_just_now_is_read_again(tmp_path, monkeypatch):
    calls = count(monkeypatch)
    monkeypatch.setattr(files, "SETTLED", 10**12)
    noise(0).save(tmp_path / "a.png")
    listed(tmp_path), listed(tmp_path)
    assert len(calls) == 2


@pytest.mark.parametrize("harm", ["garbage", "no folder"])
def test_a_cache_that_fails_is_done_without(tmp_path, monkeypatch, harm):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache") if harm == "garbage" else "/proc/nowhere")
    (tmp_path / "d").mkdir()
    noise(0).save(tmp_path / "d" / "a.png")
    assert len(listed(tmp_path / "d")) == 1
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text('{"folders": [3')
    assert len(listed(tmp_path / "d")) == 1


def test_a_link_back_up_ends(tmp_path):
    noise(0).save(tmp_path / "a.png")
    (tmp_path / "up").symlink_to(tmp_path)
    assert len(listed(tmp_path)) == 1


def test_strings():
    names = ["a", "", "ümlaut/é.jpg", "x" * 300, os.fsdecode(b"\xff.jpg")]
    strings = files.Strings(names)
    assert list(strings) == names and len(strings) == 5 and strings[2] == names[2] and list(files.Strings([])) == []


# ------------------------------------------------------------------------------------------------------------- shards

@pytest.fixture(scope="module")
def shard_folder(tmp_path_factory):
    """Sixty photographs as files and, the same, in twelve shards of five; classes by .cls."""
    root = tmp_path_factory.mktemp("shards")
    for i in range(60):
        path = root / "files" / str(i % 3) / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)
    for s in range(12):
        with tarfile.open(root / f"in-{s:03d}.tar", "w") as tar:
            for i in range(5 * s, 5 * s + 5):
                for name, data in ((f"{i:02d}.png", blob(noise(i), "PNG")), (f"{i:02d}.cls", str(i % 3).encode()), (f"{i:02d}.json", b"{}")):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


def content(split):
    split = split.decoded()
    return {p.numpy().tobytes(): c for p, c in zip(split.pixels, split.labels["class"].tolist())}


@pytest.mark.parametrize("where", ["in-{000..011}.tar", "in-*.tar", ""])
def test_shards_hold_what_the_files_hold(shard_folder, where):
    train, val = images.load(str(shard_folder / where), 16) if where else images.load(moved(shard_folder), 16)
    whole = images.load(shard_folder / "files", 16)
    assert len(train) == 54 and train.classes == {"class": ["0", "1", "2"]} == whole[0].classes
    assert content(train) | content(val) == content(whole[0]) | content(whole[1])


def moved(root):
    """A folder of nothing but shards."""
    folder = root / "only"
    folder.mkdir(exist_ok=True)
    for path in root.glob("*.tar"):
        (folder / path.name).exists() or (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_stream_in_windows_once_each_and_apart_on_ranks(shard_folder, monkeypatch, workers):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(shards, "WINDOW", 3)
    train = images.load(str(shard_folder / "in-*.tar"), 16, val_dir=str(shard_folder / "files"))[0]
    orders = [train.order(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert all(order.sort().values.tolist() == list(range(60)) for order in orders) and not torch.equal(*orders)
    assert all(len(train.files.source.group[part].unique()) == 3 for part in orders[0].split(15)), "three shards at a time"
    seen = []
    monkeypatch.setattr(dist, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(dist, "rank", lambda: rank)
        batches = images.Batches(train, 20, num_workers=workers)
        seen += [p.numpy().tobytes() for batch in batches.epoch(0) for p in batch]
        tail = list(batches.epoch(0, start=2))
        assert len(tail) == 1 and [p.numpy().tobytes() for p in tail[0]] == seen[-10:]
    assert len(seen) == len(set(seen)) == 60


def test_classes_by_folder_in_a_shard_and_a_shard_cut_short(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(20):
            data = blob(noise(i), "PNG")
            info = tarfile.TarInfo(f"{'cat' if i % 2 else 'dog'}/{i}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    train, val = images.load(tmp_path / "a.tar", 16)
    assert train.classes == {"class": ["cat", "dog"]} and len(train) + len(val) == 20
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 15 * 2048 + 700])
    train, val = images.load(tmp_path / "a.tar", 16, max_bad=0.5)
    assert 10 < len(train) + len(val) < 16 and any("a.tar" in name for name in train.report.skipped)


@pytest.mark.parametrize("pattern, says", [("no-{0..3}.tar", "no shard '.*no-0.tar'"), ("*.tar", "no shard")])
def test_no_such_shard(tmp_path, pattern, says):
    with pytest.raises(ValueError, match=says):
        images.load(str(tmp_path / pattern), 16)

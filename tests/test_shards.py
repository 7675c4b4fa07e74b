"""Tar shards: they hold what files hold, and stream in windows, once each, on every rank."""

import io
import tarfile

import pytest
import torch
from pictures import blob, by_pixels, noise

from msr import data, dist
from msr.data import Batches, images, shards


def write_tar(path, members):
    """A tar file with these members, {name: bytes}."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def shard_folder(tmp_path_factory):
    """Sixty images as files, and the same in twelve shards of five, with classes in .cls."""
    root = tmp_path_factory.mktemp("shards")
    for i in range(60):
        path = root / "files" / str(i % 3) / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)
    for s in range(12):
        members = {}
        for i in range(5 * s, 5 * s + 5):
            members[f"{i:02d}.png"] = blob(noise(i), "PNG")
            members[f"{i:02d}.cls"] = str(i % 3).encode()
            members[f"{i:02d}.json"] = b"{}"
        write_tar(root / f"in-{s:03d}.tar", members)
    (root / "only").mkdir()  # a folder of nothing but shards
    for path in root.glob("*.tar"):
        (root / "only" / path.name).symlink_to(path)
    return root


@pytest.mark.parametrize("where", ["in-{000..011}.tar", "in-*.tar", "only"])
def test_shards_hold_what_the_files_hold(shard_folder, where):
    train, val = data.load(str(shard_folder / where), 16)
    whole = data.load(shard_folder / "files", 16)
    assert len(train) == 54 and train.classes == {"class": ["0", "1", "2"]} == whole[0].classes
    assert by_pixels(train) | by_pixels(val) == by_pixels(whole[0]) | by_pixels(whole[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_stream_in_windows_once_each_and_apart_on_ranks(shard_folder, monkeypatch, workers):
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    monkeypatch.setattr(shards, "WINDOW", 3)
    train, _ = data.load(str(shard_folder / "in-*.tar"), 16, val_dir=str(shard_folder / "files"))
    orders = [train.order(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert all(order.sort().values.tolist() == list(range(60)) for order in orders)
    assert not torch.equal(*orders)
    for part in orders[0].split(15):
        assert len(train.files.source.group[part].unique()) == 3, "three shards at a time"
    seen = []
    monkeypatch.setattr(dist, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(dist, "rank", lambda rank=rank: rank)
        batches = Batches(train, 20, num_workers=workers)
        seen += [p.numpy().tobytes() for batch in batches.epoch(0) for p in batch]
        tail = list(batches.epoch(0, start=2))
        assert len(tail) == 1 and [p.numpy().tobytes() for p in tail[0]] == seen[-10:]
    assert len(seen) == len(set(seen)) == 60


def test_classes_by_folder_in_a_shard_and_a_shard_cut_short(tmp_path):
    classes = ["dog", "cat"]
    members = {f"{classes[i % 2]}/{i}.png": blob(noise(i), "PNG") for i in range(20)}
    write_tar(tmp_path / "a.tar", members)
    train, val = data.load(tmp_path / "a.tar", 16)
    assert train.classes == {"class": ["cat", "dog"]} and len(train) + len(val) == 20
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 15 * 2048 + 700])
    train, val = data.load(tmp_path / "a.tar", 16, max_bad=0.5)
    assert 10 < len(train) + len(val) < 16
    assert any("a.tar" in name for name in train.inspection.skipped)


@pytest.mark.parametrize(
    "pattern, says", [("no-{0..3}.tar", "no shard '.*no-0.tar'"), ("*.tar", "no shard")]
)
def test_no_such_shard(tmp_path, pattern, says):
    with pytest.raises(ValueError, match=says):
        data.load(str(tmp_path / pattern), 16)

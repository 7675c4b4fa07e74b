"""Tar shards: they hold what files hold, and stream in windows, once each, on every rank."""

import errno
import io
import os
import pickle
import tarfile

import pytest
import torch
from pictures import blob, by_pixels, noise, same

from msr import data, dist
from msr.data import Batches, cache, faults, files, images, shards


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
        seen += [p.numpy().tobytes() for batch in batches.epoch(0) for p in batch.pixels]
        tail = list(batches.epoch(0, start=2))
        assert len(tail) == 1 and [p.numpy().tobytes() for p in tail[0].pixels] == seen[-10:]
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


# ------------------------------------------------------------------------------ names and classes


@pytest.mark.parametrize(
    "members, says",
    [
        (["IMG_2020.00.jpg", "IMG_2020.01.jpg"], "'IMG_2020.00.jpg' and 'IMG_2020.01.jpg', one"),
        (["a.jpg", "a.png"], "'a.jpg' and 'a.png', one sample"),
        (["d/a.jpg", "d/b.jpg", "d/a.jpg"], "'d/a.jpg' twice"),
        (["a.jpg", "2020.00.jpg"], "'2020.00.jpg', no image"),
    ],
)
def test_names_that_do_not_tell_images_apart_are_refused(tmp_path, members, says):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i, name in enumerate(members):
            info = tarfile.TarInfo(name)
            info.size = len(content := blob(noise(i)))
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(ValueError, match=f"a.tar' holds {says}.* first dot") as error:
        shards.read([str(tmp_path / "a.tar")])
    assert "\n" not in str(error.value)


def test_other_files_of_a_sample_are_no_images(tmp_path):
    """Keys are WebDataset's: folder and name up to the first dot; names without one are skipped."""
    picture = blob(noise(0), "PNG")
    names = ["v1.5/0.JPG", "v1.5/0.seg.png", "v1.5/0.cls", "v2/0.png", "v2/._0.png", "readme"]
    contents = {name: b"7" if name.endswith("cls") else picture for name in names}
    write_tar(tmp_path / "a.tar", contents)
    index = shards.read([str(tmp_path / "a.tar")])
    found = [name.removeprefix(f"{tmp_path}/a.tar/") for name in index.images.names]
    assert found == ["v1.5/0.JPG", "v2/0.png"] and index.classes == ["7", "v2"]


def test_a_class_that_is_a_digit_but_no_number(tmp_path):
    contents = {}
    for i in range(20):
        contents |= {
            f"{i}.png": blob(noise(i), "PNG"),
            f"{i}.cls": ["²", "10", "9"][i % 3].encode(),
        }
    write_tar(tmp_path / "a.tar", contents)
    assert data.load(tmp_path / "a.tar", 16)[0].classes == {"class": ["9", "10", "²"]}


def test_an_index_of_an_older_form_is_not_used(tmp_path, monkeypatch):
    write_tar(tmp_path / "a.tar", {"a.png": blob(noise(0), "PNG")})
    shards.read([str(tmp_path / "a.tar")])
    calls, members = [], shards.members
    monkeypatch.setattr(shards, "members", lambda path: calls.append(path) or members(path))
    shards.read([str(tmp_path / "a.tar")])
    assert not calls
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    shards.read([str(tmp_path / "a.tar")])
    assert len(calls) == 1


# ----------------------------------------------------------------------------------------- damage


def test_a_shard_damaged_in_its_middle_is_not_taken_for_a_short_one(tmp_path):
    """`tarfile` ends without a word at a header that it cannot read."""
    for s in range(2):
        members = {f"{s}{i:02d}.png": blob(noise(i), "PNG") for i in range(40)}
        write_tar(tmp_path / f"in-{s}.tar", members)
    path = tmp_path / "in-1.tar"
    with tarfile.open(path) as tar:
        header = tar.getmembers()[10].offset
    content = bytearray(path.read_bytes())
    content[header : header + 512] = b"x" * 512
    path.write_bytes(content)
    index = shards.read([str(tmp_path / f"in-{s}.tar") for s in range(2)])
    assert len(index.classes) == 50 and index.lost[str(path)] == pytest.approx(30, abs=3)
    says = (
        r"damaged shards lost about \d+ of \d+ images, more than max_bad = 0.1: .*in-1.tar .*byte"
    )
    with pytest.raises(ValueError, match=says):
        data.load(tmp_path, 16)
    train, _ = data.load(tmp_path, 16, max_bad=0.5)
    assert "images were lost in damaged shards (1)" in train.inspection.summary()


# ---------------------------------------------------------------------------------- open shards


def many(tmp_path, n):
    """n shards of one image each, all links to one file; and their paths."""
    write_tar(tmp_path / "in.tar", {"0.png": blob(noise(0), "PNG")})
    paths = [tmp_path / f"in-{i:04d}.tar" for i in range(n)]
    for path in paths:
        path.symlink_to(tmp_path / "in.tar")
    return [str(path) for path in paths]


def test_few_shards_are_open_at_once(tmp_path):
    images = shards.read(many(tmp_path, 200)).images
    before = len(os.listdir("/proc/self/fd"))
    for i in [*range(200), *range(200)]:
        assert images.open(i).read(4) == b"\x89PNG"
    assert len(os.listdir("/proc/self/fd")) - before <= shards.OPEN
    assert pickle.loads(pickle.dumps(images)).open(3).read(4) == b"\x89PNG"


def test_forked_processes_read_their_own_files(tmp_path, monkeypatch):
    """A file that is open before the fork has one position for all processes."""
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    write_tar(tmp_path / "a.tar", {f"{i}.png": blob(noise(i), "PNG") for i in range(200)})
    train, _ = data.load(tmp_path / "a.tar", 16)
    alone = [batch for batch in Batches(train, 20).epoch(0)]
    forked = [batch for batch in Batches(train, 20, num_workers=2).epoch(0)]
    assert all(same(a, b) for a, b in zip(alone, forked)) and not train.inspection.skipped


# ------------------------------------------------------------------------ shards sorted by class


def order_of(n_shards, classes, sorted_by_class):
    """(an epoch's order of 100 images in each shard, the class of each)."""
    n = 100 * n_shards
    label = torch.arange(n) * classes // n
    if not sorted_by_class:
        label = label[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    group = torch.arange(n) // 100
    tar = shards.Tar(files.Strings([""] * n), files.Strings([]), group, group, group)
    split = data.Images(16, files=files.Decoder(tar, 16), labels={"class": label})
    return split.order(torch.Generator().manual_seed(3)), label


def test_batches_of_shards_sorted_by_class_hold_many_classes():
    order, label = order_of(100, 100, sorted_by_class=True)
    held = torch.tensor([len(label[batch].unique()) for batch in order.split(128)[:-1]])
    assert held.double().mean() > 70  # a random draw holds 72.4 on average; windows of 8 held 8
    assert order.sort().values.equal(torch.arange(len(order)))


@pytest.mark.parametrize("classes", [1, 100])
def test_shards_in_random_order_are_still_read_in_windows(classes):
    order, _ = order_of(100, classes, sorted_by_class=False)
    held = torch.tensor([len((batch // 100).unique()) for batch in order.split(800)])
    assert (held <= shards.WINDOW).all()


def test_a_network_disk_that_comes_back(tmp_path, monkeypatch):
    """A handle that went stale is not tried again: the shard is opened anew."""
    write_tar(tmp_path / "a.tar", {f"{i}.png": blob(noise(i), "PNG") for i in range(12)})
    source = shards.read([str(tmp_path / "a.tar")]).images
    monkeypatch.setattr(faults, "PAUSES", (0.0, 0.0))

    class Stale:
        def seek(self, offset):
            raise OSError(errno.ESTALE, "Stale file handle")

    source.handles.files[source.shards[0]] = Stale()
    assert faults.patiently(source.open, 0).getvalue().startswith(b"\x89PNG")

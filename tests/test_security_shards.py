"""Shards, the index and data sets from strangers: bounded, and damage is told.

SECURITY.md names these tests.
"""

import io
import json
import os
import pickle
import tarfile
import zipfile

import hostile
import numpy as np
import pytest
import torchvision
from hostile import Evil, entry, folder, guarded, reasons
from pictures import blob, noise

from msr import data
from msr.data import cache, dsprites_file, files, shards, torchvision_sets

GOOD = blob(noise(0), "PNG")


# ---------------------------------------------------------------------------------------- shards


def members(path, *entries, **more):
    """What is listed of a tar with these members: ([member, class] of each image, problem)."""
    with guarded():
        rows, problem, _ = shards.members(hostile.tar(path, *entries, **more))
    return [[row[0], row[3]] for row in rows], problem


def test_names_of_members_are_only_text(tmp_path):
    names = ["/etc/x.png", "../../y.png", "a/../../z.png", "C:\\w.png"]
    path = hostile.tar(tmp_path / "a.tar", *[entry(name, GOOD) for name in names])
    train, problem, _ = shards.members(path)
    assert [row[0] for row in train] == names and not problem
    assert os.listdir(tmp_path) == ["a.tar"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_not_read(tmp_path, kind):
    """They are told of, for a tar may hold an image twice by a link."""
    link = entry("b.png", kind=kind, target="/etc/passwd")
    rows, problem = members(tmp_path / "a.tar", link, entry("a.png", GOOD))
    assert rows == [["a.png", ""]] and problem.startswith("b.png is a link, a device or sparse")


def test_sparse_members_are_not_read(tmp_path):
    block = bytearray(entry("b.png", kind=tarfile.GNUTYPE_SPARSE, real=False))
    block[386:410], block[483:495] = b"0" * 24, b"77777777777\0"  # 8 GiB of holes
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:512]))
    rows, problem = members(tmp_path / "a.tar", bytes(block), entry("a.png", GOOD))
    assert rows == [["a.png", ""]] and "sparse" in problem


@pytest.mark.parametrize(
    "bad, says",
    [
        (entry("b.png", GOOD, size=2**33), "it ends before 'b.png' does"),
        (entry("b.png", GOOD, size=-512), "a member has a negative size"),
        (entry("b.png", GOOD, size=2**70), "it ends before 'b.png' does"),
        (entry("b", kind=tarfile.XHDTYPE, size=2**33), "an extended header has 8,589,934,592 by"),
        (entry("b", kind=tarfile.GNUTYPE_LONGNAME, size=2**33), "an extended header has 8,589,9"),
        (entry("b.cls", bytes(2**21)), "b.cls has 2,097,152 bytes, more than 1,024"),
        (b"damaged!" * 64, "invalid header"),
        (entry("b", b"", tarfile.XHDTYPE) * 2000, "maximum recursion depth exceeded"),
    ],
)
def test_damage_is_told_and_what_came_before_is_kept(tmp_path, bad, says):
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(entry("a.png", GOOD) + bad + entry("c.png", GOOD))
        file.truncate(2**34 if "extended" in says else file.tell())
    with guarded():
        rows, problem, _ = shards.members(str(tmp_path / "a.tar"))
    assert [row[0] for row in rows] == ["a.png"]
    assert problem.startswith("the shard cannot be read from byte ") and says in problem
    assert len(problem) < 300


def test_headers_that_lead_backwards(tmp_path):
    """The size in this attribute is negative: tarfile alone reads the same member for ever."""
    record = b"15 size=-1536\n\n"
    back = entry("b", record, tarfile.XHDTYPE) + entry("b.png", GOOD)
    rows, problem = members(tmp_path / "a.tar", entry("a.png", GOOD), back)
    assert "a.png" in [name for name, _ in rows] and problem


def test_members_that_are_no_images_take_no_memory(tmp_path):
    """tarfile itself keeps about 1 KB for each, here 20 MB."""
    (tmp_path / "a.tar").write_bytes(entry("a.txt") * 20_000 + entry("a.png", GOOD) + bytes(1024))
    with guarded(8, 60):
        rows, problem, _ = shards.members(str(tmp_path / "a.tar"))
    assert len(rows) == 1 and not problem


def test_a_tar_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with guarded():
        rows, problem, _ = shards.members(str(tmp_path / "a.tar"))
    assert not rows and "not a regular file" in problem


def test_an_image_of_ten_gigabytes_in_a_tar(tmp_path):
    path, size = tmp_path / "a.tar", 10 * 2**30
    blocks = [entry(f"{i:02d}.png", GOOD) for i in range(20)]
    with open(path, "wb") as file:
        file.write(b"".join(blocks) + entry("huge.png", size=size, real=False))
        file.truncate(file.tell() + size + 1024)
    with guarded():
        train, val = data.load(str(path), 16)
    assert len(train) + len(val) == 20
    assert reasons(train) == {"huge.png": "10,737,418,240 bytes, more than 268,435,456"}


def test_classes_that_only_look_like_numbers(tmp_path):
    """ "²".isdigit() holds, but int("²") fails."""
    names = "²", "9" * 1000
    blocks = [
        entry(f"{i:02d}.{kind}", content)
        for i in range(20)
        for kind, content in (("png", blob(noise(i), "PNG")), ("cls", names[i % 2].encode()))
    ]
    train, _ = data.load(hostile.tar(tmp_path / "a.tar", *blocks), 16)
    assert train.classes["class"] == ["9" * 1000, "²"]


# ------------------------------------------------------------------- the index, and data by name


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: "[" * 10_000,
        lambda record: json.dumps(record | {"folders": [1]}),
        lambda record: json.dumps(record | {"folders": {"": [record["folders"][""][0], None]}}),
        lambda record: json.dumps(record | {"folders": {"": [record["folders"][""][0], [1]]}}),
        lambda record: json.dumps(
            record | {"folders": {"": [record["folders"][""][0], ["../x.png"]]}}
        ),
        lambda record: json.dumps(
            record | {"folders": {"..": [os.stat("..").st_mtime_ns, ["x.png"]]}}
        ),
        lambda record: json.dumps(record | {"read": "now"}),
        lambda record: b"\xff",
    ],
)
def test_a_poisoned_index_of_a_folder_is_made_again(tmp_path, monkeypatch, harm):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = folder(tmp_path / "d", 3)
    monkeypatch.chdir(root)
    (tmp_path / "x.png").write_bytes(GOOD)
    for path in (root, tmp_path):
        os.utime(path, (1e9, 1e9))  # long settled
    right = files.index(root)
    (path,) = (cache.home() / "index").iterdir()
    bad = harm(json.loads(path.read_text()))
    path.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
    assert files.index(root) == right


@pytest.mark.parametrize(
    "row", [[1, 0, 9, ""], ["a.png", -1, 9, ""], ["a.png", 0, 2**99, 3], ["a.png"], "a.png", None]
)
def test_a_poisoned_index_of_a_shard_is_made_again(tmp_path, monkeypatch, row):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = hostile.tar(tmp_path / "a.tar", entry("a.png", GOOD))
    right = list(shards.read([path])[0].names)
    (index,) = (cache.home() / "index").iterdir()
    index.write_text(json.dumps(json.loads(index.read_text()) | {"images": [row]}))
    assert list(shards.read([path])[0].names) == right


def test_cifars_pickles_are_checked_before_they_are_loaded(tmp_path, monkeypatch):
    """torchvision unpickles CIFAR, which may run code; the digests that it knows come first."""
    known = torchvision_sets.TORCHVISION["cifar10"]
    (tmp_path / known.folder).mkdir()
    for name, _ in known.reader.train_list + known.reader.test_list:
        with open(tmp_path / known.folder / name, "wb") as file:
            pickle.dump(Evil(tmp_path / "ran"), file)

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", offline)
    with pytest.raises(ValueError, match="cifar10 is not in .* could not be downloaded"):
        data.load(tmp_path, 16)
    monkeypatch.setattr(
        torchvision.datasets.cifar, "download_and_extract_archive", lambda *a, **k: 0
    )
    with pytest.raises(ValueError, match="cifar10 is not in"):
        data.load(tmp_path, 16)
    assert not (tmp_path / "ran").exists()


# --------------------------------------------------------------------------------- dSprites' npz


def npz(path, **arrays):
    """An npz of these parts, {name: array or the bytes of its member}; returns its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            if not isinstance(value, bytes):
                out = io.BytesIO()
                np.save(out, value, allow_pickle=True)
                value = out.getvalue()
            archive.writestr(f"{name}.npy", value)
    return str(path)


def header(shape, kind="|u1"):
    """The beginning of an array's file, without its values."""
    out = io.BytesIO()
    form = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, form)
    return out.getvalue()


def test_the_npz_is_bounded_and_runs_nothing(tmp_path, monkeypatch):
    table = np.zeros((2, 6), dtype=np.int64)
    ran = tmp_path / "ran"
    code = np.array([Evil(ran)], dtype=object)
    monkeypatch.setattr(dsprites_file, "LARGEST", 2**20)
    wrong = [
        ({"imgs": header((2**40, 64, 64)), "latents_classes": table}, "cannot be read"),
        ({"imgs": np.zeros((2**10, 64, 64), np.uint8)}, "imgs claims 4,194,432 bytes; dSprites"),
        ({"imgs": code, "latents_classes": table}, "pickle"),
        ({"imgs": np.zeros((2, 8, 8), "<U1"), "latents_classes": table}, "imgs holds <U1"),
    ]
    for i, (arrays, says) in enumerate(wrong):
        arrays = {"latents_classes": table} | arrays
        with guarded(), pytest.raises(ValueError, match=says) as error:
            dsprites_file.read(npz(tmp_path / f"{i}.npz", **arrays))
        assert "\n" not in str(error.value)
    assert not ran.exists()

"""torchvision's sets: which one a folder is, who downloads it, and folders that nobody may read."""

import errno
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from msr import data, dist
from msr.data import files, torchvision_sets


def both_cifars(tmp_path):
    for folder in ("cifar-10-batches-py", "cifar-100-python"):
        (tmp_path / folder).mkdir()


def test_two_sets_in_one_folder(tmp_path, monkeypatch):
    both_cifars(tmp_path)
    monkeypatch.setenv("MSR_DATA", str(tmp_path))
    found = torchvision_sets.held()
    assert set(found) == {"cifar10", "cifar100"}
    for name, where in found.items():
        assert torchvision_sets.torchvision_name(where) == name
        assert torchvision_sets.home_of(where) == tmp_path == torchvision_sets.home_of(name)
    with pytest.raises(ValueError, match="holds cifar10 and cifar100; give .*-py or .*-python"):
        data.load(tmp_path, 16)


class Ranks(threading.local):
    """The rank of each thread of a test."""


def on_ranks(monkeypatch, n, act):
    """Call `act(rank)` in n threads that stand for ranks; return what each returned or raised."""
    here, barrier, said = Ranks(), threading.Barrier(n, timeout=20), {}

    def everyone(value):
        said[here.rank] = value
        barrier.wait()
        values = [said[rank] for rank in range(n)]
        barrier.wait()
        return values

    monkeypatch.setattr(dist, "rank", lambda: here.rank)
    monkeypatch.setattr(dist, "everyone", everyone)

    def run(rank):
        here.rank = rank
        try:
            return act(rank)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


@pytest.mark.parametrize("fails", [False, True])
def test_one_rank_downloads_and_the_others_wait(tmp_path, monkeypatch, fails):
    """Where it fails, every rank raises the same line, and none waits for ever."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    began, ended = [], []

    class Reader:
        classes = ("a",)

        def __init__(self, root, train, download):
            here = dist.rank()
            began.append((here, 0 in ended))
            time.sleep(0.05)
            if fails:
                raise RuntimeError("no network")
            self.data, self.targets = np.zeros((4, 8, 8, 3), dtype=np.uint8), [0] * 4
            ended.append(here)

    known = torchvision_sets.TORCHVISION["cifar10"]
    monkeypatch.setitem(torchvision_sets.TORCHVISION, "cifar10", replace(known, reader=Reader))
    results = on_ranks(monkeypatch, 3, lambda rank: torchvision_sets.load("cifar10", tmp_path, 16))
    assert {rank for rank, _ in began} == ({0} if fails else {0, 1, 2})
    assert all(after for rank, after in began if rank)
    if fails:
        assert len(set(results)) == 1 and "could not be downloaded (no network)" in results[0]
    else:
        assert all(len(train) == 4 and train.listing == "cifar10" for train, _ in results)


@pytest.mark.parametrize("side", ["data_dir", "val_dir"])
def test_the_folder_that_cannot_be_read_is_named(photographs, monkeypatch, side):
    scan = files.scan
    wanted = photographs / ("train" if side == "data_dir" else "val")

    def denied(root):
        if root == wanted:
            raise PermissionError(errno.EACCES, "Permission denied", str(root / "dark"))
        return scan(root)

    monkeypatch.setattr(files, "scan", denied)
    monkeypatch.setattr(files.cache, "cached", lambda key, valid, make: make())
    with pytest.raises(ValueError, match=f"{side} '{wanted}' cannot be read: Permission denied"):
        data.load(photographs, 16)

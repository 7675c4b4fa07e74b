"""The processes that decode files are started once, and serve every epoch in the same order."""

import itertools

import torch
from pictures import same
from torch.utils.data import dataloader

from msr.data import Batches, folders, images


def test_an_epoch_inside_another(photographs, monkeypatch):
    monkeypatch.setattr(images, "AT_ONCE", 0)
    train, _ = folders.load(photographs, 16)
    wanted = [list(Batches(train, 8).epoch(epoch)) for epoch in (0, 1)]
    batches = Batches(train, 8)
    found = list(zip(batches.epoch(0), batches.epoch(1), strict=True))
    for mine, theirs in zip(found, zip(*wanted), strict=True):
        assert all(same(a, b) for a, b in zip(mine, theirs))


def test_workers_serve_all_epochs(photographs, monkeypatch):
    monkeypatch.setattr(images, "AT_ONCE", 0)
    train, _ = folders.load(photographs, 16)
    started, make = [], dataloader._MultiProcessingDataLoaderIter.__init__

    def counted(self, loader):
        started.append(loader.num_workers)
        make(self, loader)

    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter, "__init__", counted)
    alone, several = (Batches(train, 8, seed=3, num_workers=n) for n in (0, 2))
    list(itertools.islice(several.epoch(0), 2))  # an epoch that is given up
    before = torch.get_rng_state()
    for epoch, start in ((0, 1), (1, 0), (2, 0)):
        both = zip(alone.epoch(epoch, start), several.epoch(epoch, start), strict=True)
        assert all(same(a, b) for a, b in both)
    assert started == [2]
    assert torch.equal(torch.get_rng_state(), before)
    processes = several.loader._iterator._workers
    del several
    for process in processes:
        process.join(10)
    assert not any(process.is_alive() for process in processes)

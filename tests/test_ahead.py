"""Copies to a GPU: in which stream each runs, and who waits for it. The GPU here is a pretence."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch

from msr.data import ahead
from msr.data.ahead import sent_ahead
from msr.data.squashed import Squashed

GPU = torch.device("cuda")


class Stream:
    """A stream that notes what is asked of it."""

    def __init__(self, said, name):
        self.said, self.name = said, name

    def wait_stream(self, other):
        self.said.append(f"{self.name} waits for {other.name}")


class Pixels(torch.Tensor):
    """Images that note where they are copied, and who uses them."""

    def to(self, device, non_blocking=False):
        self.said.append(f"copied in {self.now[-1]}{'' if non_blocking else ', blocking'}")
        return self

    def record_stream(self, stream):
        self.said.append(f"used by {stream.name}")


@pytest.fixture
def said(monkeypatch):
    """What the streams of a pretended GPU were asked, in order."""
    said, now = [], ["computes"]

    @contextmanager
    def stream(given):
        now.append(given.name)
        yield
        now.pop()

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(said, "copies"))
    monkeypatch.setattr(ahead, "stream", cache(ahead.stream.__wrapped__))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(said, now[-1]))
    monkeypatch.setattr(Pixels, "said", said, raising=False)
    monkeypatch.setattr(Pixels, "now", now, raising=False)
    return said


def images(n=2):
    return torch.zeros(n, 3, 4, 4, dtype=torch.uint8).as_subclass(Pixels)


STEP = ["copied in copies", "computes waits for copies", "used by computes"]


def test_each_copy_has_its_own_stream_and_the_step_waits_for_it(said):
    batches = [images(1), images(2), images(3)]
    for batch, sent in zip(batches, sent_ahead(batches, GPU), strict=True):
        assert sent is batch
        said.append("step")
    assert said == [*STEP, "step"] * 3


def test_all_epochs_share_one_stream(said, monkeypatch):
    made = []
    monkeypatch.setattr(
        torch.cuda, "Stream", lambda device: made.append(device) or Stream(said, "")
    )
    for _ in range(3):
        list(sent_ahead([images()], GPU))
    assert made == [GPU]


def test_no_batch_is_asked_for_before_the_step_of_the_last(said):
    """The copy of a batch is queued behind nothing but copies, so there is no need to."""
    asked = []
    found = sent_ahead((asked.append(i) or images() for i in range(3)), GPU)
    next(found)
    assert asked == [0]


def test_aspects_of_whole_photographs_are_kept_as_well(said):
    squashed = Squashed(images(), torch.ones(2).as_subclass(Pixels))
    (sent,) = sent_ahead([squashed], GPU)
    assert isinstance(sent, Squashed)
    assert said == [STEP[0], STEP[0], STEP[1], STEP[2], STEP[2]]


def test_on_a_cpu_there_are_no_streams(said):
    batches = [torch.ones(1, 3, 4, 4), torch.zeros(2, 3, 4, 4)]
    found = sent_ahead(batches, torch.device("cpu"))
    assert all(a is b for a, b in zip(batches, found, strict=True))
    assert said == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_arrives_on_a_gpu_is_what_was_sent():
    batches = [torch.randint(0, 256, (64, 3, 96, 96), dtype=torch.uint8) for _ in range(30)]
    busy = torch.rand(2048, 2048, device="cuda")
    sums = []
    for sent in sent_ahead((batch.pin_memory() for batch in batches), GPU):
        for _ in range(5):
            busy = (busy @ busy).clamp(0, 1)  # the step before is still computed
        sums.append(sent.long().sum())
        del sent  # its memory may be used for a later batch
    assert [s.item() for s in sums] == [batch.long().sum().item() for batch in batches]

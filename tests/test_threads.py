"""The threads that make views: all parts are done once, errors are raised, forks do not hang."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from msr.augment import threads

PARTS = [slice(i, i + 1) for i in range(4)]


@pytest.fixture
def two():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["PyTorch's", "own"])
def kind(request, two, monkeypatch):
    if request.param == "own":
        monkeypatch.setattr(threads, "openmp", lambda: None)
    elif not threads.openmp():
        pytest.skip("this PyTorch has other threads than those of GNU OpenMP")


def numbers():
    """What the threads of this process did, part by part."""
    seen = []
    threads.in_threads(lambda part: seen.append(part.start), PARTS)
    return sorted(seen)


def test_two_threads_do_all_parts_once(kind):
    both, seen = threading.Barrier(2), []

    def work(part):
        if part.start < 2:
            both.wait(timeout=30)  # for the other thread, which must be there too
        seen.append(part.start)

    threads.in_threads(work, PARTS)
    assert sorted(seen) == [0, 1, 2, 3]
    threads.in_threads(work, [])


@pytest.mark.parametrize("caller_fails", [False, True])
def test_an_error_in_a_thread_is_raised(kind, caller_fails):
    caller, both = threading.get_ident(), threading.Barrier(2)

    def work(part):
        if part.start < 2:
            both.wait(timeout=30)
        if (threading.get_ident() == caller) == caller_fails:
            raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        threads.in_threads(work, PARTS)


def test_one_part_or_thread_needs_no_others(monkeypatch):
    monkeypatch.setattr(threads, "openmp", lambda: pytest.fail("another thread"))
    monkeypatch.setattr(threads, "pool", lambda *_: pytest.fail("another thread"))
    caller, seen = threading.get_ident(), []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    threads.in_threads(lambda _: seen.append(threading.get_ident()), PARTS[:1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    threads.in_threads(lambda _: seen.append(threading.get_ident()), PARTS)
    assert seen == [caller] * 5


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own(kind):
    """Those of its parent are not there."""
    assert numbers() == [0, 1, 2, 3]
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    process = fork.Process(target=lambda: queue.put(numbers()), daemon=True)
    process.start()
    process.join(timeout=30)
    alive = process.is_alive()
    process.kill()
    assert not alive and queue.get() == [0, 1, 2, 3]


COUNTED = """
import sys, torch
from msr.augment import threads

def count():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads"))

torch.set_num_threads(2)
x = torch.randn(512, 512)
x @ x, x.exp()
before = count()
threads.in_threads(lambda _: None, [slice(i, i + 1) for i in range(4)])
x.exp()
print(bool(threads.openmp()), before, count())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_threads_are_those_of_pytorch():
    """Work after an operation of PyTorch, and before another, needs no further thread."""
    command = [sys.executable, "-c", COUNTED]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    theirs, before, after = found.stdout.split()
    if theirs != "True":
        pytest.skip("this PyTorch has other threads than those of GNU OpenMP")
    assert before == after

"""Costs of two ways to do the same, measured in turn, so that both meet the same machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Work = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One comparison of two calls that do the same.

    work: how much a call does, such as 256 views; unit: its name. measure: what a call costs, such
    as seconds; of other measures than time, the cost itself is written down, in units. most: the
    largest number of rounds, for what takes long.
    """

    name: str
    ours: Work
    theirs: Work
    work: float = 1
    unit: str = "calls"
    measure: Callable[[Work, torch.device], float] | None = None
    most: int = 10**6


Cases = Callable[[torch.device], Iterator[Case]]


def compare(case: Case, rounds: int, device: torch.device) -> dict[str, Any]:
    """Return the costs of a case as plain data, from so many rounds after one that is not counted.

    There are at most `case.most` rounds. "ratio" is how many times less ours costs, such as how
    many times faster it is: the median over rounds of their cost / our cost; "low" and "high" are
    its quartiles. "ours" and "theirs" are the medians of work per second, or of another cost.
    """
    sides, measure = (case.ours, case.theirs), case.measure or seconds
    rounds = min(rounds, case.most)
    for work in sides:
        measure(work, device)
    costs = np.array([[measure(work, device) for work in sides] for _ in range(rounds)])
    middle = np.median(costs, axis=0)
    ours, theirs = middle if case.measure else case.work / middle
    low, ratio, high = np.quantile(costs[:, 1] / costs[:, 0], [0.25, 0.5, 0.75])
    found = {"ratio": ratio, "low": low, "high": high, "ours": ours, "theirs": theirs}
    unit = case.unit if case.measure else f"{case.unit}/s"
    return {k: float(f"{v:.4g}") for k, v in found.items()} | {"unit": unit, "rounds": rounds}


def seconds(work: Work, device: torch.device) -> float:
    """Return how long one call takes, the device's work included."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def told(work: Work, device: torch.device) -> float:
    """Return the cost that a call itself says it had, where it measures a part of what it does."""
    return work()


def by(threads: int, work: Work) -> Work:
    """Return the same work, done by so many threads; then their number is set back."""

    def done() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        work()
        torch.set_num_threads(before)

    return done


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device) -> dict[str, Any]:
    """Return what the times were measured on, and with which versions."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> str:
    """Return the name of the processor, with the vector extensions that decide its speed."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:  # not Linux
        return platform.processor()
    known = {key.strip(): value for key, value in lines.items()}
    flags = known.get("flags", "").split()
    some = [flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in flags]
    return f"{known.get('model name', platform.processor()).strip()} ({', '.join(some)})"

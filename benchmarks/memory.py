"""Peak memory that is needed beside what is there already: of losses and of steps."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import losses, steps
from benchmarks.pairs import Case, Work
from msr.losses import FAMILIES

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
IMAGES, D, V = 4096, 256, 4  # a large global batch, all its views
BATCHES = (32, 64, 128, 256)


def cases(device: torch.device) -> Iterator[Case]:
    """Yield the spread of simclr against its whole matrix, and steps against one of 32 images."""
    if device.type != "cuda" and not CLEAR.exists():
        return  # only Linux says what the peak was
    for n in (IMAGES // 4, IMAGES):
        z = torch.randn(V, n, D, device=device, requires_grad=True)
        blocks = losses.both_ways(lambda z: FAMILIES["simclr"].spread(z), z)
        matrix = losses.both_ways(losses.by_matrix, z)
        yield Case(
            f"simclr, {V} views of {n}, D = {D}: whole matrix", blocks, matrix, 1, "MiB", peak
        )
    small = steps.Step({"batch_size": BATCHES[0]}, device)
    for n in BATCHES[1:]:
        step = steps.Step({"batch_size": n}, device)
        name = f"a step of {n} images: of {BATCHES[0]}"
        yield Case(name, step.whole, small.whole, 1, "MiB", peak)


def peak(work: Work, device: torch.device) -> float:
    """Return the most memory in MiB that one call needs beside what is in use before."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - start) / 2**20
    # what was freed is given back, so that it counts when it is needed again
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")  # forget the peak until now
    before = resident("VmRSS")
    work()
    return max(resident("VmHWM") - before, 1.0)


def resident(field: str) -> float:
    """Return a field of this process's status in MiB: VmRSS, the memory now, or VmHWM, its peak."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return float(lines[field].split()[0]) / 2**10

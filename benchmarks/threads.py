"""What further threads are worth: views and steps on all cores against one."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks import steps
from benchmarks.pairs import Case, by


def cases(device: torch.device) -> Iterator[Case]:
    """Yield views and steps by 2, 4, 8, … threads against one; on a GPU there is nothing to do."""
    most = torch.get_num_threads()
    if device.type == "cuda":
        return
    step = steps.Step({}, device)
    counts = sorted({2**i for i in range(1, most.bit_length())} | {most} - {1})
    for n in counts:
        for name, work in (("views", step.views_alone), ("a step", step.whole)):
            many, one = by(n, work), by(1, work)
            yield Case(f"{name}, {n} threads: one", many, one, len(step.images), "images")

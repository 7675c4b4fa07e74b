"""The tables of the page "At scale": the memory plan beside the memory that a step takes.

    python book/footprint.py

Steps are taken on tensors that have sizes but no data, which takes seconds on any machine.
"""

from __future__ import annotations

import textwrap
import weakref
from dataclasses import replace
from functools import cache

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from msr import models
from msr.experiments.imagenet import PAPER
from msr.objective import Objective
from msr.report.tables import grid
from msr.spaces import Spaces
from msr.train import memory

# backbone: pixels a side, and views
SIZES = {"cnn": (48, 256), "resnet18": (64, 64), "resnet50": (224, 16)}
SPACES = Spaces.of(("appearance", "spatial"), (64, 32, 32))
PIECES = 4
# of the paper's profile: what there is, views on each device, and bytes that are free on it
DEVICES = (
    ("one GPU, 23 GB free", 2048, 23e9),
    ("one GPU, 79 GB free", 2048, 79e9),
    ("eight GPUs, 23 GB free on each", 256, 23e9),
    ("eight GPUs, 79 GB free on each", 256, 79e9),
)


class Peak(TorchDispatchMode):
    """The largest number of bytes that tensors made within it held at the same time."""

    def __init__(self):
        super().__init__()
        self.live, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, f, types, args=(), kwargs=None):
        out = f(*args, **(kwargs or {}))
        for t in tree_iter(out):
            if isinstance(t, torch.Tensor) and t.untyped_storage()._cdata not in self.live:
                storage = t.untyped_storage()
                self.live[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.drop, storage._cdata)
        return out

    def drop(self, key):
        """Count a storage that was freed."""
        self.now -= self.live.pop(key)


def peak(net, x):
    """The most bytes of a step of `InPieces` on x [4 * B, …], but for the weights and x itself."""
    with Peak() as seen:
        z = net(x)[1].float()
        Objective("simclr", net.model.spaces)(z.view(4, len(x) // 4, -1)).loss.backward()
    return seen.peak


def without_data(function):
    """Let a function make tensors that have sizes but no data, once."""

    @cache
    def sized():
        with FakeTensorMode():
            return function()

    return sized


@without_data
def counted():
    """The table of plans and counted peaks, in Markdown."""
    head = ["network, side, views", "activations a view", "planned peak", "counted"]
    head += [f"in {PIECES} pieces: planned", "counted"]
    rows = []
    for name, (side, n) in SIZES.items():
        model = models.MultiSpace(*models.backbone(name, side), SPACES, (1024,))
        x = torch.rand(n, 3, side, side).contiguous(memory_format=torch.channels_last)
        plan = memory.plan(model, x, free=1e12)
        needs = []
        for pieces in (1, PIECES):
            needs.append(plan.fixed + memory.PEAK * plan.per_view * n / pieces)
            model.zero_grad(set_to_none=True)
            needs.append(peak(memory.InPieces(model, n // pieces), x))
        shown = [memory.amount(value) for value in (plan.per_view, *needs)]
        rows.append([f"{name}, {side} px, {n}", *shown])
    return grid(head, rows)


@without_data
@torch.autocast("cpu", dtype=torch.bfloat16)
def paper():
    """The table of plans for the paper's profile, in Markdown, and the line for the first GPU."""
    spaces = dict(zip(SPACES.names, PAPER["sizes"]))
    model = models.build(PAPER["backbone"], 224, spaces, PAPER["hidden"])
    x = torch.rand(1, 3, 224, 224).expand(2048, -1, -1, -1)  # only four of them are looked at
    plan, rows = memory.plan(model, x, free=1e12), []
    head = ["devices", "views on each", "needed for all at once", "pieces"]
    plans = [replace(plan, views=views, free=free) for _, views, free in DEVICES]
    for (what, views, _), one in zip(DEVICES, plans):
        whole = memory.amount(replace(one, free=1e12).need)
        size = f" of {-(-views // one.pieces):,}" if one.pieces > 1 else ""
        rows.append([what, f"{views:,}", whole, f"{one.pieces}{size}"])
    return grid(head, rows), str(plans[0])


TEXTS = {
    "counted": counted,
    "paper": lambda: paper()[0],
    "line": lambda: textwrap.fill(paper()[1], 76),
}

if __name__ == "__main__":
    print("\n\n".join(text() for text in TEXTS.values()))

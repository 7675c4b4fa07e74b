"""Compiled transforms on a CPU: each thread takes a few images at a time through all of them.

A sweep reads its images once, resamples them or copies them, and then changes what it wrote while
that lies in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from msr.augment.affine import Affine, composed
from msr.augment.base import Kernel, Params, Transform
from msr.augment.kernels import spatial as kernels
from msr.augment.spatial import Flip, ResizedCrop, one_box
from msr.augment.threads import in_threads

CACHE = 2**17  # floats that a thread works on at a time
Step = tuple[Kernel, torch.Tensor]  # and which images it changes, bool [B]


def swept(
    x: torch.Tensor,
    runs: Sequence[Sequence[Transform]],
    params: dict[str, Params],
    which: torch.Tensor | None = None,
) -> tuple[torch.Tensor, int]:
    """Return images [B, C, H, W] after the first `runs` of transforms, and how many those are.

    x: images [N, C, h, w]. runs: neighbours that resample together, or single transforms; as many
    are carried out as have kernels. It is none, and x is returned, if x is not uint8 or float32, on
    a GPU or part of a graph of gradients. Images that went through all runs are channels_last.
    params, which: as in `Pipeline.apply`. Raises ValueError for parameters of another number of
    images, and for `which` that names an image beyond x.
    """
    kept = x.requires_grad and torch.is_grad_enabled()
    if x.device.type != "cpu" or x.dtype not in (torch.uint8, torch.float32) or kept:
        return x, 0
    which = torch.arange(len(x)) if which is None else _checked(which, len(x))
    n = len(which)
    for own in params.values():
        if "on" in own and len(own["on"]) != n:
            raise ValueError(f"parameters of {len(own['on'])} images for a batch of {n}; draw {n}")
    found = _resampled(x, runs[0], [params[t.name] for t in runs[0]], which)
    resampling, side = found or (Kernel(kernels.copy), (x.shape[2], x.shape[3]))
    all_on, steps = torch.ones(1, dtype=torch.bool), []
    for run in runs[bool(found) :]:
        own = params[run[0].name]
        kernel = run[0].kernel(own, (x.shape[1], *side)) if len(run) == 1 else None
        if kernel is None:
            break
        steps.append((kernel, own.get("on", all_on)))
    done = bool(found) + len(steps)
    last = done == len(runs)
    return (carried_out(x, which, resampling, side, steps, last) if done else x), done


def _checked(which: torch.Tensor, n: int) -> torch.Tensor:
    """Return `which`, for n images; raise ValueError for others, since a kernel would read them."""
    if len(which) and not (0 <= int(which.min()) and int(which.max()) < n):
        raise ValueError(f"which: images {which.min()} to {which.max()} of {n}; count from 0")
    return which


def resampling(t: Transform) -> Any:
    """Return what neighbours must share to resample images together.

    These are `ResizedCrop` for all crops and flips, and the padding and centre of affine maps, as
    long as they apply themselves as those do; the name of any other transform.
    """
    kind = type(t)
    if isinstance(t, Affine) and kind.apply is Affine.apply:
        return t.padding, t.centre
    crops = kind.apply is ResizedCrop.apply
    flips = isinstance(t, Flip) and kind.apply is Flip.apply and kind.change is Flip.change
    return ResizedCrop if crops or flips else t.name


def _resampled(
    x: torch.Tensor, run: Sequence[Any], params: Sequence[Params], which: torch.Tensor
) -> tuple[Kernel, tuple[int, int]] | None:
    """Return what resamples images as a run of transforms does, and the sides of the result."""
    kind = resampling(run[0])
    if isinstance(kind, tuple) and kind[0] == "zeros":
        on = torch.stack([p["on"] for p in params]).any(dim=0)
        theta = composed(x, run, params, which).flatten(1)
        return Kernel(kernels.warp, (on, theta)), (x.shape[2], x.shape[3])
    found = one_box(x, run, params) if kind is ResizedCrop else None
    return (Kernel(kernels.crop, [found[0]]), (found[1], found[1])) if found else None


def carried_out(
    x: torch.Tensor,
    which: torch.Tensor,
    resampling: Kernel,
    side: tuple[int, int],
    steps: Sequence[Step],
    last: bool,
) -> torch.Tensor:
    """Return images [B, C, H, W], float32, made of x [N, C, h, w]; side: (H, W).

    resampling: its `run` is called with x, `which`, its numbers and the result. steps: the kernels
    that follow it, and which images each changes. last: whether the result is channels_last.
    """
    n, shape = len(which), (x.shape[1], *side)
    memory = torch.channels_last if last else torch.contiguous_format
    out = torch.empty(n, *shape, memory_format=memory)
    source, chosen = x.detach().contiguous().numpy(), which.numpy()
    made, pixels = out.numpy(), out.permute(0, 2, 3, 1).numpy()
    numbers = _arrays(resampling.numbers, n)
    later = [(kernel.run, _arrays([on, *kernel.numbers], n)) for kernel, on in steps]

    def work(part: slice) -> None:
        some = np.empty((part.stop - part.start, *shape), np.float32) if last else made[part]
        resampling.run(source, chosen[part], *(v[part] for v in numbers), some)
        for run, values in later:
            run(some, *(v[part] for v in values))
        if last:
            kernels.by_pixel(some, pixels[part])

    each = max(1, CACHE // max(1, x[:1].numel(), out[:1].numel()))
    in_threads(work, [slice(i, min(i + each, n)) for i in range(0, n, each)])
    return out


def _arrays(numbers: Sequence[torch.Tensor], n: int) -> list[np.ndarray]:
    """Return what a kernel needs to know of n images as contiguous arrays [n, …]."""
    return [v.expand(n, *v.shape[1:]).contiguous().numpy() for v in numbers]

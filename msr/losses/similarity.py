"""Sums of exponentials of similarities, block by block, with their gradient written out.

The matrix of all similarities is never in memory: a block is computed, summed, and computed again
for the gradient (as in FlashAttention, Dao et al. 2022). On one rank the anchors are also what they
are compared with, so each pair of blocks is computed once and serves both ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

# rows and columns of a block: on a CPU it stays in the cache, on a GPU few blocks are launched
BLOCK = {"cpu": 512, "cuda": 4096}
LARGEST = 80.0  # of 2 · scale: exp(−2 · scale) is then a normal number in float32

Place = tuple[int, slice]  # a view, and some of its images


class _LogSums(torch.autograd.Function):
    """log Σ_n exp(scale ⟨a, b_n⟩) of unit vectors: see `log_sums`."""

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor,
        b: torch.Tensor | None,
        scale: float,
        first: int,
        alone: bool,
    ) -> torch.Tensor:
        """Return [V, B]. b: None if the anchors are compared with each other."""
        sums = a.new_zeros(a.shape[:2])
        others = a if b is None else b
        for i, j in pairs(a, others, mirrored=b is None):
            block = exponentials(a, others, i, j, scale, first, alone)
            sums[i] += block.sum(dim=1)
            if b is None and i != j:
                sums[j] += block.sum(dim=0)
        ctx.save_for_backward(a, b, sums)
        ctx.settings = scale, first, alone
        return sums.log() + scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """Return the gradients. With p_n = exp(…) / Σ, that of a is scale Σ_n p_n b_n."""
        a, b, sums = ctx.saved_tensors
        scale, first, alone = ctx.settings
        weight = scale * gradient / sums  # [V, B]
        of_a, of_b = torch.zeros_like(a), None if b is None else torch.zeros_like(b)
        others = a if b is None else b
        for i, j in pairs(a, others, mirrored=b is None):
            block = exponentials(a, others, i, j, scale, first, alone)
            if of_b is not None:
                block *= weight[i][:, None]
                of_a[i] += block @ others[j]
                of_b[j] += block.T @ a[i]
            else:
                block *= weight[i][:, None] + weight[j]
                of_a[i] += block @ a[j]
                if i != j:
                    of_a[j] += block.T @ a[i]
        return of_a, of_b, None, None, None


def log_sums(
    a: torch.Tensor, everything: torch.Tensor, scale: float, first: int, alone: bool
) -> torch.Tensor:
    """Return log Σ_n exp(scale ⟨a_i, b_n⟩) of each anchor a_i, [V, B].

    a [V, B, D]: unit vectors, of V views of B images. everything b [V, N, D]: those of all ranks,
    in which these images begin at `first`; `a` itself if there is one rank. Left out of the sum is
    the anchor itself (alone), or else every view of the anchor's image. scale: at most LARGEST / 2.
    """
    b = None if everything is a else everything
    return _LogSums.apply(a, b, scale, first, alone)


def pairs(a: torch.Tensor, b: torch.Tensor, mirrored: bool) -> Iterator[tuple[Place, Place]]:
    """Yield the blocks, as a place in a [V, B, D] and one in b [V, N, D].

    mirrored: a is b, so of two blocks that mirror each other only one is yielded.
    """
    size = BLOCK.get(a.device.type, 512)
    rows, columns = places(a, size), places(b, size)
    if mirrored:
        yield from itertools.combinations_with_replacement(rows, 2)
    else:
        yield from itertools.product(rows, columns)


def places(x: torch.Tensor, size: int) -> list[Place]:
    """Return the blocks of x [V, n, D], each of at most `size` images of one view."""
    starts = range(0, x.shape[1], size)
    parts = [slice(start, min(start + size, x.shape[1])) for start in starts]
    return [(view, part) for view in range(len(x)) for part in parts]


def exponentials(
    a: torch.Tensor,
    b: torch.Tensor,
    i: Place,
    j: Place,
    scale: float,
    first: int,
    alone: bool,
) -> torch.Tensor:
    """Return exp(scale (⟨a_i, b_j⟩ − 1)) of one block, 0 for what is left out of the sum."""
    block = torch.mm(a[i], b[j].T).sub_(1).mul_(scale).exp_()
    if alone and i[0] != j[0]:
        return block
    low = max(i[1].start + first, j[1].start)  # images that are in both, by their place in b
    high = min(i[1].stop + first, j[1].stop)
    if low < high:
        down, right = low - first - i[1].start, low - j[1].start
        square = block[down : down + high - low, right : right + high - low]
        square.diagonal().zero_()
    return block

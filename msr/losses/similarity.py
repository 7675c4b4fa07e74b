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

Place = tuple[slice, slice]  # some views, and of each the same images


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
            add(sums[i], block.sum(dim=1))
            if b is None and i != j:
                add(sums[j], block.sum(dim=0))
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
            rows, columns = a[i].flatten(0, 1), others[j].flatten(0, 1)
            if of_b is not None:
                block *= weight[i].flatten()[:, None]
                add(of_a[i], block @ columns)
                add(of_b[j], block.T @ rows)
            else:
                block *= weight[i].flatten()[:, None] + weight[j].flatten()
                add(of_a[i], block @ columns)
                if i != j:
                    add(of_a[j], block.T @ rows)
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
    # of a block, the same in a and b; half as large, since a block against itself is no half
    views = max(1, size // 2 // max(1, a.shape[1], b.shape[1]))
    rows, columns = places(a, size, views), places(b, size, views)
    if mirrored:
        yield from itertools.combinations_with_replacement(rows, 2)
    else:
        yield from itertools.product(rows, columns)


def places(x: torch.Tensor, size: int, views: int) -> list[Place]:
    """Return the blocks of x [V, n, D], each of at most so many views and `size` images of each."""
    return list(itertools.product(slices(x.shape[0], views), slices(x.shape[1], size)))


def slices(n: int, size: int) -> list[slice]:
    """Return the slices that cut n places into pieces of at most `size`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def add(part: torch.Tensor, values: torch.Tensor) -> None:
    """Add values [v · n, …] to a part [v, n, …] of a tensor, in place."""
    part.add_(values.view_as(part))


def exponentials(
    a: torch.Tensor,
    b: torch.Tensor,
    i: Place,
    j: Place,
    scale: float,
    first: int,
    alone: bool,
) -> torch.Tensor:
    """Return exp(scale (⟨a_i, b_j⟩ − 1)) of one block, 0 for what is left out of the sum.

    Its rows are the images of the first view of a_i, then those of the next; so are its columns.
    """
    rows, columns = a[i], b[j]  # [v, n, D], [w, m, D]
    block = torch.mm(rows.flatten(0, 1), columns.flatten(0, 1).T).sub_(1).mul_(scale).exp_()
    low = max(i[1].start + first, j[1].start)  # images that are in both, by their place in b
    high = min(i[1].stop + first, j[1].stop)
    if low < high and not (alone and i[0] != j[0]):
        down, right = low - first - i[1].start, low - j[1].start
        square = block.unflatten(1, columns.shape[:2]).unflatten(0, rows.shape[:2])
        square = square[:, down : down + high - low, :, right : right + high - low]
        same = square.diagonal(dim1=1, dim2=3)  # [v, w, images]
        (same.diagonal(dim1=0, dim2=1) if alone else same).zero_()
    return block

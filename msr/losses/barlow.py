"""Barlow Twins over several spaces (Zbontar et al. 2021).

M = 0 is the original; M > 0 is this project's extension.
"""

from __future__ import annotations

import torch

from msr import dist
from msr.losses.family import Family, Weight
from msr.spaces import Spaces


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Return z [..., D] unchanged; it is standardised as part of the cross-correlation."""
    return z


def standardise(z: torch.Tensor) -> torch.Tensor:
    """Return z [..., N, d] with mean 0 and variance 1 over the N images.

    The variance is biased, and 1e-5 is added to it, as in batch normalisation.
    """
    z = z - z.mean(dim=-2, keepdim=True)
    return z * (z.square().mean(dim=-2, keepdim=True) + 1e-5).rsqrt()


def align(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return Σ_i (1 − R_ii)² over the dimensions i of one space; query and key [B, d]."""
    query, key = (standardise(dist.gather(z)) for z in (query, key))
    return (1 - (query * key).mean(dim=0)).square().sum()


def spread(z: torch.Tensor, beta: Weight = 0.0051) -> torch.Tensor:
    """Return β Σ_{i≠j} R_ij² over the joint embedding, averaged over the keys.

    z [V, B, D], query first; R [D, D] is the cross-correlation of the query and a key, over the
    global batch.
    """
    z = standardise(dist.gather(z, dim=1))
    R = z[0].mT @ z[1:] / z.shape[1]  # [V - 1, D, D]
    off_diagonal = R.square().sum(dim=(1, 2)) - R.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    return beta * off_diagonal.mean()


def violation(align: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Return align_m / d_m, the mean of (1 − R_ii)² in each space; align and sizes [M + 1]."""
    return align / sizes


FAMILY = Family("barlow", normalise, align, spread, violation, scale_free=True)

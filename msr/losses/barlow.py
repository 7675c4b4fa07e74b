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


def correlation(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return the cross-correlation R [d, d] of query and key [B, d] over the global batch."""
    query, key = (standardise(dist.gather(z)) for z in (query, key))
    return query.T @ key / len(query)


def standardise(z: torch.Tensor) -> torch.Tensor:
    """Return z [N, d] with mean 0 and variance 1 (biased, plus 1e-5, as in batch normalisation)."""
    return (z - z.mean(dim=0)) / (z.var(dim=0, unbiased=False) + 1e-5).sqrt()


def align(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return Σ_i (1 − R_ii)² over the dimensions i of one space; query and key [B, d]."""
    query, key = (standardise(dist.gather(z)) for z in (query, key))
    return (1 - (query * key).mean(dim=0)).square().sum()


def spread(z: torch.Tensor, beta: Weight = 0.0051) -> torch.Tensor:
    """Return β Σ_{i≠j} R_ij² over the joint embedding, averaged over the keys.

    z [V, B, D], query first; R [D, D] is the cross-correlation of the query and a key.
    """

    def off_diagonal(R: torch.Tensor) -> torch.Tensor:
        return R.square().sum() - R.diagonal().square().sum()

    return beta * torch.stack([off_diagonal(correlation(z[0], key)) for key in z[1:]]).mean()


def violation(align: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Return align_m / d_m, the mean of (1 − R_ii)² in each space; align and sizes [M + 1]."""
    return align / sizes


FAMILY = Family("barlow", normalise, align, spread, violation, scale_free=True)

"""VICReg over several spaces (Bardes et al. 2022).

Coefficients follow FAIR's code: with two views, spread = μ · (hinge_a + hinge_b) / 2 + ν · (cov_a +
cov_b), where cov = Σ_{i≠j} Cov_ij² / D. Other implementations halve the covariance term too.
"""

from __future__ import annotations

import torch

from msr import dist
from msr.losses.family import Family, Weight
from msr.spaces import Spaces


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Return z [..., D] unchanged."""
    return z


def align(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error over images and dimensions; query and key [B, d]."""
    return (query - key).square().mean()


def spread(z: torch.Tensor, variance: Weight = 25.0, covariance: Weight = 1.0) -> torch.Tensor:
    """Return μ · mean_d max(0, 1 − √(Var_d + 1e-4)) + ν · 2 · Σ_{i≠j} Cov_ij² / D.

    z [V, B, D]. variance: μ; covariance: ν. Both terms are averaged over views. Var and Cov are
    unbiased, over the global batch. Raises ValueError if that holds fewer than 2 images.
    """
    z = dist.gather(z, dim=1)
    V, B, D = z.shape
    if B < 2:
        raise ValueError(f"vicreg needs at least 2 images per batch for a variance; got {B}")
    z = z - z.mean(dim=1, keepdim=True)
    hinge = (1 - (z.var(dim=1) + 1e-4).sqrt()).clamp(min=0).mean()
    cov = z.mT @ z / (B - 1)  # [V, D, D]
    off = cov.square().sum(dim=(1, 2)) - cov.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    return variance * hinge + covariance * 2 * (off / D).mean()


def violation(align: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Return half of align [M + 1]: 1 minus the correlation where each dimension has variance 1."""
    return align / 2


FAMILY = Family("vicreg", normalise, align, spread, violation, weight=25.0, averaged=True)

"""W-MSE over several spaces (Ermolov et al. 2021): whiten the joint embedding, then align.

Whitening makes the spaces uncorrelated with each other, so there is nothing left to spread.
"""

from __future__ import annotations

import torch

from msr import dist
from msr.losses.family import Family
from msr.spaces import Spaces


def normalise(z: torch.Tensor, spaces: Spaces, epsilon: float = 1e-4) -> torch.Tensor:
    """Whiten z [V, B, D] by the covariance of all views of the global batch plus ε."""
    everything = dist.gather(z, dim=1).flatten(0, 1)
    centred = everything - everything.mean(dim=0)
    covariance = centred.T @ centred / (len(centred) - 1)
    identity = torch.eye(z.shape[-1], device=z.device, dtype=z.dtype)
    factor = torch.linalg.cholesky(covariance + epsilon * identity)  # covariance = L Lᵀ
    whitened = torch.linalg.solve_triangular(factor, (z - everything.mean(dim=0)).mT, upper=False)
    return whitened.mT


def align(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return mean_i ‖z_q − z_k‖², query and key [B, d] whitened."""
    return (query - key).square().sum(dim=1).mean()


def spread(z: torch.Tensor) -> torch.Tensor:
    """Return 0: whitening has spread z already."""
    return z.new_zeros(())


def violation(align: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance per dimension; align and sizes [M + 1]."""
    return align / sizes


FAMILY = Family("wmse", normalise, align, spread, violation, scale_free=True)

"""The theorem's objective made trainable.

Squared distance within a pair, minus a Parzen estimate of the joint entropy.
"""

from __future__ import annotations

import math

import torch

from msr import dist
from msr.losses.family import Family
from msr.losses.pairwise import log_sum_exp
from msr.spaces import Spaces


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Bring each dimension to mean 0 and variance 1 over all views of the global batch together.

    z [V, B, D]. There is no affine map after it.
    """
    everything = dist.gather(z, dim=1).flatten(0, 1)
    return (z - everything.mean(dim=0)) / (everything.var(dim=0, unbiased=False) + 1e-5).sqrt()


def align(query: torch.Tensor, key: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return mean_i ‖z_q − z_k‖² / 2τ², query and key [B, d] standardised."""
    return (query - key).square().sum(dim=1).mean() / (2 * temperature**2)


def spread(z: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return mean_i log 1/(N−1) Σ_{j≠i} exp(−‖z_i − z_j‖² / 2τ²), for query and key 0 averaged.

    z [V, B, D] standardised, j over the global batch. Up to a constant this estimates −H(z) by a
    Gaussian window of width τ.
    """
    return torch.stack([parzen(view, temperature) for view in z[:2]]).mean()


def parzen(z: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return mean_i log p̂(z_i) without the window's constant, for one view z [B, D].

    Each point is left out of its own estimate.
    """
    everything = dist.gather(z)  # [N, D]
    N, scale = len(everything), 1 / temperature**2
    # −‖a − b‖² / 2τ² = (⟨a, b⟩ − ‖a‖²/2 − ‖b‖²/2) / τ²
    offset = -scale * everything.square().sum(dim=1) / 2
    itself = (dist.rank() * len(z) + torch.arange(len(z), device=z.device))[:, None]
    kernels = log_sum_exp(z, everything, scale, offset, itself)
    log_sum = kernels - scale * z.square().sum(dim=1) / 2
    return (log_sum - math.log(N - 1)).mean()


def violation(align: torch.Tensor, sizes: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the mean squared distance per dimension; align and sizes [M + 1]."""
    return 2 * temperature**2 * align / sizes


FAMILY = Family("entropy", normalise, align, spread, violation, scale_free=True)

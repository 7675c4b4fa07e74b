"""The theorem's objective made trainable: squared distance within a pair, minus a Parzen estimate of the joint entropy."""
from __future__ import annotations

import math

import torch

from . import dist
from .pairwise import log_sum_exp
from .spaces import Spaces


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Each dimension to mean 0 and variance 1 over all views of the global batch together, z [V, B, D]. No affine."""
    everything = dist.gather(z, dim=1).flatten(0, 1)
    return (z - everything.mean(dim=0)) / (everything.var(dim=0, unbiased=False) + 1e-5).sqrt()


def align(query: torch.Tensor, key: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """mean_i ‖z_q − z_k‖² / 2τ², query, key [B, d] standardised."""
    return (query - key).square().sum(dim=1).mean() / (2 * temperature**2)


def spread(z: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """mean_i log 1/(N−1) Σ_{j≠i} exp(−‖z_i − z_j‖² / 2τ²), j over the global batch, averaged over query and key 0.

    z [V, B, D] standardised; up to a constant this estimates −H(z) by a Gaussian window of width τ.
    """
    return torch.stack([parzen(view, temperature) for view in z[:2]]).mean()


def parzen(z: torch.Tensor, temperature: float) -> torch.Tensor:
    """mean_i log p̂(z_i) without the window's constant, one view z [B, D]; each point is left out of its own estimate."""
    everything = dist.gather(z)                                                               # [N, D]
    N, scale = len(everything), 1 / temperature**2
    # −‖a − b‖² / 2τ² = (⟨a, b⟩ − ‖a‖²/2 − ‖b‖²/2) / τ²
    offset = -scale * everything.square().sum(dim=1) / 2
    itself = (dist.rank() * len(z) + torch.arange(len(z), device=z.device))[:, None]
    log_sum = log_sum_exp(z, everything, scale, offset, itself) - scale * z.square().sum(dim=1) / 2
    return (log_sum - math.log(N - 1)).mean()


def violation(align: torch.Tensor, sizes: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Mean squared distance per dimension, align [M + 1], sizes [M + 1]."""
    return 2 * temperature**2 * align / sizes

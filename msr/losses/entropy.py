"""The theorem's objective made trainable.

It is the squared distance of query and key, minus a Parzen estimate (Parzen 1962) of the joint
entropy.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from msr import dist
from msr.config import Whole
from msr.losses.family import Family, Temperature
from msr.losses.pairwise import log_sum_exp
from msr.spaces import Spaces

NumberOfViews = Annotated[Whole, Field(ge=0)]


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Return z [V, B, D], each dimension with mean 0 and variance 1.

    Both are taken over all views of the global batch together (biased variance, 1e-5 added).
    """
    everything = dist.gather(z, dim=1).flatten(0, 1)
    return (z - everything.mean(dim=0)) / (everything.var(dim=0, unbiased=False) + 1e-5).sqrt()


def align(query: torch.Tensor, key: torch.Tensor, temperature: Temperature = 1.0) -> torch.Tensor:
    """Return mean_i ‖z_q − z_k‖² / (2τ²); query and key [B, d] are standardised."""
    return (query - key).square().sum(dim=1).mean() / (2 * temperature**2)


def spread(
    z: torch.Tensor, temperature: Temperature = 1.0, views: NumberOfViews = 0
) -> torch.Tensor:
    """Return mean_i log 1/(N−1) Σ_{j≠i} exp(−‖z_i − z_j‖² / (2τ²)), averaged over the views.

    z [V, B, D] is standardised; i and j are images within one view, j over the N images of the
    global batch. Up to a constant this estimates −H(z) by a Gaussian window of width τ. views: how
    many views are used, the query first and then key 0; 0: all, each of which has the law of the
    query where the two pipelines draw alike.
    """
    return parzen(z[: views or len(z)], temperature)


def parzen(z: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return mean log p̂_v(z_vi) over views v and images i, without the constant of the window.

    z [V, B, D]. p̂_v is the Parzen estimate from view v of the global batch; each point is left out
    of its own estimate. Raises ValueError if the global batch holds fewer than 2 images.
    """
    everything = dist.gather(z, dim=1)  # [V, N, D]
    (V, B), N, scale = z.shape[:2], everything.shape[1], 1 / temperature**2
    if N < 2:
        raise ValueError(f"entropy needs at least 2 images per batch to compare; got {N}")
    # −‖a − b‖² / 2τ² = (⟨a, b⟩ − ‖a‖²/2 − ‖b‖²/2) / τ²
    offset = -scale * everything.square().sum(dim=2) / 2
    itself = (dist.rank() * B + torch.arange(B, device=z.device))[:, None].expand(V, B, 1)
    kernels = log_sum_exp(z, everything, scale, offset, itself)
    log_sum = kernels - scale * z.square().sum(dim=2) / 2
    return (log_sum - math.log(N - 1)).mean()


def violation(
    align: torch.Tensor, sizes: torch.Tensor, temperature: Temperature = 1.0
) -> torch.Tensor:
    """Return half the mean squared distance per dimension; align and sizes [M + 1].

    z is standardised, so this is 1 minus the correlation of query and key, averaged over the
    dimensions of each space.
    """
    return temperature**2 * align / sizes


FAMILY = Family("entropy", normalise, align, spread, violation, scale_free=True)

"""SimCLR over several spaces (Chen et al. 2020), with the decoupled denominator of Yeh et al. 2022.

The decoupled denominator leaves out the positives, the other views of the same image. With M = 0
this is the decoupled contrastive loss. With `denominator="ntxent"` the positives are put back, and
M = 0 is then NT-Xent.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F

from msr import dist
from msr.losses.family import Family, Temperature
from msr.losses.pairwise import log_sum_exp
from msr.losses.similarity import LARGEST, log_sums
from msr.spaces import Spaces

Denominator = Literal["decoupled", "ntxent"]
DENOMINATORS: tuple[str, ...] = get_args(Denominator)


def normalise(z: torch.Tensor, spaces: Spaces) -> torch.Tensor:
    """Return u [..., D], each space of z on its own unit sphere: u^m = z^m / ‖z^m‖."""
    return spaces.join({name: F.normalize(part, dim=-1) for name, part in spaces.split(z).items()})


def align(query: torch.Tensor, key: torch.Tensor, temperature: Temperature = 0.15) -> torch.Tensor:
    """Return −mean_i ⟨u_q, u_k⟩ / τ; query and key [B, d] are unit vectors."""
    return -(query * key).sum(dim=1).mean() / temperature


def spread(
    u: torch.Tensor, temperature: Temperature = 0.15, denominator: Denominator = "decoupled"
) -> torch.Tensor:
    """Return mean_a log Σ_n exp(⟨v_a, v_n⟩ / τ), v = u / √(M + 1).

    u [V, B, D] has a unit vector in each space, so ‖u‖ = √(M + 1) and ‖v‖ = 1. The anchors a are
    all views of this rank. n runs over all views of OTHER images in the global batch ("decoupled"),
    or over every view but the anchor itself ("ntxent"). Raises ValueError for another denominator,
    and for a global batch of fewer than 2 images.
    """
    if denominator not in DENOMINATORS:
        choices = " or ".join(DENOMINATORS)
        raise ValueError(f"unknown denominator '{denominator}'; choose {choices}")
    v = F.normalize(u, dim=-1)
    everything = dist.gather(v, dim=1)  # [V, R * B, D]
    if everything.shape[1] < 2:
        raise ValueError(
            f"simclr needs at least 2 images per batch to compare; got {everything.shape[1]}"
        )
    first, alone = dist.rank() * u.shape[1], denominator == "ntxent"
    if 2 / temperature <= LARGEST:
        return log_sums(v, everything, 1 / temperature, first, alone).mean()
    hide = hidden(v, everything, first, alone)
    return log_sum_exp(
        v.flatten(0, 1), everything.flatten(0, 1), 1 / temperature, None, hide
    ).mean()


def hidden(v: torch.Tensor, everything: torch.Tensor, first: int, alone: bool) -> torch.Tensor:
    """Return for each anchor [V · B] the places in [V · N] that are left out of its sum.

    v [V, B, D], everything [V, N, D], in which the anchors' images begin at `first`. alone: only
    the anchor itself is left out, else every view of its image.
    """
    (V, B), N = v.shape[:2], everything.shape[1]
    image = (first + torch.arange(B, device=v.device)).repeat(V)
    views = N * torch.arange(V, device=v.device)
    return (image + views.repeat_interleave(B) if alone else image[:, None] + views).view(V * B, -1)


def violation(
    align: torch.Tensor, sizes: torch.Tensor, temperature: Temperature = 0.15
) -> torch.Tensor:
    """Return the mean of 1 − cosine in each space, in [0, 2], from align [M + 1]."""
    return temperature * align + 1


FAMILY = Family("simclr", normalise, align, spread, violation, averaged=True, per_image=True)

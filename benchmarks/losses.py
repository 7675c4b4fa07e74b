"""Losses and their gradients: against the same losses elsewhere, and against the plain formula."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.pairs import Case
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.spaces import Spaces

B, D, V, TAU = 1024, 128, 4, 0.15
SETTINGS: dict[str, Any] = {
    "simclr": {"denominator": "ntxent", "temperature": TAU}
}  # as lightly has it


def cases(device: torch.device) -> Iterator[Case]:
    """Yield the losses of two views against lightly's, and the spread of four views of simclr."""
    two = torch.randn(2, B, D, device=device, requires_grad=True)
    for family, theirs in peers().items():
        loss = Objective(family, Spaces(("content",), (D,)), **SETTINGS.get(family, {}))
        ours = both_ways(partial(objective, loss), two)
        yield Case(f"{family}, lightly", ours, both_ways(partial(of_two, theirs), two), B, "images")
    four = torch.randn(V, B, D, device=device, requires_grad=True)
    blocks = both_ways(lambda z: FAMILIES["simclr"].spread(z, temperature=TAU), four)
    yield Case("simclr, whole matrix", blocks, both_ways(by_matrix, four), B, "images")


def both_ways(function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> Callable:
    """Return a call of function(z) and of its gradient."""
    return lambda: torch.autograd.grad(function(z), z)


def objective(loss: Objective, z: torch.Tensor) -> torch.Tensor:
    """Return our loss of views [V, B, D]."""
    return loss(z).loss


def of_two(loss: Callable, z: torch.Tensor) -> torch.Tensor:
    """Return another library's loss of two views [2, B, D]."""
    return loss(z[0], z[1])


def by_matrix(z: torch.Tensor) -> torch.Tensor:
    """Return the spread of the family simclr as it is defined, from the matrix of all pairs."""
    n_views, n_images = z.shape[:2]
    v = F.normalize(z, dim=2).flatten(0, 1)
    image = torch.arange(n_images, device=z.device).repeat(n_views)
    own = image[:, None] == image
    return (v @ v.mT / TAU).masked_fill(own, -torch.inf).logsumexp(dim=1).mean()


def peers() -> dict[str, Any]:
    """Return {family: lightly's loss of two views [B, D]}; empty where it is not installed."""
    if not importlib.util.find_spec("lightly"):
        return {}
    from lightly import loss

    return {
        "simclr": loss.NTXentLoss(temperature=TAU),
        "vicreg": loss.VICRegLoss(),
        "barlow": loss.BarlowTwinsLoss(),
    }

"""The objective of every experiment:  L = Σ_m λ_m · align_m(z^m_query, z^m_key m) + spread(z)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

import torch

from msr import dist
from msr.config import choose
from msr.losses import FAMILIES
from msr.spaces import Spaces

ContentPairs = Literal["all", "query"]


@dataclass
class Terms:
    """The objective of one batch and its terms; only `loss` carries a gradient."""

    loss: torch.Tensor  # scalar, of this rank's images
    align: torch.Tensor  # [M + 1], not yet weighted by λ
    violation: torch.Tensor  # [M + 1], 0 aligned, 1 independent; averaged over ranks
    spread: torch.Tensor  # scalar
    lambdas: torch.Tensor  # [M + 1], the weights λ


class Objective(torch.nn.Module):
    """The loss L of one family, for embeddings z [V, B, D] of V views (query first).

    lambdas: one weight for all spaces, one per space (content first), or None for the family's
    default. They are a buffer, so that a checkpoint holds them. paired: image i of the batch of all
    ranks has a single key, number i mod (M + 1), as `Views(paired=True)` makes them.
    content_spread: weight of a further spread, of the content space alone (an option of the paper's
    SimCLR form). content_pairs: "all" aligns content over every pair of views that shares content
    alone (see `content_pairs`), "query" over the query and key 0 only; paired views have that pair
    alone. joint: whether the spread is that of all spaces together, as the theory asks, or the sum
    of each space's own, which lets a style space copy the content (for comparison).

    settings: the family's own, by name: simclr(temperature, denominator), vicreg(variance,
    covariance), barlow(beta), entropy(temperature, views). Families that are `averaged` divide sums
    over the spaces by M + 1. Raises ValueError for an unknown family or setting, for a negative
    weight, and for a wrong number of weights.
    """

    lambdas: torch.Tensor
    sizes: torch.Tensor

    def __init__(
        self,
        family: str,
        spaces: Spaces,
        lambdas: float | Sequence[float] | None = None,
        paired: bool = False,
        content_spread: float = 0.0,
        content_pairs: ContentPairs = "all",
        joint: bool = True,
        **settings: Any,
    ):
        super().__init__()
        choose("family", family, FAMILIES)
        choose("content_pairs", content_pairs, get_args(ContentPairs))
        self.record = FAMILIES[family].with_settings(settings)
        self.spaces, self.paired, self.content_spread = spaces, paired, content_spread
        self.content_pairs, self.joint = content_pairs, joint
        n = len(spaces.names)
        lambdas = self.record.weight if lambdas is None else lambdas
        weights = [lambdas] * n if isinstance(lambdas, (int, float)) else list(lambdas)
        if len(weights) != n or min(weights) < 0:
            raise ValueError(
                f"lambdas {weights}: give one weight ≥ 0 per space ({', '.join(spaces.names)}), "
                "or one for all"
            )
        self.register_buffer("lambdas", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("sizes", torch.tensor(spaces.sizes, dtype=torch.float32))
        self.weight = 1 / n if self.record.averaged else 1.0

    def forward(self, z: torch.Tensor) -> Terms:
        """Return the terms of z [V, B, D], of any float type.

        They are computed in float32, or in float64 if z is float64, also under autocast.
        """
        terms = self.record
        with torch.autocast(z.device.type, enabled=False):
            z = terms.normalise(z if z.dtype == torch.float64 else z.float(), self.spaces)
            parts = self.spaces.split(z)  # {space: [V, B, d_m]}
            pairs = [self.pair(part, m) for m, part in enumerate(parts.values())]
            align = torch.stack([terms.align(query, key) for query, key in pairs])
            spread = terms.spread(z) if self.joint else self.separate(parts)
            if self.content_spread:
                own = spread if len(parts) == 1 else terms.spread(parts["content"])
                spread = spread + self.content_spread * own
            # L = Σ_m λ_m align_m + spread(z)
            loss = self.weight * (self.lambdas * align).sum() + spread
            violation = dist.mean(terms.violation(align.detach(), self.sizes))
        return Terms(loss, align.detach(), violation, spread.detach(), self.lambdas)

    @property
    def family(self) -> str:
        """The name of the family."""
        return self.record.name

    @property
    def scale_free(self) -> bool:
        """Whether the family fixes z only up to the scale of each dimension."""
        return self.record.scale_free

    @property
    def frozen_normalise(self) -> Callable[[torch.Tensor, Spaces], torch.Tensor] | None:
        """The family's `normalise` where it acts on each image alone, for probes; else None."""
        return self.record.normalise if self.record.per_image else None

    def separate(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the sum of the spreads of each space alone, from {space: [V, B, d_m]}."""
        return (
            self.weight * torch.stack([self.record.spread(part) for part in parts.values()]).sum()
        )

    def pair(self, part: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is aligned in space m, two [n, d] from that space's part [V, B, d] of z.

        They are the query and key m of each image, n = B; in the content space, of each pair of
        `content_pairs` in turn, unless `content_pairs` is "query".

        When paired, these are the images of all ranks whose single key is key m, the same on every
        rank: a rank may have fewer of them than another, or none. So the mean over them is that of
        the whole batch, and a family that gathers its arguments again only repeats them.
        """
        if self.paired:
            turn = slice(m, None, len(self.spaces.names))
            part = dist.gather(part, dim=1)
            return part[0, turn], part[1, turn]
        if m or self.content_pairs == "query":
            return part[0], part[m + 1]
        pairs = content_pairs(len(part))
        return torch.cat([part[a] for a, _ in pairs]), torch.cat([part[b] for _, b in pairs])


def one_for_all(lambdas: Sequence[float]) -> float | list[float] | None:
    """Return a list of weights as `Objective` takes it: None if empty, a single one as a number."""
    return lambdas[0] if len(lambdas) == 1 else list(lambdas) or None


def content_pairs(n_views: int) -> list[tuple[int, int]]:
    """Return the pairs of views of an image that share content alone, as places in [V, …].

    n_views: V = M + 2, the query and M + 1 keys. The query shares only content with key 0, and so
    does any key with any other: the group that key m takes over from the query is drawn afresh in
    all other keys. These are 1 + M (M + 1) / 2 pairs.
    """
    return [(0, 1), *combinations(range(1, n_views), 2)]

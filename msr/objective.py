"""The objective of every experiment:  L = Σ_m λ_m · align_m(z^m_query, z^m_key m) + spread(z)."""
from __future__ import annotations

import difflib
import functools
import inspect
from dataclasses import dataclass

import torch

from . import barlow, dist, entropy, simclr, vicreg
from .spaces import Spaces

FAMILIES = {"simclr": simclr, "vicreg": vicreg, "barlow": barlow, "entropy": entropy}
# Default λ_m, and whether align is averaged over spaces (÷ M + 1) or summed.
LAMBDA = {"simclr": (1.0, True), "vicreg": (25.0, True), "barlow": (1.0, False), "entropy": (1.0, False)}


@dataclass
class Terms:
    """One batch's value. `loss` carries the gradient; align, violation, lambdas [M + 1] and spread do not."""

    loss: torch.Tensor
    align: torch.Tensor
    violation: torch.Tensor
    spread: torch.Tensor
    lambdas: torch.Tensor


class Objective(torch.nn.Module):
    """L for one family on embeddings z [V, B, D], V views as `Views` makes them (query first).

    lambdas: one weight, one per space (content first), or None for the family's default. content_spread: weight of
    the same spread on the content space alone, added (an option of the paper's SimCLR form). The family's own
    settings go by name: simclr(temperature, denominator), vicreg(variance, covariance), barlow(beta), entropy(temperature).
    λ is a buffer, so that a checkpoint holds it. Raises ValueError for an unknown family or setting.
    """

    def __init__(self, family: str, spaces: Spaces, lambdas=None, paired: bool = False, content_spread: float = 0.0, **settings):
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f"unknown family '{family}'{nearest(family, FAMILIES)}; choose {', '.join(FAMILIES)}")
        self.family, self.spaces, self.paired, self.content_spread = family, spaces, paired, content_spread
        terms, known = FAMILIES[family], set()
        for name in ("align", "spread", "violation"):
            term = getattr(terms, name)
            options = {k for k, p in inspect.signature(term).parameters.items() if p.default is not p.empty}
            setattr(self, name, functools.partial(term, **{k: v for k, v in settings.items() if k in options}))
            known |= options
        for name in settings:
            if name not in known:
                raise ValueError(f"unknown setting '{name}' of family '{family}'{nearest(name, known)}; "
                                 f"it has: {', '.join(sorted(known))}")
        self.normalise, self.settings = terms.normalise, settings
        n = len(spaces.names)
        default, averaged = LAMBDA[family]
        lambdas = [default] * n if lambdas is None else [lambdas] * n if isinstance(lambdas, (int, float)) else list(lambdas)
        if len(lambdas) != n or min(lambdas) < 0:
            raise ValueError(f"lambdas {lambdas}: give one weight ≥ 0 per space ({', '.join(spaces.names)}), or one for all")
        self.register_buffer("lambdas", torch.tensor(lambdas, dtype=torch.float32))
        self.register_buffer("sizes", torch.tensor(spaces.sizes, dtype=torch.float32))
        self.weight = 1 / n if averaged else 1.0

    def forward(self, z: torch.Tensor) -> Terms:
        """z [V, B, D], any float type; the loss is computed in float32, or float64 if that is z's, whatever autocast says."""
        with torch.autocast(z.device.type, enabled=False):
            z = self.normalise(z if z.dtype == torch.float64 else z.float(), self.spaces)
            parts = self.spaces.split(z)                                                      # {space: [V, B, d_m]}
            align = torch.stack([self.align(*self.pair(part, m)) for m, part in enumerate(parts.values())])
            spread = self.spread(z)
            if self.content_spread:
                spread = spread + self.content_spread * self.spread(parts["content"])
            # L = Σ_m λ_m align_m + spread(z)
            loss = self.weight * (self.lambdas * align).sum() + spread
            violation = dist.mean(self.violation(align.detach(), self.sizes))
        return Terms(loss, align.detach(), violation, spread.detach(), self.lambdas)

    @property
    def frozen_normalise(self):
        """What of `normalise` acts on each image alone, for probes: SimCLR's spheres; None for the other families."""
        return self.normalise if self.family == "simclr" else None

    def pair(self, part: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Query and key m in one space, part [V, B, d]; when paired, the images whose only key is key m."""
        if self.paired:
            turn = slice(m, None, len(self.spaces.names))
            return part[0, turn], part[1, turn]
        return part[0], part[m + 1]


def nearest(name: str, known) -> str:
    """' (did you mean …?)' or nothing."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{match[0]}'?)" if match else ""

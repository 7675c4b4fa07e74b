"""What a loss family is: one record with everything that the rest of the library asks of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from msr.config import nearest

Term = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Family:
    """The terms of one objective, and what holds for them.

    normalise(z, spaces, …): embeddings z [..., D] as the terms want them.
    align(query, key, …): the alignment of one space, query and key [B, d], a scalar.
    spread(z, …): minus the joint entropy of z [V, B, D], query first, a scalar.
    violation(align, sizes, …): a scale-free misalignment per space, align and sizes [M + 1].

    Keyword arguments of the four, beyond those, are the family's settings; a setting that several
    terms name reaches all of them.
    """

    name: str
    normalise: Term
    align: Term
    spread: Term
    violation: Term
    weight: float = 1.0  # λ_m unless the user gives one
    averaged: bool = False  # align is averaged over spaces (÷ M + 1) rather than summed
    per_image: bool = False  # normalise acts on each image alone, so probes may apply it
    scale_free: bool = False  # z is fixed only up to the scale of each dimension

    @property
    def settings(self) -> dict[str, Any]:
        """The family's settings with their defaults."""
        found: dict[str, Any] = {}
        for term in (self.normalise, self.align, self.spread, self.violation):
            found |= _options(term)
        return found

    def with_settings(self, settings: dict[str, Any]) -> Family:
        """Return the family with settings fixed. Raises ValueError for one it does not have."""
        for name in settings:
            if name not in self.settings:
                known = ", ".join(sorted(self.settings))
                raise ValueError(
                    f"unknown setting '{name}' of family '{self.name}'"
                    f"{nearest(name, self.settings)}; it has: {known}"
                )

        def fix(term: Term) -> Term:
            own = {name: settings[name] for name in _options(term) if name in settings}
            return functools.partial(term, **own) if own else term

        return replace(
            self,
            normalise=fix(self.normalise),
            align=fix(self.align),
            spread=fix(self.spread),
            violation=fix(self.violation),
        )


def _options(term: Term) -> dict[str, Any]:
    """Return the keyword arguments of a term with their defaults."""
    parameters = inspect.signature(term).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty}

"""What a loss family is: a record with all that the rest of the library needs to know of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_type_hints

import torch
from pydantic import Field, create_model

from msr.config import Config, Number, nearest

Term = Callable[..., torch.Tensor]
Temperature = Annotated[Number, Field(ge=0.001, le=1000)]  # a loss divides by its square
Weight = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True)
class Family:
    """The four terms of a family's objective, and its properties.

    normalise(z, spaces, …): returns embeddings z [..., D] in the form that the other terms expect.
    align(query, key, …): returns the misalignment of one space, a scalar; query and key [B, d].
    spread(z, …): returns a scalar that stands for minus the joint entropy; z [V, B, D].
    violation(align, sizes, …): returns the misalignment relative to that of independent embeddings:
    0 where query and key agree, 1 where they are independent; it and its arguments [M + 1].

    In z the query comes first. The other arguments of the terms, those with defaults, are the
    family's settings; a setting that several terms have is passed to each of them.
    """

    name: str
    normalise: Term
    align: Term
    spread: Term
    violation: Term
    weight: float = 1.0  # λ_m, unless the user gives another
    averaged: bool = False  # whether align is averaged over the M + 1 spaces, instead of summed
    per_image: bool = False  # whether normalise acts on each image alone, so that probes may use it
    scale_free: bool = False  # whether z is fixed only up to the scale of each dimension

    @property
    def settings(self) -> dict[str, Any]:
        """The family's settings with their defaults."""
        found: dict[str, Any] = {}
        for term in (self.normalise, self.align, self.spread, self.violation):
            found |= _options(term)
        return found

    def _declared(self) -> dict[str, Any]:
        """Return {setting: (its type, its default)}."""
        found: dict[str, Any] = {}
        for term in (self.normalise, self.align, self.spread, self.violation):
            function = term.func if isinstance(term, functools.partial) else term
            types = get_type_hints(function, include_extras=True)
            found |= {k: (types.get(k, Any), value) for k, value in _options(term).items()}
        return found

    def with_settings(self, settings: dict[str, Any]) -> Family:
        """Return the family with some settings fixed.

        Raises ValueError, one line, for an unknown setting, and for a value that is not what the
        terms declare for it.
        """
        for name in settings:
            if name not in self.settings:
                known = ", ".join(sorted(self.settings))
                raise ValueError(
                    f"unknown setting '{name}' of family '{self.name}'"
                    f"{nearest(name, self.settings)}; it has: {known}"
                )

        checked = create_model(f"Settings of {self.name}", __base__=Config, **self._declared())
        settings = {name: getattr(checked(**settings), name) for name in settings}

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

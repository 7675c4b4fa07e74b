"""Pipelines: ordered lists of transforms, sampled and applied together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from msr.augment.affine import Affine, warp
from msr.augment.base import Params, Transform
from msr.config import nearest, shown


class Pipeline:
    """Transforms in the order in which they are applied.

    Raises ValueError if two of them have the same name.
    """

    def __init__(self, transforms: Sequence[Transform]):
        self.transforms = {t.name: t for t in transforms}
        if len(self.transforms) != len(transforms):
            names = ", ".join(t.name for t in transforms)
            raise ValueError(f"each transform may stand once in a pipeline; got {names}")

    def sample(self, generator: torch.Generator, n: int, size: int) -> dict[str, Params]:
        """Draw {transform: {parameter: [n, …]}} for n images of size × size pixels."""
        return {name: t.sample(generator, n, size) for name, t in self.transforms.items()}

    def apply(self, x: torch.Tensor, params: dict[str, Params]) -> torch.Tensor:
        """Return x, float [B, C, H, W] in [0, 1], augmented by these parameters.

        params: {transform: {parameter: [B, …]}}. Neighbouring affine maps resample x once. A crop
        may change H and W.
        """
        for together, run in itertools.groupby(self.transforms.values(), key=_canvas):
            if together:
                neighbours = [t for t in run if isinstance(t, Affine)]
                x = warp(x, neighbours, [params[t.name] for t in neighbours])
            else:
                for t in run:
                    x = t.apply(x, params[t.name])
        return x

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that these transforms declare, then the names of the random transforms."""
        drawn = [t for t in self.transforms.values() if t.random]
        declared = [group for t in drawn for group in t.groups]
        return tuple(dict.fromkeys([*declared, *(t.name for t in drawn)]))

    def group(self, group: str) -> tuple[str, ...]:
        """Return the names of the transforms in `group`, which may also be one transform's name.

        Raises ValueError, with the most similar known name, if there are none.
        """
        drawn = {name: t for name, t in self.transforms.items() if t.random}
        if group in drawn:
            return (group,)
        members = tuple(name for name, t in drawn.items() if group in t.groups)
        if not members:
            raise ValueError(
                f"unknown group {shown(group)}; this pipeline has: {', '.join(self.groups)}"
                + nearest(group, self.groups)
            )
        return members


def _canvas(t: Transform) -> tuple[str, str] | None:
    """Return the padding and centre that affine neighbours must share to be resampled once.

    It is None for other transforms.
    """
    return (t.padding, t.centre) if isinstance(t, Affine) else None

"""Pipelines: ordered lists of transforms, sampled and applied together."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import torch

from msr.augment.affine import Affine, warp
from msr.augment.base import Params, Transform
from msr.augment.spatial import Flip, ResizedCrop, centre_square, cut, cut_out
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
        # transforms of a user's own may override `apply` without `inplace`
        known = {t.name: inspect.signature(t.apply).parameters for t in transforms}
        self.inplace = {name for name, found in known.items() if "inplace" in found}

    def sample(self, generator: torch.Generator, n: int, size: int) -> dict[str, Params]:
        """Draw {transform: {parameter: [n, …]}} for n images of size × size pixels."""
        return {name: t.sample(generator, n, size) for name, t in self.transforms.items()}

    def apply(
        self, x: torch.Tensor, params: dict[str, Params], inplace: bool = False
    ) -> torch.Tensor:
        """Return x, float [B, C, H, W] in [0, 1], augmented by these parameters.

        params: {transform: {parameter: [B, …]}}. Neighbouring affine maps resample x once, and so
        do a crop and the flips after it. A crop may change H and W. inplace: whether x may be
        overwritten.
        """
        with torch.autocast(x.device.type, enabled=False):
            for _, run in itertools.groupby(self.transforms.values(), key=_resampling):
                neighbours = list(run)
                y = self._apply(neighbours, x, [params[t.name] for t in neighbours], inplace)
                inplace = inplace or _apart(x, y)
                x = y
        return x

    def _apply(
        self, neighbours: Sequence[Transform], x: torch.Tensor, params: list[Params], inplace: bool
    ) -> torch.Tensor:
        """Return images x after neighbours that resample together, or after a single transform."""
        affine = [t for t in neighbours if isinstance(t, Affine)]
        if affine:
            return warp(x, affine, params, inplace)
        if _resampling(neighbours[0]) is ResizedCrop:
            return cut_out(x, neighbours, params)
        given = {"inplace": True} if inplace and neighbours[0].name in self.inplace else {}
        return neighbours[0].apply(x, params[0], **given)

    def takes_aspect(self, params: dict[str, Params]) -> bool:
        """Return whether the first transform undoes the squashing of images, as a crop does."""
        return "aspect" in next(iter(params.values()), {})

    def with_aspect(
        self, params: dict[str, Params], aspect: torch.Tensor | None
    ) -> dict[str, Params]:
        """Return the parameters for images that were squashed to squares, if that matters to them.

        aspect: width / height of each image before, [B] on the parameters' device, or None.
        """
        if aspect is None or not self.takes_aspect(params):
            return params
        first = next(iter(params))
        return params | {first: params[first] | {"aspect": aspect}}

    def unsquash(
        self, x: torch.Tensor, params: dict[str, Params], aspect: torch.Tensor | None
    ) -> tuple[torch.Tensor, dict[str, Params]]:
        """Return images and parameters to `apply` that undo the squashing of images x.

        x: float [B, C, S, S]. aspect: as in `with_aspect`; None: x was not squashed, and nothing is
        changed. If the first transform does not take the aspect, the centre squares replace x.
        """
        if aspect is not None and not self.takes_aspect(params):
            x = cut(x, centre_square(aspect), x.shape[-1])
        return x, self.with_aspect(params, aspect)

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


def _resampling(t: Transform) -> Any:
    """Return what neighbours must share to resample images together.

    These are the padding and centre of affine maps, and one value for all crops and flips that
    apply themselves as those do; a value of its own for any other transform.
    """
    if isinstance(t, Affine):
        return t.padding, t.centre
    kind = type(t)
    crops = kind.apply is ResizedCrop.apply
    flips = isinstance(t, Flip) and kind.apply is Flip.apply and kind.change is Flip.change
    return ResizedCrop if crops or flips else (t.name,)


def _apart(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Return whether y lies in other memory than x, with a place for each of its values."""
    return y.is_contiguous() and y.untyped_storage()._cdata != x.untyped_storage()._cdata

"""Pipelines: ordered lists of transforms, sampled and applied together."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import cast

import torch

from msr.augment import sweep
from msr.augment.affine import Affine, warp
from msr.augment.base import Params, Transform, to_float
from msr.augment.spatial import ResizedCrop, centre_square, cut, cut_out
from msr.augment.sweep import resampling
from msr.config import nearest, shown

CACHE = 2**20  # floats that PyTorch augments at a time on a CPU


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
        self,
        x: torch.Tensor,
        params: dict[str, Params],
        inplace: bool = False,
        which: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return images x [N, C, H, W] augmented by these parameters, float [B, C, H, W].

        x: uint8, or float in [0, 1]. params: {transform: {parameter: [B, …]}}. inplace: whether x
        may be overwritten. which: the image that each row of parameters belongs to, int64 [B];
        None: N = B, and they are in one order. Neighbouring affine maps resample x once, and so do
        a crop and the flips after it. A crop may change H and W.

        On a CPU a transform's compiled kernel does it where it has one (see `sweep`). The result
        lies in memory as channels_last, as convolutions read it fastest.
        """
        runs = [list(run) for _, run in itertools.groupby(self.transforms.values(), resampling)]
        with torch.autocast(x.device.type, enabled=False):
            while runs:
                y, done = sweep.swept(x, runs, params, which)
                if not done:
                    inplace = inplace or which is not None or x.dtype == torch.uint8
                    x = taken(x, which)
                    y, done = self._apply(runs[0], x, [params[t.name] for t in runs[0]], inplace), 1
                inplace = inplace or _apart(x, y)
                x, which, runs = y, None, runs[done:]
        return taken(x, which).contiguous(memory_format=torch.channels_last)

    def _apply(
        self, run: Sequence[Transform], x: torch.Tensor, params: list[Params], inplace: bool
    ) -> torch.Tensor:
        """Return images x after transforms that resample together, or after a single one.

        On a CPU it is done in pieces that fit into the cache.
        """
        n = len(x)
        each = max(1, CACHE // max(1, x[:1].numel())) if x.device.type == "cpu" else n
        if n > each:
            parts = [slice(i, i + each) for i in range(0, n, each)]
            own = [[{k: v[part] for k, v in p.items()} for p in params] for part in parts]
            made = [self._apply(run, x[part], p, inplace) for part, p in zip(parts, own)]
            return torch.cat(made)
        if isinstance(resampling(run[0]), tuple):
            return warp(x, cast("list[Affine]", run), params, inplace)
        if resampling(run[0]) is ResizedCrop:
            return cut_out(x, run, params)
        given = {"inplace": True} if inplace and run[0].name in self.inplace else {}
        return run[0].apply(x, params[0], **given)

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
        self,
        x: torch.Tensor,
        params: dict[str, Params],
        aspect: torch.Tensor | None,
        which: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, Params]]:
        """Return images and parameters to `apply` that undo the squashing of images x.

        x: uint8 or float [N, C, S, S]. aspect: of each image [N], as in `with_aspect`; None: x was
        not squashed, and nothing is changed. If the first transform does not take the aspect, the
        centre squares replace x. which: as in `apply`.
        """
        if aspect is None:
            return x, params
        if not self.takes_aspect(params):
            x = cut(to_float(x), centre_square(aspect), x.shape[-1])
        return x, self.with_aspect(params, aspect if which is None else aspect[which])

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


def taken(x: torch.Tensor, which: torch.Tensor | None) -> torch.Tensor:
    """Return images x[which], or all in order for None; uint8 as float32 in [0, 1]."""
    x = to_float(x) if x.dtype == torch.uint8 else x
    return x if which is None else x[which]


def _apart(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Return whether y lies in other memory than x, with a place for each of its values."""
    return y.is_contiguous() and y.untyped_storage()._cdata != x.untyped_storage()._cdata

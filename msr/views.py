"""Structured views: for each image a query and M + 1 keys, each sharing a chosen group of augmentations with the query.

    query   t                                          all parameters drawn
    key 0   everything drawn afresh                    shares only content with the query
    key m   everything drawn afresh, but group m = t's shares content AND style m
"""
from __future__ import annotations

import difflib
import itertools
from typing import Sequence

import torch

from . import dist
from .augment import Affine, Params, Transform, warp

CACHE = 2**19                                                 # floats of a CPU's piece of work: three times faster than all at once

# Groups by name. A pipeline's transform may also be chosen on its own, by its own name.
GROUPS = {
    "spatial": ("crop", "flip", "vertical_flip", "rotation", "affine", "translation", "zoom"),
    "appearance": ("jitter", "greyscale", "blur", "solarise", "equalise"),
    "color": ("jitter", "greyscale", "solarise", "equalise"),
    "texture": ("blur",),
    "affine": ("flip", "vertical_flip", "rotation", "affine", "translation", "zoom"),
}


class Pipeline:
    """An ordered list of transforms, each named once."""

    def __init__(self, transforms: Sequence[Transform]):
        self.transforms = {t.name: t for t in transforms}
        if len(self.transforms) != len(transforms):
            raise ValueError(f"each transform may stand once in a pipeline; got {', '.join(t.name for t in transforms)}")

    def sample(self, generator, n: int, size: int) -> dict[str, Params]:
        """{transform: its parameters for n images}, on the generator's device."""
        return {name: t.sample(generator, n, size) for name, t in self.transforms.items()}

    def apply(self, x: torch.Tensor, params: dict[str, Params]) -> torch.Tensor:
        """x float [B, C, H, W] in [0, 1]. Neighbouring affine transforms resample once."""
        for together, run in itertools.groupby(self.transforms.values(), key=canvas):
            run = list(run)
            if together:
                x = warp(x, run, [params[t.name] for t in run])
            else:
                for t in run:
                    x = t.apply(x, params[t.name])
        return x

    def group(self, group: str) -> tuple[str, ...]:
        """The transforms of this pipeline that belong to `group`; ValueError when unknown or empty here."""
        drawn = [name for name in self.transforms if name != "normalise"]
        members = (group,) if group in drawn else GROUPS.get(group, ())
        present = tuple(name for name in members if name in drawn)
        if not present:
            allowed = [g for g in GROUPS if set(GROUPS[g]) & set(drawn)] + drawn
            near = difflib.get_close_matches(group, allowed, n=1)
            raise ValueError(f"unknown group '{group}'; this pipeline has: {', '.join(dict.fromkeys(allowed))}"
                             + (f" (did you mean '{near[0]}'?)" if near else ""))
        return present


def canvas(t: Transform) -> tuple[str, str] | None:
    """What affine neighbours in a pipeline must have in common to be applied together; None for other transforms."""
    return (t.padding, t.centre) if isinstance(t, Affine) else None


class Views:
    """The query and its keys. `views(images, generator) -> [V, B, C, S, S]`, V = M + 2, or 2 when `paired`.

    `key` defaults to `query`; the two hold the same transforms in the same order and may differ in probability and
    strength (asymmetric views). A shared group shares everything drawn for it, the applied yes/no included.
    `paired`: image i gets the query and only key (i mod M + 1), so the cost does not grow with M.
    """

    def __init__(self, query: Pipeline, key: Pipeline | None = None, groups: Sequence[str] = (), paired: bool = False):
        key = key or query
        if list(query.transforms) != list(key.transforms):
            raise ValueError(f"query and key need the same transforms in the same order; got {', '.join(query.transforms)} "
                             f"and {', '.join(key.transforms)} (set a probability to 0 instead of leaving one out)")
        self.query, self.key, self.groups, self.paired = query, key, tuple(groups), paired
        self.members = {group: query.group(group) for group in self.groups}
        seen: dict[str, str] = {}
        for group, names in self.members.items():
            for name in names:
                if name in seen:
                    raise ValueError(f"groups '{seen[name]}' and '{group}' both hold '{name}'; groups must not overlap")
                seen[name] = group

    @property
    def n_views(self) -> int:
        return 2 if self.paired else len(self.groups) + 2

    def sample(self, generator: torch.Generator, n: int, size: int) -> list[dict[str, Params]]:
        """The parameters of each view, query first, then the keys, of the n images of all ranks."""
        query = self.query.sample(generator, n, size)
        if not self.paired:
            keys = [self.key.sample(generator, n, size) for _ in range(len(self.groups) + 1)]
            for key, names in zip(keys[1:], self.members.values()):
                key.update({name: query[name] for name in names})
            return [query, *keys]
        key, local = self.key.sample(generator, n, size), n // dist.world_size()
        turn = torch.arange(n, device=generator.device) % local % (len(self.groups) + 1)      # image i of a rank gets key turn[i]
        for m, names in enumerate(self.members.values(), start=1):
            for name in names:
                key[name] = choose(turn == m, query[name], key[name])
        return [query, key]

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """images [B, C, H, W] (uint8, or float in [0, 1]) -> views [V, B, C, S, S] on the images' device.

        Parameters are drawn on the generator's device (a CPU generator gives the same views on every device), for the images of all
        ranks: equal generators give each image the same views on any number of ranks.
        """
        mine = dist.own(len(images))
        params = self.sample(generator, len(images) * dist.world_size(), images.shape[-1])
        return self.apply(images, [{name: {k: v[mine] for k, v in draws.items()} for name, draws in view.items()} for view in params])

    def apply(self, images: torch.Tensor, params: list[dict[str, Params]]) -> torch.Tensor:
        """All views in one pass of the pipeline over V · B images; on a CPU in pieces that stay in its cache."""
        x = to_float(images).repeat(len(params), 1, 1, 1)                                     # [V * B, C, H, W]
        joined = {name: {k: torch.cat([p[name][k] for p in params]).to(x.device, non_blocking=True)
                         for k in params[0][name]} for name in params[0]}
        piece = max(16, CACHE // x[0].numel()) if x.device.type == "cpu" else len(x)
        out = [self.query.apply(x[i:i + piece], {name: {k: v[i:i + piece] for k, v in p.items()} for name, p in joined.items()})
               for i in range(0, len(x), piece)]
        return torch.cat(out).view(len(params), len(images), *out[0].shape[1:])


def choose(mask: torch.Tensor, a: Params, b: Params) -> Params:
    """Per image: a's parameters where mask [n], else b's."""
    return {k: torch.where(mask.view(-1, *[1] * (a[k].dim() - 1)), a[k], b[k]) for k in a}


def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 [0, 255] or float [0, 1] -> float32 [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()

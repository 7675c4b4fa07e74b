"""Structured views: for each image a query and M + 1 keys that share chosen groups with it.

query   t                                          all parameters drawn
key 0   everything drawn afresh                    shares only content with the query
key m   everything drawn afresh, but group m = t's shares content AND style m
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from msr import dist
from msr.augment import Params, Pipeline

CACHE = 2**19  # floats of a CPU's piece of work: three times faster than all at once


class Views:
    """The query and its keys: `views(images, generator)` is [V, B, C, S, S], V = M + 2.

    `key` defaults to `query`; the two hold the same transforms in the same order and may differ in
    probability and strength (asymmetric views). A shared group shares everything drawn for it, the
    applied yes/no included. paired: image i gets the query and only key (i mod M + 1), V = 2, so
    the cost does not grow with M. Raises ValueError for unlike pipelines, an unknown group, or
    groups that overlap.
    """

    def __init__(
        self,
        query: Pipeline,
        key: Pipeline | None = None,
        groups: Sequence[str] = (),
        paired: bool = False,
    ):
        key = key or query
        if list(query.transforms) != list(key.transforms):
            raise ValueError(
                "query and key need the same transforms in the same order; got "
                f"{', '.join(query.transforms)} and {', '.join(key.transforms)} "
                "(set a probability to 0 instead of leaving one out)"
            )
        self.query, self.key, self.groups, self.paired = query, key, tuple(groups), paired
        self.members = {group: query.group(group) for group in self.groups}
        seen: dict[str, str] = {}
        for group, names in self.members.items():
            for name in names:
                if name in seen:
                    raise ValueError(
                        f"groups '{seen[name]}' and '{group}' both hold '{name}'; "
                        "groups must not overlap"
                    )
                seen[name] = group

    @property
    def n_views(self) -> int:
        """V, the number of views of each image."""
        return 2 if self.paired else len(self.groups) + 2

    def sample(self, generator: torch.Generator, n: int, size: int) -> list[dict[str, Params]]:
        """Draw the parameters of each view, query first, for the n images of all ranks.

        size: the side of the images in pixels.
        """
        query = self.query.sample(generator, n, size)
        if not self.paired:
            keys = [self.key.sample(generator, n, size) for _ in range(len(self.groups) + 1)]
            for key, names in zip(keys[1:], self.members.values(), strict=True):
                key.update({name: query[name] for name in names})
            return [query, *keys]
        key, local = self.key.sample(generator, n, size), n // dist.world_size()
        # image i of a rank gets key turn[i]
        turn = torch.arange(n, device=generator.device) % local % (len(self.groups) + 1)
        for m, names in enumerate(self.members.values(), start=1):
            for name in names:
                key[name] = choose(turn == m, query[name], key[name])
        return [query, key]

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return views [V, B, C, S, S] of images [B, C, H, W], on the images' device.

        images: uint8, or float in [0, 1]. Parameters are drawn on the generator's device (a CPU
        generator gives the same views on every device), for the images of all ranks: equal
        generators give each image the same views on any number of ranks.
        """
        mine = dist.own(len(images))
        params = self.sample(generator, len(images) * dist.world_size(), images.shape[-1])
        return self.apply(images, [rows(view, mine) for view in params])

    def apply(self, images: torch.Tensor, params: list[dict[str, Params]]) -> torch.Tensor:
        """Apply the pipeline once to V · B images; on a CPU in pieces that stay in its cache."""
        x = to_float(images).repeat(len(params), 1, 1, 1)  # [V * B, C, H, W]
        joined = {
            name: {
                k: torch.cat([p[name][k] for p in params]).to(x.device, non_blocking=True)
                for k in params[0][name]
            }
            for name in params[0]
        }
        piece = max(16, CACHE // x[0].numel()) if x.device.type == "cpu" else len(x)
        starts = range(0, len(x), piece)
        parts = [slice(start, start + piece) for start in starts]
        out = [self.query.apply(x[part], rows(joined, part)) for part in parts]
        return torch.cat(out).view(len(params), len(images), *out[0].shape[1:])

    def targets(self) -> dict[str, str]:
        """Return {target: transform}: what style probes can predict of the transforms' draws."""
        params = self.query.sample(torch.Generator().manual_seed(0), 1, 1)
        drawn = self.query.transforms.items()
        return {target: name for name, t in drawn for target in t.targets(params[name])}

    def homes(self, factors: Iterable[str] = ()) -> dict[str, str]:
        """Return {target: space}: where the theory puts what these views share and hide.

        What a style probe can predict of a transform belongs to the space of the transform's group.
        Of the image's own `factors`, one that a single group hides belongs to that group's space,
        and one that no transform changes belongs to content. For all others the theory has no
        answer, and they are left out: those that are changed but not hidden, or by several groups.
        """
        transforms = self.query.transforms
        group_of = {name: group for group, names in self.members.items() for name in names}
        owners = self.targets().items()
        homes = {target: group_of[name] for target, name in owners if name in group_of}
        for factor in factors:
            homes.pop(factor, None)  # a factor may have a target's name, such as hue
            changing = [t for t in transforms.values() if factor in t.changes]
            groups = {group_of.get(t.name) for t in changing}
            if not changing:
                homes[factor] = "content"
            elif len(groups) == 1 and any(factor in t.hides for t in changing):
                group = groups.pop()
                if group is not None:
                    homes[factor] = group
        return homes


def choose(mask: torch.Tensor, a: Params, b: Params) -> Params:
    """Return, image by image, a's parameters where mask [n] is true, else b's."""
    return {k: torch.where(mask.view(-1, *[1] * (a[k].dim() - 1)), a[k], b[k]) for k in a}


def rows(view: dict[str, Params], part: slice) -> dict[str, Params]:
    """Return the parameters of some of the images, {transform: {parameter: [n, …]}}."""
    return {name: {k: v[part] for k, v in draws.items()} for name, draws in view.items()}


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 [0, 255] or float [0, 1] as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()

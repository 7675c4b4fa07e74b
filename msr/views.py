"""Structured views: of each image a query and M + 1 keys, which share chosen groups with it.

::

    query   all parameters t are drawn
    key 0   all are drawn afresh                             shares only content with the query
    key m   all are drawn afresh, except group m, as in t    shares content and style m
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from msr import dist
from msr.augment import Params, Pipeline

CACHE = 2**19  # floats that a CPU augments at a time; three times faster than all at once


class Views:
    """The query and its keys: `views(images, generator)` is [V, B, C, S, S] with V = M + 2.

    query, key: pipelines of the same transforms in the same order, which may draw with different
    probability and strength (asymmetric views); `key` defaults to `query`. What is not drawn, such
    as the threshold of solarise, is the query's for every view. groups: the M groups that get a
    style space. A key takes over everything that was drawn for its shared group, including whether
    a transform is applied. paired: the image at place i of its rank's batch gets the query and only
    key number i mod (M + 1), so V = 2 and the cost does not grow with M.

    Raises ValueError for pipelines of different transforms, an unknown group, or groups that
    overlap.
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
        for group in self.groups:
            for name in self.members[group]:
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
        """Draw the parameters of each view, query first: V of {transform: {parameter: [n, …]}}.

        n: the number of images of all ranks together. size: the side of the images in pixels.
        """
        query = self.query.sample(generator, n, size)
        if not self.paired:
            keys = [self.key.sample(generator, n, size) for _ in range(len(self.groups) + 1)]
            for key, names in zip(keys[1:], self.members.values(), strict=True):
                key.update({name: query[name] for name in names})
            return [query, *keys]
        key, local = self.key.sample(generator, n, size), n // dist.world_size()
        # an image gets the key turn[i], by its place among the images of its rank
        turn = torch.arange(n, device=generator.device) % local % (len(self.groups) + 1)
        for m, names in enumerate(self.members.values(), start=1):
            for name in names:
                key[name] = where(turn == m, query[name], key[name])
        return [query, key]

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return views [V, B, C, S, S] of images [B, C, H, W], on the images' device.

        images: uint8, or float in [0, 1]; S is the side that the pipeline makes. Parameters are
        drawn on the generator's device, so a CPU generator gives the same views on every device.
        They are drawn for the images of all ranks: equal generators give each image the same views
        on any number of ranks (when paired: if a rank's batch is a multiple of M + 1).
        """
        mine = dist.own(len(images))
        params = self.sample(generator, len(images) * dist.world_size(), images.shape[-1])
        return self.apply(images, [rows(view, mine) for view in params])

    def apply(self, images: torch.Tensor, params: list[dict[str, Params]]) -> torch.Tensor:
        """Return the views [V, B, C, S, S] of images [B, C, H, W] by given parameters.

        params: for each view {transform: {parameter: [B, …]}}. The V · B images go through the
        pipeline together, on a CPU in pieces that fit into its cache.
        """
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
        """Return {target: name of the transform that draws it} for the targets of style probes."""
        params = self.query.sample(torch.Generator().manual_seed(0), 1, 1)
        drawn = self.query.transforms.items()
        return {target: name for name, t in drawn for target in t.targets(params[name])}

    def homes(self, factors: Iterable[str] = ()) -> dict[str, str]:
        """Return {target or factor: space}: the space that should encode it by the theory.

        A target of a style probe belongs to the space of the group whose transform draws it.
        `factors` name properties of the image itself. A factor that a single group changes and
        hides belongs to the space of that group; one that no transform changes belongs to content.

        Left out is whatever the theory has no answer for: targets of groups without a space, and
        factors that are changed but not hidden, changed by several groups, or changed by a
        transform whose group has no space.
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


def where(mask: torch.Tensor, a: Params, b: Params) -> Params:
    """Return {parameter: [n, …]}: for each image those of a where mask [n] is true, else b's."""
    return {k: torch.where(mask.view(-1, *[1] * (a[k].dim() - 1)), a[k], b[k]) for k in a}


def rows(view: dict[str, Params], part: slice) -> dict[str, Params]:
    """Return the parameters of the images in `part`, {transform: {parameter: [n, …]}}."""
    return {name: {k: v[part] for k, v in draws.items()} for name, draws in view.items()}


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Return images of any shape, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()

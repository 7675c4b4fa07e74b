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
from msr.data.squashed import Batch, parts


class Views:
    """The query and its keys: `views(images, generator)` is [V, B, C, S, S] with V = M + 2.

    query, key: pipelines of the same transforms in the same order, which may draw with different
    probability and strength, and apply what they drew in different ways, such as solarise with
    another threshold (asymmetric views); `key` defaults to `query`. groups: the M groups that get a
    style space. A key takes over everything that was drawn for its shared group, including whether
    a transform is applied, and the query's transforms apply it: what is drawn by one pipeline is
    applied by that pipeline, so a shared style looks the same in both views.

    paired: image i of the batch of all ranks gets the query and only key number i mod (M + 1), so
    V = 2 and the cost does not grow with M.

    Raises ValueError for pipelines of different transforms or that make images of different sizes,
    an unknown group, groups that overlap, and paired views of a group whose transforms the two
    pipelines apply differently.
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
        self.appliers = self._appliers()

    def _appliers(self) -> list[Pipeline]:
        """Return the pipeline that applies the parameters of each view, query first: V of them.

        They are one and the same object where query and key apply everything alike. Raises
        ValueError as the class does.
        """
        query, key = self.query.transforms, self.key.transforms
        unlike = {name for name in query if not query[name].alike(key[name])}
        shared = [set(names) & unlike for names in self.members.values()]
        if self.paired and any(shared):
            name = min(set().union(*shared))
            raise ValueError(
                f"query and key apply '{name}' differently ({query[name]} and {key[name]}), and "
                "paired views share it for some images only; make them alike, or paired False"
            )
        if unlike:
            blank = torch.zeros(1, 3, 8, 8)
            sides = [
                p.apply(blank, p.sample(torch.Generator(), 1, 8)).shape[-1]
                for p in (self.query, self.key)
            ]
            if sides[0] != sides[1]:
                raise ValueError(
                    f"the query is {sides[0]} pixels wide, a key {sides[1]}; give both one size"
                )
        # the transforms of each key that are the query's: those of its shared group
        appliers: dict[frozenset[str], Pipeline] = {frozenset(unlike): self.query}
        found = [self.query]
        for own in [set(), *([] if self.paired else shared)]:
            mixed = [query[name] if name in own else key[name] for name in query]
            found.append(appliers.setdefault(frozenset(own), Pipeline(mixed)))
        return found

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
        key = self.key.sample(generator, n, size)
        # an image gets the key turn[i], by its place among the images of all ranks
        turn = torch.arange(n, device=generator.device) % (len(self.groups) + 1)
        for m, names in enumerate(self.members.values(), start=1):
            for name in names:
                key[name] = where(turn == m, query[name], key[name])
        return [query, key]

    def __call__(self, images: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return views [V, B, C, S, S] of images [B, C, H, W], on the images' device.

        images: uint8, or float in [0, 1], or squashed to squares; S is the side that the pipeline
        makes. Parameters are drawn on the generator's device, so a CPU generator gives the same
        views on every device. They are drawn for the images of all ranks: equal generators give
        each image the same views on any number of ranks.
        """
        mine = dist.own(len(images))
        params = self.sample(generator, len(images) * dist.world_size(), images.shape[-1])
        return self.apply(images, [rows(view, mine) for view in params])

    def apply(self, images: Batch, params: list[dict[str, Params]]) -> torch.Tensor:
        """Return the views [V, B, C, S, S] of images [B, C, H, W] by given parameters.

        params: for each view {transform: {parameter: [B, …]}}. The views of one pipeline go through
        it together.
        """
        views: dict[int, torch.Tensor] = {}
        for pipeline in dict.fromkeys(self.appliers[: len(params)]):
            own = [v for v in range(len(params)) if self.appliers[v] is pipeline]
            made = augmented(pipeline, images, [params[v] for v in own])
            if len(own) == len(params):
                return made
            views |= dict(zip(own, made.unbind(0), strict=True))
        by_pixel = [views[v].permute(0, 2, 3, 1) for v in range(len(params))]  # as they lie
        return torch.stack(by_pixel).permute(0, 1, 4, 2, 3)

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


def augmented(pipeline: Pipeline, images: Batch, params: list[dict[str, Params]]) -> torch.Tensor:
    """Return the views [V, B, C, S, S] that one pipeline makes of images [B, C, H, W].

    params: for each of the V views {transform: {parameter: [B, …]}}.
    """
    pixels, aspect = parts(images)
    joined = upload(
        {
            name: {k: torch.stack([p[name][k] for p in params]) for k in draws}
            for name, draws in params[0].items()
        },
        pixels.device,
    )
    n, device = len(params), pixels.device
    own = {
        name: {k: v.flatten(0, 1) for k, v in draws.items()} for name, draws in joined.items()
    }  # [V * B, …]
    which = torch.arange(len(pixels), device=device).repeat(n)
    pixels, own = pipeline.unsquash(pixels, own, aspect, which)
    x = pipeline.apply(pixels, own, which=which)
    return x.view(n, -1, *x.shape[1:])


def upload(view: dict[str, Params], device: torch.device) -> dict[str, Params]:
    """Return the parameters {transform: {parameter: [n, …]}} on a device, without waiting for it.

    Those on the CPU are sent to a GPU in one copy for each type of number, from pinned memory.
    """
    flat = [(name, k, v) for name, draws in view.items() for k, v in draws.items()]
    if device.type != "cuda" or any(v.device.type != "cpu" for _, _, v in flat):
        return {name: {k: v.to(device) for k, v in draws.items()} for name, draws in view.items()}
    sent: dict[str, Params] = {name: {} for name in view}
    for dtype in dict.fromkeys(v.dtype for _, _, v in flat):
        some = [entry for entry in flat if entry[2].dtype == dtype]
        packed = torch.cat([v.flatten() for _, _, v in some])
        packed = packed.pin_memory() if torch.cuda.is_available() else packed
        packed = packed.to(device, non_blocking=True)
        for (name, k, v), part in zip(some, packed.split([v.numel() for _, _, v in some])):
            sent[name][k] = part.view(v.shape)
    return sent


def where(mask: torch.Tensor, a: Params, b: Params) -> Params:
    """Return {parameter: [n, …]}: for each image those of a where mask [n] is true, else b's."""
    return {k: torch.where(mask.view(-1, *[1] * (a[k].dim() - 1)), a[k], b[k]) for k in a}


def rows(view: dict[str, Params], part: slice) -> dict[str, Params]:
    """Return the parameters of the images in `part`, {transform: {parameter: [n, …]}}."""
    return {name: {k: v[part] for k, v in draws.items()} for name, draws in view.items()}

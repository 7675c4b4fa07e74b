"""Sensitivity: how much each space changes with each group of augmentations; it needs no labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from msr.augment import Params
from msr.evaluate.features import STREAM, Normalisation, Pictures, embed_views, side
from msr.models import MultiSpace
from msr.views import Views


def sensitivity(
    model: MultiSpace,
    views: Views,
    images: Pictures,
    groups: Sequence[str] = (),
    normalise: Normalisation = None,
    scale_free: bool = False,
    seed: int = 0,
    num_workers: int = 0,
) -> dict[str, dict[str, float]]:
    """Return the sensitivity of every space m to every group, {space: {group: ratio}}.

    The ratio is E‖z^m(t) − z^m(t′)‖² / E‖z^m_i − z^m_j‖². In the numerator t are the augmentation
    parameters of an image, and t′ the same parameters with only that group drawn afresh. In the
    denominator i ≠ j are different images, each with parameters of its own. 0: the space ignores
    the group; 1: the group changes the space as much as another image does. A space that is the
    same for every image gives 0. Parameters are drawn by the key pipeline. Rows: h, every space and
    `joined`.

    images, normalise, num_workers: as in `embed_views`; of a single image, which has nothing to be
    compared with, every ratio is nan. groups: by default those that have a style space. scale_free:
    divide every dimension of z (not of h) by its standard deviation, for families that determine z
    only up to the scale of each dimension (entropy, barlow). Raises ValueError for an unknown
    group.
    """
    groups, size = groups or views.groups, side(images)
    generator = torch.Generator().manual_seed(STREAM + seed)
    draws: list[dict[str, Params] | None] = []
    first = views.key.sample(generator, len(images), size)
    for group in groups:
        fresh = views.key.sample(generator, len(images), size)
        draws.append({**first, **{name: fresh[name] for name in views.key.group(group)}})
    base, *redrawn = embed_views(
        model, images, views.key, [first, *draws], normalise, num_workers=num_workers
    )
    unit = {
        space: z.std(axis=0) + 1e-8 if scale_free and space != "h" else 1.0
        for space, z in base.items()
    }
    table: dict[str, dict[str, float]] = {space: {} for space in base}
    for group, moved in zip(groups, redrawn, strict=True):
        for space, z in base.items():
            if len(z) < 2:
                table[space][group] = float("nan")
                continue
            between = 2 * (z / unit[space]).var(axis=0, ddof=1).sum()  # E‖z_i − z_j‖² over i ≠ j
            within = (((z - moved[space]) / unit[space]) ** 2).sum(axis=1).mean()
            table[space][group] = float(within / between) if between > 0 else 0.0
    return table

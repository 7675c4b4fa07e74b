"""Sensitivity: how much each space changes with each group of augmentations; it needs no labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from msr.evaluate.features import STREAM, Normalisation, embed
from msr.models import MultiSpace
from msr.views import Views


def sensitivity(
    model: MultiSpace,
    views: Views,
    images: torch.Tensor,
    groups: Sequence[str] = (),
    normalise: Normalisation = None,
    scale_free: bool = False,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return the sensitivity of every space m to every group, {space: {group: ratio}}.

    The ratio is E‖z^m(t) − z^m(t′)‖² / E‖z^m_i − z^m_j‖². In the numerator t are the augmentation
    parameters of an image, and t′ the same parameters with only that group drawn afresh. In the
    denominator i ≠ j are different images, each with parameters of its own. 0: the space ignores
    the group; 1: the group changes the space as much as another image does. A space that is the
    same for every image gives 0. Parameters are drawn by the key pipeline. Rows: h, every space and
    `joined`.

    images: uint8 [N, 3, S, S]. groups: by default those that have a style space. normalise: as in
    `embed`. scale_free: divide every dimension of z (not of h) by its standard deviation, for
    families that determine z only up to the scale of each dimension (entropy, barlow). Raises
    ValueError for an unknown group.
    """
    generator = torch.Generator().manual_seed(STREAM + seed)
    first = views.key.sample(generator, len(images), images.shape[-1])
    base = embed(model, images, views.key, first, normalise)
    unit = {
        space: z.std(axis=0) + 1e-8 if scale_free and space != "h" else 1.0
        for space, z in base.items()
    }
    table: dict[str, dict[str, float]] = {space: {} for space in base}
    for group in groups or views.groups:
        fresh = views.key.sample(generator, len(images), images.shape[-1])
        second = {**first, **{name: fresh[name] for name in views.key.group(group)}}
        moved = embed(model, images, views.key, second, normalise)
        for space, z in base.items():
            between = 2 * (z / unit[space]).var(axis=0, ddof=1).sum()  # E‖z_i − z_j‖² over i ≠ j
            within = (((z - moved[space]) / unit[space]) ** 2).sum(axis=1).mean()
            table[space][group] = float(within / between) if between > 0 else 0.0
    return table

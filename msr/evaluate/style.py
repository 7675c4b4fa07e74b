"""Style probes: predict the parameters of an image's augmentation from its features.

Each transform declares which of its parameters a probe can predict (`targets`), whether the probe
applies it to every image, to none, or as drawn (`in_probe`), and which of its targets a view shows
in part even without the plain image (`visible`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from msr.augment import Params, Pipeline
from msr.data.images import Images
from msr.evaluate.features import (
    STREAM,
    Features,
    Normalisation,
    Pictures,
    embed_views,
    readable,
    side,
)
from msr.evaluate.probes import many
from msr.models import MultiSpace
from msr.views import Views


def style_targets(pipeline: Pipeline, params: dict[str, Params]) -> dict[str, np.ndarray]:
    """Return what probes can predict of the parameters of N images, {target: [N] or [N, 2]}.

    params: what `pipeline.sample` drew. The targets are those that each transform declares
    (`targets`), in the order of the pipeline.
    """
    targets: dict[str, torch.Tensor] = {}
    for name, transform in pipeline.transforms.items():
        targets |= transform.targets(params[name])
    return {name: value.numpy() for name, value in targets.items()}


def style_draw(
    pipeline: Pipeline, generator: torch.Generator, n: int, size: int
) -> dict[str, Params]:
    """Draw parameters {transform: parameters} for style probes on n images of size × size pixels.

    A transform whose `in_probe` is "always" (it is to be predicted) is applied to every image, one
    whose `in_probe` is "never" (it would hide others) to none, and any other as drawn.
    """
    params = pipeline.sample(generator, n, size)
    for name, transform in pipeline.transforms.items():
        if transform.in_probe != "drawn":
            params[name]["on"] = torch.full((n,), transform.in_probe == "always")
    return params


class Drawn(NamedTuple):
    """The data of a probe, to fit or to score it: features before and after augmentation."""

    plain: Features  # of the plain views
    view: Features  # of the augmented views
    targets: dict[str, np.ndarray]  # {target: [N] or [N, 2]}

    def pair(self, space: str) -> np.ndarray:
        """Return the features of both views [N, 2 d]: of the plain view, then their change."""
        before, after = self.plain[space], self.view[space]
        return np.concatenate([before, after - before], axis=1)


def drawn(
    model: MultiSpace,
    views: Views,
    images: Pictures,
    part: int,
    normalise: Normalisation = None,
    seed: int = 0,
    num_workers: int = 0,
) -> Drawn:
    """Augment images by the query pipeline and embed them, plain and augmented.

    images, normalise, num_workers: as in `features.embed_views`. part: 0 for the images that probes
    are fitted on, 1 for those that they are scored on; with `seed` it decides the draws, which do
    not depend on how many images are embedded at a time.
    """
    aspect = None
    if isinstance(images, Images):
        known = images.pixels is not None or images.aspect is not None
        images = images if known else readable(images, num_workers)
        aspect = images.aspect
    generator = torch.Generator().manual_seed(STREAM + 2 * seed + part)
    params = style_draw(views.query, generator, len(images), side(images))
    plain, view = embed_views(
        model, images, views.query, [None, params], normalise, num_workers=num_workers
    )
    return Drawn(plain, view, style_targets(views.query, views.query.with_aspect(params, aspect)))


def style_probes(
    model: MultiSpace,
    views: Views,
    train: Pictures,
    test: Pictures,
    normalise: Normalisation = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return the held-out R² of the query's augmentation parameters, {space: {target: R²}}.

    train, test: images to fit and to score the probes on. The draws are those of `drawn`, the
    scores those of `style_scores`.
    """
    fit, held_out = (
        drawn(model, views, images, part, normalise, seed)
        for part, images in enumerate((train, test))
    )
    return style_scores(views, fit, held_out)


def style_scores(views: Views, fit: Drawn, held_out: Drawn) -> dict[str, dict[str, float]]:
    """Return {space: {target: R²}} of probes fitted on one draw and scored on another.

    Each target, such as brightness, crop_x or flip, is predicted from the PAIR of plain and
    augmented view, given as the plain features and their change. A target that is partly visible
    without the plain image is also predicted from the augmented view alone, as `<target>_alone`.
    Settings of the probe as in `probes.regress`.
    """
    visible = {name for t in views.query.transforms.values() for name in t.visible}
    alone = {name: y for name, y in fit.targets.items() if name in visible}
    table = {}
    for space in fit.view:
        row = many(fit.pair(space), fit.targets, held_out.pair(space), held_out.targets)
        scores = many(fit.view[space], alone, held_out.view[space], held_out.targets)
        table[space] = row | {f"{name}_alone": score for name, score in scores.items()}
    return table

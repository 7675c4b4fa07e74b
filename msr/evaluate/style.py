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
from msr.evaluate.probes import many, nested
from msr.evaluate.readers import FEWEST, changes
from msr.models import MultiSpace
from msr.views import Views

# Views that style probes are fitted on, unless there are more images; the most of one image
ROWS, MOST = 4000, 4


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
    """The data of a probe, to fit or to score it: features before and after augmentation.

    An image may be augmented several times; then its rows in `view` and `targets` follow one
    another, and there are `each` of them. `plain` has one row for each image.
    """

    plain: Features  # of the plain views, [N, d]
    view: Features  # of the augmented views, [N · each, d]
    targets: dict[str, np.ndarray]  # {target: [N · each] or [N · each, 2]}
    each: int = 1

    def pair(self, space: str) -> np.ndarray:
        """Return the features of both views [N · each, 2 d]: of the plain view, then the change."""
        before, after = self.both(space)
        return np.concatenate([before, after - before], axis=1)

    def both(self, space: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the features before and after augmentation, each [N · each, d]."""
        return np.repeat(self.plain[space], self.each, axis=0), self.view[space]


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
    not depend on how many images are embedded at a time. To fit on, 200 images or more
    are augmented so often that there are about `ROWS` views, but at most `MOST` times each.
    """
    aspect = None
    if isinstance(images, Images):
        known = images.pixels is not None or images.aspect is not None
        images = images if known else readable(images, num_workers)
        aspect = images.aspect
    generator = torch.Generator().manual_seed(STREAM + 2 * seed + part)
    each = 1 if part or len(images) < FEWEST else min(MOST, max(1, ROWS // len(images)))
    draws = [style_draw(views.query, generator, len(images), side(images)) for _ in range(each)]
    plain, *augmented = embed_views(
        model, images, views.query, [None, *draws], normalise, num_workers=num_workers
    )
    targets = [style_targets(views.query, views.query.with_aspect(p, aspect)) for p in draws]
    return Drawn(plain, in_turn(augmented), in_turn(targets), each)


def in_turn(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the rows [N, …] of several dicts of arrays; those of one image are successive."""
    return {
        name: np.stack([part[name] for part in parts], axis=1).reshape(-1, *first.shape[1:])
        for name, first in parts[0].items()
    }


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

    Each target, such as brightness, crop_x or flip, is predicted from the pair of plain and
    augmented view (`pair_scores`). A target that is partly visible without the plain image is also
    predicted from the augmented view alone, as `<target>_alone`. Settings of the probe as in
    `probes.regress`; joined is read through its parts too (`probes.nested`).
    """
    visible = {name for t in views.query.transforms.values() for name in t.visible}
    alone = {name: y for name, y in fit.targets.items() if name in visible}
    single = {}
    for space in fit.view:
        view = fit.view[space], alone, held_out.view[space], held_out.targets
        single[space] = many(*view, each=fit.each)
    views_of = nested(single)
    return {
        space: row | {f"{name}_alone": score for name, score in views_of[space].items()}
        for space, row in pair_scores(fit, held_out).items()
    }


def pair_scores(fit: Drawn, held_out: Drawn) -> dict[str, dict[str, float]]:
    """Return {space: {target: R²}} of probes that see both views, as the first and the change.

    Settings as in `probes.regress`; the directions that change most lead (`readers.changes`).
    joined is read through its parts too (`probes.nested`).
    """
    pair = {}
    for space in fit.view:
        pairs = fit.pair(space), fit.targets, held_out.pair(space), held_out.targets
        order = changes(*fit.both(space)) if np.isfinite(pairs[0]).all() else None
        pair[space] = many(*pairs, each=fit.each, order=order)
    return nested(pair)

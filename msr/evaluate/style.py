"""Style probes: predict from features what an augmentation drew.

Each transform declares which of its draws a probe can predict (`targets`), whether the probe
applies it to every image, to none, or as drawn (`in_probe`), and which of its targets a view shows
in part without the plain image (`visible`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from msr.augment import Params, Pipeline
from msr.evaluate.features import STREAM, Features, Normalisation, embed
from msr.evaluate.probes import many
from msr.models import MultiSpace
from msr.views import Views


def style_targets(pipeline: Pipeline, params: dict[str, Params]) -> dict[str, np.ndarray]:
    """Return what a probe can predict of the drawn parameters, {name: [N] or [N, 2]}.

    These are the `targets` that each transform declares, in the order of the pipeline.
    """
    targets: dict[str, torch.Tensor] = {}
    for name, transform in pipeline.transforms.items():
        targets |= transform.targets(params[name])
    return {name: value.numpy() for name, value in targets.items()}


def style_draw(
    pipeline: Pipeline, generator: torch.Generator, n: int, size: int
) -> dict[str, Params]:
    """Draw parameters for the style probes of n images of size × size pixels.

    A transform whose `in_probe` is "always" (what is to be predicted) is applied to every image,
    one whose `in_probe` is "never" (what would hide it) to none, and any other as drawn.
    """
    params = pipeline.sample(generator, n, size)
    for name, transform in pipeline.transforms.items():
        if transform.in_probe != "drawn":
            params[name]["on"] = torch.full((n,), transform.in_probe == "always")
    return params


class Drawn(NamedTuple):
    """One part of the images, for fitting or for scoring: features before and after a draw."""

    plain: Features  # of the plain views
    view: Features  # of the augmented views
    targets: dict[str, np.ndarray]  # what was drawn, [N] or [N, 2]

    def pair(self, space: str) -> np.ndarray:
        """Return the features of the pair of views [N, 2 d]: the plain view, then the change."""
        before, after = self.plain[space], self.view[space]
        return np.concatenate([before, after - before], axis=1)


def _draw(
    model: MultiSpace, views: Views, images: torch.Tensor, normalise: Normalisation, seed: int
) -> Drawn:
    """Augment images uint8 [N, 3, S, S] as the query, with a seed, and embed them twice."""
    generator = torch.Generator().manual_seed(seed)
    params = style_draw(views.query, generator, len(images), images.shape[-1])
    plain = embed(model, images, views.query, None, normalise)
    view = embed(model, images, views.query, params, normalise)
    return Drawn(plain, view, style_targets(views.query, params))


def style_probes(
    model: MultiSpace,
    views: Views,
    train: torch.Tensor,
    test: torch.Tensor,
    normalise: Normalisation = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return the held-out R² of the query's augmentation parameters, {space: {target: R²}}.

    train, test: uint8 [N, 3, S, S]. Each target, such as brightness, crop_x or flip, is predicted
    from the PAIR of plain and augmented view, given as the plain features and the change. Targets
    that are partly visible without the plain image are also predicted from the augmented view
    alone, as `<target>_alone`. Settings of the probe as in `probes.regress`.
    """
    fit, held_out = (
        _draw(model, views, images, normalise, STREAM + 2 * seed + part)
        for part, images in enumerate((train, test))
    )
    visible = {name for t in views.query.transforms.values() for name in t.visible}
    alone = {name: y for name, y in fit.targets.items() if name in visible}
    table = {}
    for space in fit.view:
        row = many(fit.pair(space), fit.targets, held_out.pair(space), held_out.targets)
        scores = many(fit.view[space], alone, held_out.view[space], held_out.targets)
        table[space] = row | {f"{name}_alone": score for name, score in scores.items()}
    return table

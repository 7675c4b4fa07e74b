"""From two views: what a pair of augmented views tells of how their augmentations differ.

Nobody who sees a view alone knows where in its image it was cut, but two views of one image can be
laid over each other, without the plain image that the other style probes are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from msr import evaluate
from msr.data import Images
from msr.evaluate.style import Drawn
from msr.experiments import compared
from msr.experiments.price import Cell, vary
from msr.experiments.setup import ImageRun, Row, Setup

SECOND = 500  # added to a run's seed for these draws: far from those of its other probes


def measured(
    setup: Setup, cells: Mapping[str, Cell], seeds: Sequence[int]
) -> dict[str, list[dict[str, Row]]]:
    """Return what `relative` says of every trained cell, one table per seed.

    The cells are those of `compared.measured`, which has trained them; none is trained on labels.
    """
    return compared.of_cells(setup, one, cells, seeds, "two views, ")


def one(setup: Setup, name: str, cell: Cell, seed: int) -> dict[str, Row]:
    """Return what `relative` says of one network, which out_dir holds in the folder `name`."""
    varied = vary(setup, name, **cell.changes | {"fresh": False})
    return relative(varied, varied.fit(seed, vanilla=cell.kind == "plain", progress=False))


def relative(setup: Setup, run: ImageRun) -> dict[str, Row]:
    """Return {space: {target: held-out R²}} of what the second of two views has more of.

    Each image is augmented twice, with the settings of the style probes, and a target such as
    crop_y or brightness is its value of the second view minus that of the first, predicted from the
    features of both. (So a target that is an angle by its sine and cosine is left out.) Settings of
    the probe as in `evaluate.pair_scores`.
    """
    sides = (setup.readable(split) for split in (setup.train_probe, setup.val_probe))
    fit, held_out = (two_views(run, split, part, setup.workers) for part, split in enumerate(sides))
    return evaluate.pair_scores(fit, held_out)


def two_views(run: ImageRun, images: Images, part: int, num_workers: int = 0) -> Drawn:
    """Augment N images twice; return both views' features, the first as if it were the plain one.

    The targets [N] are differences, second minus first. part: as in `evaluate.drawn`.
    """
    query, n, side = run.views.query, len(images), images.side
    generator = torch.Generator().manual_seed(evaluate.STREAM + 2 * (run.seed + SECOND) + part)
    draws = [evaluate.style_draw(query, generator, n, side) for _ in range(2)]
    normalise = run.objective.frozen_normalise
    first, second = evaluate.embed_views(
        run.model, images, query, draws, normalise, num_workers=num_workers
    )
    before, after = (
        evaluate.style_targets(query, query.with_aspect(draw, images.aspect)) for draw in draws
    )
    return Drawn(first, second, {k: after[k] - y for k, y in before.items() if y.ndim == 1})

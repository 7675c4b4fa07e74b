"""How well does augmentation hide what it changes? What a single view still tells of its image."""

from __future__ import annotations

import torch

from msr import evaluate
from msr.data import Images
from msr.evaluate import probes
from msr.experiments import sprites
from msr.experiments.setup import ImageRun, Row, Setup

SPACES = ("h", "content")  # what is read of a view


def seen(setup: Setup, run: ImageRun) -> dict[str, Row]:
    """Return {"h of a view": …, "content of a view": …}: the sprite's factors before augmentation.

    Each sprite is augmented once, as the query is in training, and {factor: held-out score} is
    predicted from h, and from the content space, of that view alone. What is predicted is not
    hidden, and two views that share no draw have it in common: by the theory it is content. Each is
    a lower bound, since another network or a larger probe may find more. Scores as in
    `sprites.probe`.
    """
    sides = setup.train_probe, setup.val_probe
    z, z_val = (one_view(setup, run, images, part) for part, images in enumerate(sides))
    return {
        f"{space} of a view": probes.scores(
            sprites.factors(z[space], sides[0], z_val[space], sides[1])
        )
        for space in SPACES
    }


def one_view(setup: Setup, run: ImageRun, images: Images, part: int) -> evaluate.Features:
    """Return {space: features [N, d]} of one augmented view of each image.

    part: 0 for the images that probes are fitted on, 1 for those that they are scored on.
    """
    query = run.views.query
    generator = torch.Generator().manual_seed(evaluate.STREAM + 2 * run.seed + part)
    params = query.sample(generator, len(images), images.side)
    return evaluate.embed(run.model, images, query, params, run.objective.frozen_normalise)

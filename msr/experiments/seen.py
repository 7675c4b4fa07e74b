"""How well does augmentation hide what it changes? What a single view still tells of its image."""

from __future__ import annotations

import numpy as np
import torch

from msr import evaluate
from msr.data import Images
from msr.evaluate import probes
from msr.experiments import sprites
from msr.experiments.setup import ImageRun, Row, Setup


def seen(setup: Setup, run: ImageRun) -> Row:
    """Return {factor: held-out score}: what h of one augmented view predicts of the sprite behind.

    Each sprite is augmented once, as the query is in training. What is predicted is not hidden, and
    two views that share no draw have it in common: by the theory it is content. It is a lower
    bound, since another network or a larger probe may find more. Scores as in `sprites.probe`.
    """
    sides = setup.train_probe, setup.val_probe
    h, h_val = (one_view(setup, run, images, part) for part, images in enumerate(sides))
    return probes.scores(sprites.factors(h, sides[0], h_val, sides[1]))


def one_view(setup: Setup, run: ImageRun, images: Images, part: int) -> np.ndarray:
    """Return h [N, H] of one augmented view of each image.

    part: 0 for the images that probes are fitted on, 1 for those that they are scored on.
    """
    query = setup.views.query
    generator = torch.Generator().manual_seed(evaluate.STREAM + 2 * run.seed + part)
    params = query.sample(generator, len(images), images.side)
    return evaluate.embed(run.model, images, query, params)["h"]

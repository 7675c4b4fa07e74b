"""Time to learn: how long each family trains until its spaces encode their own latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from benchmarks.pairs import Case, told
from msr.experiments import numerical
from msr.experiments.latent_runs import LatentRun, Setting, run

LENGTHS = (100, 400, 1600)  # steps of the runs that are tried, shortest first
REACHED = 0.8  # R² of a block of latents from its own space, mean over the blocks
FIRST_SEED = 200  # of the first run; no page of the book has it


def cases(device: torch.device) -> Iterator[Case]:
    """Yield the time that each other family takes against that of `entropy`."""
    base, _, _ = numerical.prepare(numerical.Parameters(device=str(device)))
    for family, setting in numerical.usual(base).items():
        ours, theirs = Learner(replace(base, rows=())), Learner(setting)
        yield Case(
            f"R² of {REACHED}, entropy: {family}", ours, theirs, unit="s", measure=told, most=3
        )


class Learner:
    """Trains encoders of one setting, each time with another seed."""

    def __init__(self, setting: Setting):
        self.setting, self.seed = setting, FIRST_SEED

    def __call__(self) -> float:
        """Return the seconds of training of the shortest run of `LENGTHS` that reaches `REACHED`.

        If none does, those of the longest: it takes at least so long. The learning rate of each run
        falls to zero at its end.
        """
        self.seed, seconds = self.seed + 1, 0.0
        for steps in LENGTHS:
            found = run(replace(self.setting, steps=steps), self.seed, progress=False)
            seconds = found.seconds
            if own(found) >= REACHED:
                break
        return seconds


def own(found: LatentRun) -> float:
    """Return the mean R² of a block from its own space, over content and all styles."""
    return float(np.mean([found.table[name][name] for name in found.latents.names]))

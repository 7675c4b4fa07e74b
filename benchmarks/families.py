"""How long each loss family trains until its content space knows the shapes, against `entropy`.

It is not among the suites that run by default, since it trains some twenty networks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.pairs import Case, Work
from msr.evaluate import probes
from msr.experiments import imagenet
from msr.experiments.setup import ImageRun, Setup
from msr.losses import FAMILIES

TARGET, LABEL = 0.5, "shape"  # accuracy by 20 nearest neighbours, of ten shapes
EPOCHS = (2, 4, 8, 16, 32)  # lengths of runs that are tried, each with a schedule of its own


def cases(device: torch.device) -> Iterator[Case]:
    """Yield the seconds that each family trains against those that `entropy` does."""
    for family in FAMILIES:
        if family != "entropy":
            sides = partial(str, family), partial(str, "entropy")
            name = f"{family}, until {TARGET:g} of {LABEL}s: entropy"
            yield Case(name, *sides, 1, "s", until)


def until(family: Work, device: torch.device) -> float:
    """Return the seconds of the shortest run that reaches the target; inf if none does."""
    for epochs in EPOCHS:
        with tempfile.TemporaryDirectory() as folder:
            asked = {"family": family(), "epochs": epochs, "device": str(device)}
            setup = imagenet.prepare(imagenet.Parameters(**asked, out_dir=folder))
            start = time.perf_counter()
            run = setup.fit(0, progress=False)
            took = time.perf_counter() - start  # the weights are saved: all work is done
            if accuracy(setup, run) >= TARGET:
                return took
    return float("inf")


def accuracy(setup: Setup, run: ImageRun) -> float:
    """Return the accuracy of the label by nearest neighbours in the content space, held out."""
    splits = [setup.readable(split) for split in (setup.train_probe, setup.val_probe)]
    features = [setup.embed(run, split)["content"] for split in splits]
    labels = [split.labels[LABEL].numpy() for split in splits]
    return probes.knn(features[0], labels[0], features[1], labels[1])

"""Training steps: what they spend their time on, what style costs, and what cores are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pairs import Case, by
from msr.augment import (
    PRESETS,
    ColorJitter,
    GaussianBlur,
    Greyscale,
    HorizontalFlip,
    Normalise,
    ResizedCrop,
    Solarise,
    Transform,
)
from msr.data import Batches
from msr.data.latents import LatentViews, Stream
from msr.experiments import imagenet, latent_runs, numerical
from msr.experiments.setup import Setup
from msr.models import MultiSpace
from msr.objective import Objective
from msr.train import Training, loop
from msr.train.device import use_bf16

NETWORKS: dict[str, dict[str, Any]] = {
    "48 px, rendered shapes": {},
    "64 px, photographs": {"image_size": 64, "family": "simclr", "sizes": [64, 32, 32]}
    | {"augmentation": "medium"},
    "224 px, ResNet-18": {"image_size": 224, "backbone": "resnet18", "family": "simclr"}
    | {"sizes": [64, 32, 32], "batch_size": 16, "augmentation": "medium", "hidden": [512]}
    | {"optimizer": "lars", "max_images": 64},
}
LATENTS = "latents, the whole step"
SIZES = {"64 px, photographs": 64, "224 px, ResNet-18": 224}  # those of the suite on views
NAMES = ("crop", "flip", "jitter", "greyscale", "blur", "solarise")  # up to six style spaces
MOST = 6


def cases(device: torch.device) -> Iterator[Case]:
    """Yield whole steps against parts of them, compiled networks, then steps against M."""
    for name, changes in NETWORKS.items():
        step = Step(changes, device)
        n = step.images.shape[0] * step.setup.views.n_views
        yield Case(f"{name}: the network alone", step.whole, step.network_alone, n, "views")
        yield Case(f"{name}: the views alone", step.whole, step.views_alone, n, "views")
        dense, flop = step.dense()
        yield Case(f"{name}: matrix products", step.network_alone, dense, flop, "GFLOP")
    latents, compiled, name = LatentStep(device), Step({}, device), next(iter(NETWORKS))
    dense, flop = latents.dense(side=256)
    one = by(1, latents.whole)  # thread, as encoders of latents train
    yield Case(f"{LATENTS}: matrix products", one, by(1, dense), flop, "GFLOP")
    compiled.state.model.compile()
    yield Case(f"compiled, {name}: not", compiled.whole, Step({}, device).whole, 1, "steps")
    small = LatentStep(device)
    small.state.model.compile()
    yield Case(f"compiled, {LATENTS}: not", by(1, small.whole), one, 1, "steps")
    PRESETS.setdefault("symmetric", symmetric)
    same: dict[str, Any] = {"augmentation": "symmetric"}
    plain = Step(same | {"groups": [], "sizes": [24]}, device)
    for m in range(1, MOST + 1):
        some = {"groups": list(NAMES[:m]), "sizes": [24 - 2 * m] + [2] * m, "paired": True}
        paired = Step(same | some, device)
        yield Case(
            f"paired, M = {m}: plain SSL", paired.whole, plain.whole, len(plain.images), "images"
        )


def symmetric(size: int) -> list[Transform]:
    """Return the transforms of `medium`, the same for query and keys, as paired views need them."""
    steps = [ResizedCrop(size), HorizontalFlip(), ColorJitter(), Greyscale()]
    return [*steps, GaussianBlur(), Solarise(), Normalise()]


class Step:
    """One training step on a fixed batch, as a whole and in parts.

    changes: to the parameters of book/imagenet.ipynb.
    """

    def __init__(self, changes: dict[str, Any], device: torch.device):
        asked = imagenet.Parameters(**{"max_images": 512, "device": str(device)} | changes)
        self.setup: Setup = imagenet.prepare(asked)
        settings = self.setup.training
        batches = Batches(self.setup.train, settings.batch_size, 0, device, 0)
        self.begin(*self.setup.build(0), self.setup.views, batches, settings)

    def begin(
        self,
        model: MultiSpace,
        objective: Objective,
        views: loop.MakeViews,
        batches: loop.Batches,
        settings: Training,
    ) -> None:
        """Prepare training, and a batch with its views."""
        self.views = views
        self.state = loop.prepare(model, objective, batches, settings)
        self.schedule = loop.Schedule(settings, len(batches))
        self.bf16 = use_bf16(settings.precision, torch.device(batches.device))
        self.images = next(iter(batches.epoch(0)))
        self.made = self.views_alone().flatten(0, 1)

    def whole(self) -> None:
        """Take one step."""
        state = self.state
        terms = loop.forward(
            state.model, state.objective, self.views, self.images, state.generator, self.bf16
        )
        state.step = 0  # at the same learning rate, and for ever
        loop.update(state, self.schedule, terms)
        state.recent.clear()

    def views_alone(self) -> torch.Tensor:
        """Make the views only."""
        return self.views(self.images, self.state.generator)

    def network_alone(self) -> None:
        """Pass views that are made already through the network, forward and backward."""
        state = self.state
        with torch.autocast(self.made.device.type, torch.bfloat16, enabled=self.bf16):
            _, z = state.model(self.made)
        z.backward(torch.ones_like(z))

    def dense(self, side: int = 1024) -> tuple[Callable[[], None], float]:
        """Return matrix products of as many operations as `network_alone` has, and their GFLOP.

        Large square products of the same type are about the fastest that a processor computes.
        side: of the squares.
        """
        with FlopCounterMode(display=False) as counter:
            self.network_alone()
        kind, device = torch.bfloat16 if self.bf16 else torch.float32, self.made.device
        a, b = torch.randn(2, side, side, device=device, dtype=kind)
        times = max(1, round(counter.get_total_flops() / (2 * side**3)))

        def products() -> None:
            for _ in range(times):
                a @ b

        return products, times * 2 * side**3 / 1e9


class LatentStep(Step):
    """One training step of an encoder of latents, by the defaults of book/numerical.ipynb."""

    def __init__(self, device: torch.device):
        base, latents, _ = numerical.prepare(numerical.Parameters(device=str(device)))
        batches = Stream(latents, base.batch_size, 1, 0, device)
        made = latent_runs.build(base, 0)
        self.begin(*made, LatentViews(latents), batches, base.training(0))

"""What the parameters of an experiment on images decide before any image is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from msr import dist, models, weights
from msr.experiments import limits
from msr.experiments.image_parameters import ImageParameters
from msr.objective import Objective, one_for_all
from msr.spaces import Spaces
from msr.train import Training
from msr.views import Views


@dataclass(frozen=True)
class Plan:
    """Everything that the parameters decide, except for the data and the seed."""

    config: ImageParameters  # the parameters, with everything filled in
    views: Views
    spaces: Spaces
    training: Training
    device: torch.device

    def check(self) -> None:
        """Raise ValueError, one line, if the parameters do not fit together or this machine.

        The network is built once, so that a wrong backbone, weight or size is found before any
        image is read.
        """
        c, groups = self.config, len(self.views.groups)
        self._check_gpus()
        if c.backbone_rate != 1 and not c.init:
            raise ValueError(
                f"backbone_rate {c.backbone_rate:g} without init: it is the rate of a backbone "
                "that begins from trained weights; give init, or backbone_rate 1"
            )
        most = max(8, os.cpu_count() or 1)
        if self.device.type == "cpu" and dist.world_size() == 1 and c.devices > most:
            raise ValueError(
                f"devices {c.devices} on a CPU of {os.cpu_count()} cores; give {most} or fewer"
            )
        if c.batch_size % c.devices:
            raise ValueError(
                f"batch_size {c.batch_size} does not divide over {c.devices} devices; "
                "give a multiple"
            )
        if self.training.warmup_epochs > self.training.epochs:
            raise ValueError(
                f"warmup_epochs {self.training.warmup_epochs:g} is more than the "
                f"{self.training.epochs} epochs; give at most that"
            )
        if self.views.paired and c.batch_size < groups + 1:
            raise ValueError(
                f"batch_size {c.batch_size} is too small for paired views with {groups} groups; "
                f"give {groups + 1} or more"
            )
        limits.network(
            lambda: models.build(**self.network()),
            self.device,
            self.spaces.dim,
            "smaller sizes, hidden, width or image_size",
        )
        self.build(0)

    def _check_gpus(self) -> None:
        """Raise ValueError, one line, if this machine lacks a GPU for each of its processes."""
        c, gpus, named = self.config, torch.cuda.device_count(), self.device.index is not None
        here = dist.here() if dist.world_size() > 1 else c.devices
        if c.devices > 1 and (named or (self.device.type == "cuda" and here > gpus)):
            elsewhere = f", {here} of them here" if here < c.devices else ""
            raise ValueError(
                f"devices {c.devices} with device '{c.device}'{elsewhere}: this machine has {gpus} "
                "GPUs; give device cuda and no more devices than GPUs, or device cpu"
            )

    def network(self, vanilla: bool = False) -> dict[str, Any]:
        """Return the arguments of `models.build` by name, plain values.

        vanilla: of plain self-supervision, with one space of the same joint width.
        """
        c = self.config
        spaces = Spaces(("content",), (self.spaces.dim,)) if vanilla else self.spaces
        return {
            "backbone": c.backbone,
            "image_size": c.image_size,
            "width": c.width,
            "stem": weights.stem_of(c.init),
            "hidden": list(c.hidden),
            "separate_style": c.separate_style,
            "spaces": dict(zip(spaces.names, spaces.sizes, strict=True)),
        }

    def build(self, seed: int, vanilla: bool = False) -> tuple[models.MultiSpace, Objective]:
        """Return a fresh network and its objective, on the device.

        seed: of the initial weights. The network begins from the weights in `init`, if given.
        vanilla: for plain self-supervision: the same objective without styles. Its one space is as
        wide as all of ours, with the λ of content, the first of `lambdas`, and its further spread.
        Raises ValueError for what does not fit.
        """
        c = self.config
        torch.manual_seed(seed)
        model = models.build(**self.network(vanilla))
        if c.init:
            weights.begin_from(model, c.init)
        objective = Objective(
            c.family,
            model.spaces,
            one_for_all(c.lambdas[:1] if vanilla else c.lambdas),
            self.views.paired and not vanilla,
            c.content_spread or 0.0,
            c.content_pairs,
            c.joint,
            **c.settings_of_loss,
        )
        return model.to(self.device), objective.to(self.device)

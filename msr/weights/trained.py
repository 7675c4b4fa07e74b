"""A trained network, to use on any images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from msr import models
from msr.augment import Normalise
from msr.losses import FAMILIES
from msr.spaces import Spaces
from msr.weights.pictures import One, checked, prepared
from msr.weights.stored import config_of, locate, tensors


@dataclass
class Trained:
    """A trained network: `trained(images)` is {"h": [N, H], "content": [N, d_0], …}."""

    model: models.MultiSpace
    config: dict[str, Any]  # the run's config.json: training settings, network, experiment

    @property
    def backbone(self) -> nn.Module:
        """The module that maps normalised images to h [N, H]."""
        return self.model.backbone

    @property
    def projector(self) -> nn.ModuleList:
        """The projectors from h to z: one for all spaces, or content's and then the styles'."""
        return self.model.projector

    @property
    def spaces(self) -> Spaces:
        """The names and sizes of the spaces."""
        return self.model.spaces

    @torch.no_grad()
    def __call__(self, images: One | Sequence[One], batch_size: int = 256) -> dict[str, Any]:
        """Return {"h": [N, H], space: [N, d_m]} of N images, float32 tensors on the CPU.

        images: a tensor or array [N, 3, H, W], uint8 or float in [0, 1], of any size; or a path, a
        PIL image, or a list of paths, PIL images and tensors [3, H, W], in which every image may
        have its own size. They are prepared as the experiment prepares the images it probes: the
        centre square, antialiased to the network's size (files as `msr.load_images` reads them).
        Each space of the simclr family is normalised to its sphere. batch_size: images per forward
        pass. The network runs in evaluation mode, in float32.

        Raises ValueError, one line, for other types, shapes and ranges, before any image goes
        through the network, and for a file that cannot be read.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size = {batch_size}; give 1 or more")
        size = int(self.config["network"]["image_size"])
        device = next(self.model.parameters()).device
        self.model.eval()
        family, parts = FAMILIES.get(str(self.config.get("family"))), []
        for x in prepared(checked(images), size, batch_size, device):  # [B, 3, S, S]
            x = Normalise().apply(x, {}).contiguous(memory_format=torch.channels_last)
            h, z = self.model(x)
            if family is not None and family.per_image:
                z = family.normalise(z, self.spaces)
            found = {"h": h, **self.spaces.split(z)}
            parts.append({name: value.float().cpu() for name, value in found.items()})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def load(path_or_name: str | os.PathLike[str], device: str | torch.device = "cpu") -> Trained:
    """Load the network of a run's folder, of its `model.safetensors` alone, or of a name.

    A name is looked up in $MSR_MODELS (by default ~/.cache/msr/models). device: where the network
    runs. Raises ValueError, one line, if nothing is found there, if the file does not say which
    network it holds or holds another one, and for a device that cannot be used here.
    """
    path = locate(path_or_name)
    weights, config = tensors(path), config_of(path)
    if "latents" in config.get("experiment", ()):
        raise ValueError(
            f"'{path}' holds an encoder of latents, which takes no images; build it with "
            "msr.experiments.numerical.build and use its load_state_dict"
        )
    if "network" not in config:
        raise ValueError(
            f"'{path}' does not say which network it holds (no `network` in its configuration); "
            "build the network and use its load_state_dict"
        )
    try:
        with torch.device("meta"):  # no memory yet, whatever sizes the file asks for
            model = models.build(**config["network"])
        model.load_state_dict(
            {n: w.float() if w.is_floating_point() else w for n, w in weights.items()}, assign=True
        )
    except Exception as error:  # of many kinds, since the file may say anything
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"'{path}' does not hold the network that it names: {reason}") from None
    try:
        return Trained(model.to(device).eval(), config)
    except (RuntimeError, AssertionError) as error:  # no such device
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"device '{device}' cannot be used: {reason}") from None

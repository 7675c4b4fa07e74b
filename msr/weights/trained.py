"""A trained network, to use on any images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from msr import models, safe
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
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size = {batch_size!r}; give a whole number, 1 or more")
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

    A name is looked up in $MSR_MODELS (by default ~/.cache/msr/models), then among the networks
    that come with the library, "sprites" and "shapes"; their `config["provenance"]` says which run
    made them. device: where the network runs. Raises ValueError, one line, if nothing is found
    there, if the file does not say which network it holds or holds another one, and for a device
    that cannot be used here.
    """
    path = locate(path_or_name)
    weights, config = tensors(path), config_of(path)
    if "latents" in config.get("experiment", ()):
        raise ValueError(
            f"'{path}' holds an encoder of latents, which takes no images; build it with "
            "msr.experiments.latent_runs.build and use its load_state_dict"
        )
    if not isinstance(config.get("network"), dict):
        raise ValueError(
            f"'{path}' does not say which network it holds (no `network` in its configuration); "
            "build the network and use its load_state_dict"
        )
    model = _filled(config["network"], weights, path)
    try:
        return Trained(model.to(device).eval(), config)
    except (RuntimeError, AssertionError) as error:  # no such device
        raise ValueError(f"device '{device}' cannot be used: {safe.line(error)}") from None


def _filled(
    network: dict[str, Any], weights: dict[str, torch.Tensor], path: Path
) -> models.MultiSpace:
    """Return the described network with the weights.

    network: arguments of `models.build`, from the file. No memory is taken beyond that of the
    weights, whatever sizes are described. Raises ValueError, one line, unless they fit together.
    """
    try:
        if len(network.get("hidden", ())) > len(weights):
            raise ValueError("it has more layers than the file has weights")
        with torch.device("meta"):
            model = models.build(**network)
    except Exception as error:  # unknown names, values of any type and size
        raise ValueError(
            f"'{path}' describes a network that cannot be built ({safe.line(error)})"
        ) from None
    wanted = model.state_dict()
    for name in [*wanted, *weights]:
        here, there = wanted.get(name), weights.get(name)
        if here is None or there is None or here.shape != there.shape:
            raise ValueError(
                f"'{path}' does not hold the network that it describes: {safe.shown(name)} is "
                f"{_shape(there)} in the file, {_shape(here)} in the network"
            )
    wide = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    model.load_state_dict(wide, assign=True)
    return model


def _shape(value: torch.Tensor | None) -> str:
    """Return a tensor's shape as text; "absent" for None."""
    return "absent" if value is None else f"{list(value.shape)}"

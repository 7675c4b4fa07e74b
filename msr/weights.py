"""Trained networks in and out.

`load` is for readers of a trained network, `begin_from` for a network that starts where another
ended.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from msr import models
from msr.augment import Normalise
from msr.losses import FAMILIES
from msr.spaces import Spaces
from msr.views import to_float

HEADS = ("fc.", "head.", "classifier.")  # of a classifier: not loaded


@dataclass
class Trained:
    """A trained network: `trained(images)` is {"h": [N, H], "content": [N, d_0], …}."""

    model: models.MultiSpace
    config: dict[str, Any]  # config.json: what was asked

    @property
    def backbone(self) -> nn.Module:
        """The module that maps normalised images to h [N, H]."""
        return self.model.backbone

    @property
    def projector(self) -> nn.ModuleList:
        """The projectors from h to z: one, or content's and the styles'."""
        return self.model.projector

    @property
    def spaces(self) -> Spaces:
        """The names and sizes of the spaces."""
        return self.model.spaces

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return h and every space of images [N, 3, S, S], on the network's device.

        images: uint8, or float in [0, 1]; S should be `config["network"]["image_size"]`. The
        network is in evaluation mode, and each space of the simclr family lies on its sphere.
        """
        self.model.eval()
        x = images.to(next(self.model.parameters()).device)
        h, z = self.model(Normalise().apply(to_float(x), {}))
        family = FAMILIES.get(self.config.get("family", ""))
        if family is not None and family.per_image:
            z = family.normalise(z, self.spaces)
        return {"h": h, **self.spaces.split(z)}


def load(path_or_name: str | os.PathLike[str], device: str | torch.device = "cpu") -> Trained:
    """Load the network of a run's folder, of a `model.safetensors`, or of a name.

    Names are looked up in $MSR_MODELS (by default ~/.cache/msr/models). Raises ValueError, one
    line, where there is none.
    """
    path = locate(path_or_name)
    weights, config = tensors(path), config_of(path)
    if "network" not in config:
        raise ValueError(
            f"'{path}' does not say which network it holds (no `network` in its configuration); "
            "build the network and use its load_state_dict"
        )
    model = models.build(**config["network"])
    model.load_state_dict(weights)
    return Trained(model.to(device).eval(), config)


def locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the weights' file of a run's folder, a file, or a name. Raises ValueError."""
    home = Path(os.environ.get("MSR_MODELS", "~/.cache/msr/models")).expanduser()
    given = Path(path_or_name).expanduser()
    for path in (given, home / str(path_or_name), home / f"{path_or_name}.safetensors"):
        if path.is_dir() and (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        if path.is_file():
            return path
    raise ValueError(
        f"'{path_or_name}' is not a run's folder (with model.safetensors), a weights file, "
        f"or a name in {home}"
    )


def config_of(path: Path) -> dict[str, Any]:
    """Return the configuration that a safetensors file of ours carries; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("config", "{}"))


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return names -> tensors of a safetensors or torch file, on the CPU.

    The wrappers that training scripts put around them are taken off; nothing is unpickled but
    tensors. Raises ValueError, one line, for anything else.
    """
    try:
        state: dict[str, Any]
        if path.suffix == ".safetensors":
            state = dict(safetensors.torch.load_file(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model", "model_state_dict"):
            inner = state.get(wrapper)
            state = inner if isinstance(inner, dict) else state
        return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"'{path}' holds no weights that can be read safely ({reason}); give a state dict "
            "saved by torch.save, a safetensors file, or a run's folder"
        ) from None


def stem_of(init: str) -> str:
    """Return which stem the resnet in `init` has: "large" (7 × 7) or "small" (3 × 3).

    "auto" where there is none to see.
    """
    if not init:
        return "auto"
    shapes = [
        value.shape
        for name, value in tensors(locate(init)).items()
        if name.endswith("conv1.weight") and value.shape[1] <= 4
    ]
    return "auto" if not shapes else "large" if shapes[0][-1] == 7 else "small"


def begin_from(model: models.MultiSpace, init: str) -> str:
    """Load trained weights into the model, and return what was loaded, in words.

    init: torchvision's or timm's file, or an earlier run. Its backbone is loaded, and its content
    projector where that has the shape of the model's, which must keep it apart (`separate_style`).
    What was loaded is noted in `model.loaded`, for its own learning rate. Raises ValueError, one
    line, naming the first weight that does not fit.
    """
    path = locate(init)
    state = tensors(path)
    model.backbone.load_state_dict(_backbone_of(state, model.backbone.state_dict(), path))
    model.loaded = ("backbone.",)
    head = "projector.0."
    content = {n.removeprefix(head): value for n, value in state.items() if n.startswith(head)}
    if len(model.projector) > 1 and content:
        own = model.projector[0].state_dict()
        if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in content.items()}:
            model.projector[0].load_state_dict(content)
            model.loaded = ("backbone.", head)
            return f"backbone and content projector from {init}"
    return f"backbone from {init}"


def _backbone_of(
    state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Return the weights of `state` by the backbone's own names, `wanted`. Raises ValueError."""
    first = next(iter(wanted))
    holding = [name for name in state if name == first or name.endswith("." + first)]
    if not holding:
        raise ValueError(
            f"'{path}' holds no weight '{first}' of the backbone; it has "
            f"{', '.join(list(state)[:3])}, …: is it another architecture?"
        )
    prefix = holding[0].removesuffix(first)
    found = {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}
    for name, value in wanted.items():
        if name not in found and name.endswith("num_batches_tracked"):
            found[name] = value
        if name not in found or found[name].shape != value.shape:
            there = "not in the file"
            if name in found:
                shape = list(found[name].shape)
                there = f"shape {shape} in the file, {list(value.shape)} here"
            raise ValueError(
                f"'{path}' does not fit the backbone: {name} is {there}; "
                "give the backbone and image_size that it was trained with"
            )
    extra = [name for name in found if name not in wanted and not name.startswith(HEADS)]
    if extra and prefix:
        raise ValueError(
            f"'{path}' does not fit the backbone: it also has {extra[0]}; "
            "give the backbone that it was trained with"
        )
    return {name: found[name] for name in wanted}

"""Trained networks in and out: `msr.load` for readers, `begin_from` for a network that starts where another ended."""
from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from . import models, simclr
from .augment import Normalise
from .spaces import Spaces

HEADS = ("fc.", "head.", "classifier.")                       # of a classifier: left out


@dataclass
class Trained:
    """A trained network: `trained(images) -> {"h": [N, H], "content": [N, d_0], …}`."""

    model: models.MultiSpace
    config: dict                                              # config.json: what was asked

    @property
    def backbone(self) -> nn.Module:
        return self.model.backbone

    @property
    def projector(self) -> nn.ModuleList:
        return self.model.projector

    @property
    def spaces(self) -> Spaces:
        return self.model.spaces

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """h and every space of images [N, 3, S, S], uint8 or float in [0, 1], on the network's device; the network as it was trained, in
        evaluation mode, and each space of the simclr family on its sphere. S should be `config["network"]["image_size"]`."""
        self.model.eval()
        x = images.to(next(self.model.parameters()).device)
        h, z = self.model(Normalise().apply(x.float() / 255 if x.dtype == torch.uint8 else x, {}))
        z = simclr.normalise(z, self.spaces) if self.config["experiment"].get("family") == "simclr" else z
        return {"h": h, **self.spaces.split(z)}


def load(path_or_name, device="cpu") -> Trained:
    """The network of a run's folder, of a `model.safetensors`, or of a name in $MSR_MODELS (default ~/.cache/msr/models).

    Raises ValueError, one line, where there is none.
    """
    path = locate(path_or_name)
    weights, config = tensors(path), config_of(path)
    if "network" not in config:
        raise ValueError(f"'{path}' does not say which network it holds (no `network` in its configuration); build the network and use its load_state_dict")
    model = models.build(**config["network"])
    model.load_state_dict(weights)
    return Trained(model.to(device).eval(), config)


def locate(path_or_name) -> Path:
    """The weights' file of a run's folder, a file, or a name. Raises ValueError, one line."""
    home = Path(os.environ.get("MSR_MODELS", "~/.cache/msr/models")).expanduser()
    for path in (Path(path_or_name).expanduser(), home / str(path_or_name), home / f"{path_or_name}.safetensors"):
        if path.is_dir() and (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        if path.is_file():
            return path
    raise ValueError(f"'{path_or_name}' is not a run's folder (with model.safetensors), a weights file, or a name in {home}")


def config_of(path: Path) -> dict:
    """The configuration that a safetensors file of ours carries; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get("config", "{}"))


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Names -> tensors of a safetensors or torch file, on the CPU, out of the wrappers that training scripts put around them; nothing is
    unpickled but tensors. Raises ValueError, one line, for anything else."""
    try:
        state = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model", "model_state_dict"):
            state = state[wrapper] if isinstance(state.get(wrapper), dict) else state
        return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        raise ValueError(f"'{path}' holds no weights that can be read safely ({(str(error).splitlines() or [type(error).__name__])[0]}); give a state dict saved by torch.save, "
                         "a safetensors file, or a run's folder") from None


def stem_of(init: str) -> str:
    """Which stem the resnet in `init` has: "large" (7 × 7) or "small" (3 × 3); "auto" where there is none to see."""
    if not init:
        return "auto"
    shapes = [value.shape for name, value in tensors(locate(init)).items() if name.endswith("conv1.weight") and value.shape[1] <= 4]
    return "auto" if not shapes else "large" if shapes[0][-1] == 7 else "small"


def begin_from(model: models.MultiSpace, init: str) -> str:
    """Load the backbone of `init` (torchvision's or timm's file, or an earlier run) into the model, and the content projector where one
    of the same shape is there and the model keeps it apart (`separate_style`). Returns what was loaded, in words.

    What was loaded is noted in `model.loaded`, for its own learning rate. Raises ValueError, one line, naming the first weight that does not fit.
    """
    path = locate(init)
    state, wanted = tensors(path), model.backbone.state_dict()
    first = next(iter(wanted))
    prefix = next((name.removesuffix(first) for name in state if name == first or name.endswith("." + first)), None)
    if prefix is None:
        raise ValueError(f"'{path}' holds no weight '{first}' of the backbone; it has {', '.join(list(state)[:3])}, …: is it another architecture?")
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    for name, value in wanted.items():
        if name not in found and name.endswith("num_batches_tracked"):
            found[name] = value
        if name not in found or found[name].shape != value.shape:
            there = f"shape {list(found[name].shape)} in the file, {list(value.shape)} here" if name in found else "not in the file"
            raise ValueError(f"'{path}' does not fit the backbone: {name} is {there}; give the backbone and image_size that it was trained with")
    extra = [name for name in found if name not in wanted and not name.startswith(HEADS)]
    if extra and prefix:
        raise ValueError(f"'{path}' does not fit the backbone: it also has {extra[0]}; give the backbone that it was trained with")
    model.backbone.load_state_dict({name: found[name] for name in wanted})
    model.loaded = ("backbone.",)
    content = {name.removeprefix("projector.0."): value for name, value in state.items() if name.startswith("projector.0.")}
    if len(model.projector) > 1 and content:
        own = model.projector[0].state_dict()
        if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in content.items()}:
            model.projector[0].load_state_dict(content)
            model.loaded = ("backbone.", "projector.0.")
            return f"backbone and content projector from {init}"
    return f"backbone from {init}"

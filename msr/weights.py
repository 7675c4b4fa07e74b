"""Trained networks, loaded: `load` gives one to use, `begin_from` begins training from one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from msr import models, safe
from msr.augment import Normalise
from msr.losses import FAMILIES
from msr.spaces import Spaces
from msr.views import to_float

HEADS = ("fc.", "head.", "classifier.")  # beginnings of the names of a classifier's weights


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
    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return {"h": [N, H], space: [N, d_m]} of images [N, 3, S, S], on the network's device.

        images: uint8, or float in [0, 1]; S should be `config["network"]["image_size"]`. The
        network runs in evaluation mode. Each space of the simclr family is normalised to its
        sphere.
        """
        self.model.eval()
        x = images.to(next(self.model.parameters()).device)
        h, z = self.model(Normalise().apply(to_float(x), {}))
        family = FAMILIES.get(self.config.get("family", ""))
        if family is not None and family.per_image:
            z = family.normalise(z, self.spaces)
        return {"h": h, **self.spaces.split(z)}


def load(path_or_name: str | os.PathLike[str], device: str | torch.device = "cpu") -> Trained:
    """Load the network of a run's folder, of its `model.safetensors` alone, or of a name.

    A name is looked up in $MSR_MODELS (by default ~/.cache/msr/models). Raises ValueError, one
    line, if nothing is found there, if the file does not say which network it holds, or if its
    weights are not those of that network.
    """
    path = locate(path_or_name)
    weights, config = tensors(path), config_of(path)
    if not isinstance(config.get("network"), dict):
        raise ValueError(
            f"'{path}' does not say which network it holds (no `network` in its configuration); "
            "build the network and use its load_state_dict"
        )
    _agree(config["network"], weights, path)
    model = models.build(**config["network"])
    model.load_state_dict(weights)
    return Trained(model.to(device).eval(), config)


def _agree(network: dict[str, Any], weights: dict[str, torch.Tensor], path: Path) -> None:
    """Raise ValueError, one line, unless the weights are those of the described network.

    network: arguments of `models.build`, from the file. No memory is taken for the network's
    weights, so that a file cannot ask for more of it than it has itself.
    """
    try:
        if len(network.get("hidden", ())) > len(weights):
            raise ValueError("it has more layers than the file has weights")
        with torch.device("meta"):
            wanted = models.build(**network).state_dict()
    except Exception as error:  # unknown names, values of any type and size
        raise ValueError(
            f"'{path}' describes a network that cannot be built ({safe.line(error)})"
        ) from None
    for name in [*wanted, *weights]:
        here, there = wanted.get(name), weights.get(name)
        if here is None or there is None or here.shape != there.shape:
            raise ValueError(
                f"'{path}' does not hold the network that it describes: {safe.shown(name)} is "
                f"{_shape(there)} in the file, {_shape(here)} in the network"
            )


def _shape(value: torch.Tensor | None) -> str:
    """Return a tensor's shape as text; "absent" for None."""
    return "absent" if value is None else f"{list(value.shape)}"


def locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the path of the weights that a run's folder, a file or a name stands for.

    Raises ValueError, one line, if there are none.
    """
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
    """Return the config.json in the metadata of a run's safetensors file; {} for other files.

    Raises ValueError, one line, for a damaged file.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("config", "{}")
    except Exception as error:
        raise ValueError(f"'{path}' cannot be read ({safe.line(error)})") from None
    return safe.mapping(text, f"the configuration in '{path}'")


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a safetensors or torch file, on the CPU.

    Dictionaries that training scripts wrap around the weights ("state_dict", "model") are removed.
    Only tensors are unpickled, so no code runs, and memory is in proportion to the file (see
    `safe.load`). Raises ValueError, one line, for any other file.
    """
    try:
        state: dict[str, Any]
        if path.suffix == ".safetensors":
            state = dict(safetensors.torch.load_file(path))
        else:
            state = safe.load(path)
        for wrapper in ("state_dict", "model", "model_state_dict"):
            inner = state.get(wrapper)
            state = inner if isinstance(inner, dict) else state
        found = {name: v for name, v in state.items() if isinstance(v, torch.Tensor)}
        return {name: v for name, v in found.items() if isinstance(name, str)}
    except Exception as error:
        raise ValueError(
            f"'{path}' holds no weights that can be read safely ({safe.line(error)}); give a state "
            "dict saved by torch.save, a safetensors file, or a run's folder"
        ) from None


def stem_of(init: str) -> str:
    """Return which stem the resnet in `init` has: "large" (7 × 7) or "small" (3 × 3).

    The answer is "auto" for an empty `init`, and for weights without such a convolution.
    """
    if not init:
        return "auto"
    shapes = [
        value.shape
        for name, value in tensors(locate(init)).items()
        if name.endswith("conv1.weight") and value.dim() == 4 and value.shape[1] <= 4
    ]
    return "auto" if not shapes else "large" if shapes[0][-1] == 7 else "small"


def begin_from(model: models.MultiSpace, init: str) -> str:
    """Load trained weights into the model, and return in words what was loaded.

    init: a file of torchvision or timm, or an earlier run. The backbone is loaded; so is the
    content projector, if the model has one of its own (`separate_style`) and the shapes agree.
    `model.loaded` then names what was loaded, so that it can have its own learning rate. Raises
    ValueError, one line, that names the first weight that does not fit.
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
    """Return the weights in `state` that the backbone needs, by its own names.

    wanted: the backbone's state_dict. Raises ValueError, one line, if a weight is missing or has
    another shape, or if the file puts a prefix before its backbone's names and has more of them.
    """
    first = next(iter(wanted))
    holding = [name for name in state if name == first or name.endswith("." + first)]
    if not holding:
        raise ValueError(
            f"'{path}' holds no weight '{first}' of the backbone; it has "
            f"{', '.join(map(safe.shown, list(state)[:3]))}, …: is it another architecture?"
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
            f"'{path}' does not fit the backbone: it also has {safe.shown(extra[0])}; "
            "give the backbone that it was trained with"
        )
    return {name: found[name] for name in wanted}

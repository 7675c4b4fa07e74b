"""Files of weights: where they are, and what they hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch


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

    Raises ValueError, one line, if it cannot be read.
    """
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("config", "{}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' holds a configuration that is not JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a safetensors or torch file, on the CPU.

    Dictionaries that training scripts wrap around the weights ("state_dict", "model") are removed.
    Only tensors are unpickled, so no code runs. Raises ValueError, one line, for any other file.
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

"""Files of weights: where they are, and what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from msr import safe

SHIPPED = Path(__file__).parent / "shipped"  # networks that come with the library


def shipped() -> list[str]:
    """Return the names of the networks that come with the library."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the path of the weights that a run's folder, a file or a name stands for.

    A name is looked up in $MSR_MODELS (by default ~/.cache/msr/models), then in `SHIPPED`. Raises
    ValueError, one line, if there are none.
    """
    home = Path(os.environ.get("MSR_MODELS", "~/.cache/msr/models")).expanduser()
    given = Path(path_or_name).expanduser()
    file = f"{path_or_name}.safetensors"
    for path in (given, home / str(path_or_name), home / file, SHIPPED / file):
        if path.is_dir() and (path / "model.safetensors").is_file():
            return path / "model.safetensors"
        if path.is_file():
            return path
    raise ValueError(
        f"'{path_or_name}' is not a run's folder (with model.safetensors), a weights file, "
        f"a name in {home}, or one of {', '.join(shipped())}"
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

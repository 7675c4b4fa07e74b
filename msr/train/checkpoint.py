"""The files of a run: its configuration, its last two checkpoints, and the weights for others.

A run's folder holds::

    config.json                 the request: training settings, network, experiment
    checkpoint-00001200.pt      after 1,200 steps: model, optimizer, objective (with λ), generator,
                                rng, step, recent rows of the log, config; the last two are kept
    model.safetensors           the newest weights, with config.json in the metadata: this file
                                alone is enough for `msr.load`
    log.jsonl, events.*         every term of the loss, as lines and for TensorBoard
    diverged.json               the step by which the loss became nan or inf, if it ever did

Tensors and JSON only: loading a checkpoint runs no code (`weights_only=True`). A file is written
under another name, synced to the disk and renamed, so that a job may be killed at any moment.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from msr import safe

KEPT = 2  # number of checkpoints that are kept
# the parts of a checkpoint, as `State.save` makes them
HELD = {"step": int, "config": str, "model": dict, "objective": dict, "optimizer": dict}
HELD |= {"generator": torch.Tensor, "rng": list, "recent": torch.Tensor}


def write_config(folder: Path, config: dict) -> None:
    """Write `config`, plain data, to config.json in the folder."""
    safe.write(
        folder / "config.json", lambda file: file.write(json.dumps(config, indent=1).encode())
    )


def checkpoints(folder: Path) -> list[Path]:
    """Return the paths of a folder's checkpoints, newest first."""
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)


def save(folder: Path, state: dict) -> None:
    """Write model.safetensors and then a checkpoint, and delete all but the last two of these.

    state: what the checkpoint holds; among others `step`, `model` (a state_dict) and `config` (a
    JSON text). In this order a complete run, which is never saved again, has its last weights.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in state["model"].items()}
    blob = safetensors.torch.save(weights, {"config": state["config"], "step": str(state["step"])})
    safe.write(folder / "model.safetensors", lambda file: file.write(blob))
    safe.write(folder / f"checkpoint-{state['step']:08d}.pt", lambda file: torch.save(state, file))
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()


def clean(folder: Path) -> None:
    """Delete the incomplete files that killed processes left in a run's folder."""
    for path in folder.glob("*.*.tmp"):
        path.unlink(missing_ok=True)


def latest(folder: str | Path) -> dict | None:
    """Return the newest readable checkpoint, on the CPU, or None if the folder has none.

    An unreadable checkpoint is reported in a printed line. Raises ValueError, one line, if there
    are checkpoints but none can be read.
    """
    found, problem = checkpoints(Path(folder)), ""
    for path in found:
        try:
            return _whole(safe.load(path))
        except Exception as error:  # a damaged file: torch raises errors of many kinds
            problem = safe.line(error)
            print(f"{path} cannot be read ({problem}); trying the one before", flush=True)
    if found:
        raise ValueError(
            f"no checkpoint in {folder} can be read ({problem}); "
            "move the folder away to begin again"
        )
    return None


def _whole(saved: Any) -> dict:
    """Return a checkpoint if it holds what `save` was given, else raise ValueError, one line."""
    if not isinstance(saved, dict):
        raise ValueError("it is not a checkpoint of msr")
    for name, kind in HELD.items():
        if not isinstance(saved.get(name), kind):
            raise ValueError(f"it is not a checkpoint of msr: {name} is absent or of another type")
    config = safe.mapping(saved["config"], "its configuration")
    if not isinstance(config.get("training"), dict) or not isinstance(config.get("steps"), int):
        raise ValueError("its configuration is not one of msr")
    if not 0 <= saved["step"] <= config["steps"]:
        raise ValueError(f"it is of step {saved['step']} of {config['steps']}")
    return saved


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Return one line for each value that differs, such as "epochs = 10, now 20".

    old, new: configurations, nested dicts of plain data; a missing value counts as None. prefix:
    stands before the names, for the values of an inner dict.
    """
    lines = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            lines.append(f"{prefix}{name} = {a!r}, now {b!r}")
    return [line.removeprefix("training.").removeprefix("experiment.") for line in lines]


def set_aside(folder: Path) -> Path:
    """Rename a run's folder to <folder>.old, or else <folder>.old2, …; return the new path.

    The first name that does not exist yet is taken.
    """
    names = (folder.with_name(f"{folder.name}.old{n if n > 1 else ''}") for n in range(1, 10**6))
    old = next(path for path in names if not path.exists())
    folder.rename(old)
    return old


def rng() -> dict:
    """Return the state of this process's global random generators: torch, NumPy and Python.

    That of CUDA is included if CUDA is in use.
    """
    numpy = np.random.get_state(legacy=False)
    keys, position = numpy["state"]["key"], numpy["state"]["pos"]
    version, python, gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [
            torch.from_numpy(keys.astype(np.int64)),
            position,
            numpy["has_gauss"],
            numpy["gauss"],
        ],
        "python": [version, list(python), gauss],
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def set_rng(state: dict) -> None:
    """Restore the state of the global random generators that `rng` returned."""
    torch.set_rng_state(state["torch"])
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
    version, python, gauss = state["python"]
    random.setstate((version, tuple(python), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

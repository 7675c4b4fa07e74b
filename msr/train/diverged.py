"""A run whose loss became nan or inf: what it leaves, and how it may go on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from msr import dist, safe
from msr.train import checkpoint

# Settings of training that may be changed to get a run past the step where it diverged.
CURES = ("lr", "clip", "precision")
FILE = "diverged.json"


class NonFiniteLoss(FloatingPointError):
    """The loss became nan or inf. The checkpoints written before are kept."""


def error(folder: Path | None, step: int, what: str) -> NonFiniteLoss:
    """Return the error, one line, of a run that diverged at or before `step`; note it in `folder`.

    folder: of the run, or None. what: the beginning of the message.
    """
    advice = f"{what}; try a lower lr, clip = 1.0 or precision = 'float32'"
    if folder is None:
        return NonFiniteLoss(advice)
    if dist.rank() == 0:
        with contextlib.suppress(OSError):  # on a full disk too, this error is the one to report
            note = json.dumps({"step": step}).encode()
            safe.write(folder / FILE, lambda file: file.write(note))
    saved = checkpoint.checkpoints(folder)
    if not saved:
        return NonFiniteLoss(f"{advice} (no checkpoint was written yet: training begins again)")
    retry = f"{advice} (from a notebook -p lr …): the same command then resumes from {saved[0]}"
    other = f"; if that is too late, remove it to resume from {saved[1].name}" if saved[1:] else ""
    return NonFiniteLoss(f"{retry}, the last good checkpoint{other}")


def step_of(folder: Path) -> int:
    """Return the step by which the run in `folder` diverged; 0 if it never did."""
    try:
        return int(safe.mapping((folder / FILE).read_bytes(), FILE)["step"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def incurable(folder: Path, done: int, changed: Iterable[str]) -> list[str]:
    """Return those changes of the settings with which the run in `folder` may not be resumed.

    done: steps of the checkpoint to resume from. changed: lines such as "lr = 0.1, now 0.01". All
    of them are returned, unless the run diverged after that step: then `CURES` may change.
    """
    names = CURES if done < step_of(folder) else ()
    return [line for line in changed if line.partition(" = ")[0] not in names]

"""The log of a run: every term of every space, as JSON lines and for TensorBoard."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from msr import dist, safe
from msr.objective import Terms
from msr.train import checkpoint


class Log:
    """The log of a run: one dict per line in `lines`, and on rank 0 also files in a folder.

    folder: where log.jsonl and, if TensorBoard is installed, its events are written, or None for no
    files. spaces: names of the M + 1 spaces. step: the step from which the run is resumed; log
    lines up to it are kept, later ones are dropped.
    """

    def __init__(self, folder: Path | None, spaces: Sequence[str], step: int = 0):
        terms = ("align", "violation", "lambda")
        self.names = ["loss", "spread", *(f"{term}/{space}" for term in terms for space in spaces)]
        self.folder = folder
        self.lines = lines_of(folder, step) if folder else []
        self.file: Any = None
        self.board: Any = None
        if folder and dist.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line) + "\n" for line in self.lines)
            checkpoint.write(folder / "log.jsonl", lambda file: file.write(text.encode()))
            self.file = open(folder / "log.jsonl", "a")
            self.board = _board(folder, step)
        self.last = time.perf_counter()  # when the last line was written

    @property
    def line(self) -> dict:
        """The last line of the log, or an empty dict if there is none."""
        return self.lines[-1] if self.lines else {}

    def mean(self, recent: list[torch.Tensor], asked: bool) -> tuple[list[float], bool]:
        """Return the means of the recent rows over steps and ranks, and whether any rank must stop.

        recent: one row [2 + 3 (M + 1)] per step, as `row` returns them. asked: whether this rank
        was asked to stop. The answer for all ranks is computed together with the means, so that it
        costs no further read from the device.
        """
        values = torch.stack(recent).mean(dim=0)
        asked_too = values.new_tensor([float(asked)])
        *means, any_asked = dist.mean(torch.cat([values, asked_too])).tolist()
        return means, any_asked > 0

    def write(self, values: Sequence[float], images: int, **where: float) -> None:
        """Add a line with the given values, the speed, and where in the run it stands.

        values: in the order of `names`. images: number of images trained on since the last line,
        for `images_per_second`. where: `step` and, for example, epoch and lr.
        """
        speed = images / (time.perf_counter() - self.last)
        line = {**where, "images_per_second": speed, **dict(zip(self.names, values))}
        self.lines.append(line)
        if self.file:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
            for name, value in line.items() if self.board else ():
                self.board.add_scalar(name, value, line["step"])
        self.last = time.perf_counter()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.file:
            self.file.close()
        if self.board:
            self.board.close()


def _board(folder: Path, step: int) -> Any:
    """Return TensorBoard's writer; None, with one printed line, where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is not installed: the log is log.jsonl alone", flush=True)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def row(terms: Terms) -> torch.Tensor:
    """Return a step's values in the order of `Log.names`, [2 + 3 (M + 1)], on their device."""
    loss = torch.stack([terms.loss.detach(), terms.spread])
    return torch.cat([loss, terms.align, terms.violation, terms.lambdas])


def lines_of(folder: Path, step: int) -> list[dict]:
    """Return the lines of a folder's log.jsonl up to `step`; none if there is no such file.

    A line that was cut short when the process was killed is left out, and so is what is no line of
    a log.
    """
    path = folder / "log.jsonl"
    if not step or not path.is_file():
        return []
    lines = []
    with open(path, errors="replace") as file:
        while text := file.readline(safe.TEXT):
            with contextlib.suppress(ValueError, RecursionError):
                lines.append(json.loads(text))
    return [line for line in lines if _is_line(line) and line["step"] <= step]


def _is_line(line: Any) -> bool:
    """Return whether a value is a line of a log: a step, and numbers by name."""
    return (
        isinstance(line, dict)
        and "step" in line
        and all(isinstance(value, (int, float)) for value in line.values())
    )

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
        self.missed = False  # whether some line could not be written to log.jsonl
        if folder and dist.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_all()
            self.board = _board(folder, step)
        self.last = time.perf_counter()  # when the last line was written

    @property
    def line(self) -> dict:
        """The last line of the log, or an empty dict if there is none."""
        return self.lines[-1] if self.lines else {}

    def mean(self, recent: list[torch.Tensor]) -> list[float]:
        """Return the means of the recent rows over steps and ranks.

        recent: one row [2 + 3 (M + 1)] per step, as `row` returns them.
        """
        return dist.mean(torch.stack(recent).mean(dim=0)).tolist()

    def write(self, values: Sequence[float], images: int, **where: float) -> None:
        """Add a line with the given values, the speed, and where in the run it stands.

        values: in the order of `names`. images: number of images trained on since the last line,
        for `images_per_second`. where: `step` and, for example, epoch and lr.
        """
        speed = images / (time.perf_counter() - self.last)
        line = {**where, "images_per_second": speed, **dict(zip(self.names, values))}
        self.lines.append(line)
        if self.file:
            self._append(line)
        self.last = time.perf_counter()

    def _append(self, line: dict) -> None:
        """Write a line to the files. If that fails, as on a full disk, say so and go on."""
        try:
            if self.missed:
                self._write_all()
            else:
                self.file.write(json.dumps(line) + "\n")
                self.file.flush()
            self.missed = False
        except OSError as error:
            self.missed = True
            print(f"a line of {self.folder}/log.jsonl cannot be written: {error}", flush=True)
        try:
            for name, value in line.items() if self.board else ():
                self.board.add_scalar(name, value, line["step"])
        except OSError as error:
            self.board = None
            print(f"no more events of TensorBoard in {self.folder}: {error}", flush=True)

    def _write_all(self) -> None:
        """Write log.jsonl anew, with every line so far, and open it for the next ones."""
        assert self.folder is not None
        if self.file:
            with contextlib.suppress(OSError):
                self.file.close()
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        safe.write(self.folder / "log.jsonl", lambda file: file.write(text.encode()))
        self.file = open(self.folder / "log.jsonl", "a")

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(OSError):  # what could not be written was told
            if self.missed:
                self._write_all()
            if self.file:
                self.file.close()
        with contextlib.suppress(OSError):
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

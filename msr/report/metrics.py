"""The file metrics.json: the one source of the numbers on a page."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from msr import safe


class Cell(TypedDict):
    """One number of a table, with its values over seeds."""

    value: float  # mean over seeds
    std: float | None  # standard deviation over seeds (divided by n − 1); None for one seed
    n: int  # number of seeds
    values: list[float]  # one number per seed, in the order of the seeds


Table = dict[str, dict[str, Cell]]  # {space: {target: cell}}
Scores = Mapping[str, Mapping[str, float]]  # {space: {target: number}} of one seed


def over_seeds(runs: Sequence[Scores]) -> Table:
    """Return the table over seeds; runs: the scores of each seed, with equal rows and columns.

    Raises ValueError, one line, for no runs.
    """
    if not runs:
        raise ValueError("no runs to make a table of; give one seed or more")
    return {
        space: {target: cell_of([run[space][target] for run in runs]) for target in row}
        for space, row in runs[0].items()
    }


def cell_of(values: Sequence[float]) -> Cell:
    """Return the cell of a target from its values, one per seed."""
    return {
        "value": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
        "values": [float(value) for value in values],
    }


class Metrics:
    """The tables of a notebook and what they depend on, written to `out_dir`/metrics.json.

    notebook: its name. params: its parameters. The file also records the device, the versions of
    packages, the commit, and the seconds since this object was made. saved: False writes no file,
    as where a page shows the numbers of an earlier run.
    """

    def __init__(
        self,
        notebook: str,
        params: Mapping[str, Any],
        device: object,
        out_dir: str | Path,
        saved: bool = True,
    ):
        self.start, self.out_dir, self.saved = time.perf_counter(), Path(out_dir), saved
        self.record: dict[str, Any] = {
            "notebook": notebook,
            "params": params,
            "device": str(device),
            "seconds": None,
            "versions": versions(),
            "commit": commit(),
            "tables": {},
        }

    @property
    def tables(self) -> dict[str, Table]:
        """The tables added so far, {experiment: table}."""
        return self.record["tables"]

    def add(self, experiment: str, runs: Sequence[Scores]) -> Table:
        """Add an experiment and return its table over seeds; runs: the scores of each seed.

        The file is written at once, so that a later failure loses nothing.
        """
        self.tables[experiment] = over_seeds(runs)
        self.write()
        return self.tables[experiment]

    def write(self) -> Path:
        """Write metrics.json and return its path; nothing is written if it is not `saved`.

        The file is replaced in one step, so that nobody ever reads half of it.
        """
        self.record["seconds"] = round(time.perf_counter() - self.start, 1)
        path = self.out_dir / "metrics.json"
        if not self.saved:
            return path
        self.out_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.record, indent=1, default=str)
        safe.write(path, lambda file: file.write(text.encode()))
        return path


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("msr", "torch", "torchvision", "numpy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


def commit() -> str:
    """Return the commit of the git checkout that `msr` is imported from, in 12 digits.

    It ends in "+" if tracked files differ from that commit, and is empty outside a checkout.
    """
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        if head.returncode:
            return ""
        changed = _git("status", "--porcelain", "--untracked-files=no").stdout
        return head.stdout.strip() + ("+" if changed else "")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a git command in this file's folder."""
    return subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *words],
        capture_output=True,
        text=True,
        timeout=10,
    )

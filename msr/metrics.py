"""metrics.json: the one source of the numbers on a page."""
from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

Table = dict[str, dict[str, dict]]                            # space -> target -> {"value", "std", "n"}


def over_seeds(runs: list[dict[str, dict[str, float]]]) -> Table:
    """One table per seed -> mean, standard deviation over seeds (n − 1; null for one seed) and their number."""
    def cell(values):
        return {"value": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None, "n": len(values)}
    return {space: {target: cell([run[space][target] for run in runs]) for target in runs[0][space]} for space in runs[0]}


def paired(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Mean difference over seeds and the half-width of its 95 % t-interval (inf for one seed). "Better" is said only
    where the interval excludes zero."""
    from scipy.stats import t
    d = np.subtract(ours, theirs)
    if len(d) < 2:
        return float(d.mean()), math.inf
    return float(d.mean()), float(t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d)))


class Metrics:
    """Collects a notebook's tables and writes `out_dir`/metrics.json. The clock starts here."""

    def __init__(self, notebook: str, params: dict, device, out_dir):
        self.start, self.out_dir = time.perf_counter(), Path(out_dir)
        self.record = {"notebook": notebook, "params": params, "device": str(device), "seconds": None, "versions": versions(),
                       "commit": commit(), "tables": {}}

    @property
    def tables(self) -> dict[str, Table]:
        return self.record["tables"]

    def add(self, experiment: str, runs: list[dict[str, dict[str, float]]]) -> Table:
        """Add one experiment from its seeds' tables; written at once, so that a later failure loses nothing."""
        self.tables[experiment] = over_seeds(runs)
        self.write()
        return self.tables[experiment]

    def write(self) -> Path:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.record["seconds"] = round(time.perf_counter() - self.start, 1)
        path = self.out_dir / "metrics.json"
        path.with_suffix(".tmp").write_text(json.dumps(self.record, indent=1, default=str))
        os.replace(path.with_suffix(".tmp"), path)
        return path


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("msr", "torch", "torchvision", "numpy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


def commit() -> str:
    """The commit of the checkout that `msr` is imported from, with + where files differ; empty outside one."""
    def git(*words):
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, timeout=10)
    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return head.stdout.strip() + ("+" if git("status", "--porcelain", "--untracked-files=no").stdout else "") if head.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""

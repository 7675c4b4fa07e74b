"""The parameters of book/performance.ipynb, and the measurements that it shows."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, ClassVar

from msr.config import Place, Whole
from msr.experiments.parameters import Page, parameter
from msr.report import kept

SUITES = ("views", "losses", "steps", "threads", "ranks", "families", "memory")
KEYS = ("hardware", "commit", "rounds", "rows")


class Parameters(Page):
    """The parameters of book/performance.ipynb."""

    NAME: ClassVar[str] = "performance"
    FIRST: ClassVar[tuple[str, ...]] = ("results", "rounds", "out_dir")

    results: Place = parameter(
        "benchmarks/results.json", "measurements to show, as `make bench` writes", decides=False
    )
    rounds: Whole = parameter(
        5, "times that each side is measured on this machine", decides=False, ge=1
    )
    out_dir: Place = parameter(
        "runs/performance", "what is measured here goes to results.json here", decides=False
    )


def stored(config: Parameters) -> dict[str, Any]:
    """Return what `make bench` wrote: {suite: {"hardware", "commit", "rounds", "rows"}}.

    Raises ValueError, one line, for a file that cannot be read.
    """
    try:
        found = json.loads(kept.located(config.results).read_text())
        return {suite: {name: found[suite][name] for name in KEYS} for suite in SUITES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"results '{config.results}' cannot be read ({error}); give a file that `make bench` "
            "wrote"
        ) from None


def part(
    found: dict[str, Any], suite: str, start: str = "", end: str = ""
) -> dict[str, dict[str, Any]]:
    """Return the rows of a suite whose names begin and end so, without beginning and end."""
    return {
        name.removeprefix(start).removesuffix(end): row
        for name, row in found[suite]["rows"].items()
        if name.startswith(start) and name.endswith(end)
    }


def passes(found: dict[str, Any], size: int) -> dict[str, float]:
    """Return {transform: what it costs, in passes over the values of a view}, "all" first.

    size: of the views in pixels a side. A pass is a copy into memory that is there, by the median
    of those that were measured beside each transform.
    """
    rows, one = _pass(found, size)
    return {name: one / row["ours"] for name, row in rows.items()}


def budget(found: dict[str, Any], step: str, size: int, share: float = 0.1) -> str:
    """Say what a view may cost for views to be a given share of a training step.

    step: its title in the suite "steps". size: of its views in pixels a side, at which a pass was
    measured. Empty if they were not measured.
    """
    whole = found["steps"]["rows"].get(f"{step}: the views alone")
    rows, one = _pass(found, size)
    if not whole or not rows:
        return ""
    rest = 1 / whole["ours"] - 1 / whole["theirs"]  # seconds a view, all but the views
    most = rest * share / (1 - share) * one
    return (
        f"{step}: a view costs {one / whole['theirs']:.0f} passes; {most:.0f} would be "
        f"{share:.0%} of a step, since all else costs {rest * one:.0f}."
    )


def _pass(found: dict[str, Any], size: int) -> tuple[dict[str, dict[str, Any]], float]:
    """Return {transform: its row beside a pass} at a size, and the passes a second; 0 of none."""
    rows = part(found, "views", f"{size} px, ", ": one pass")
    return rows, statistics.median(row["theirs"] for row in rows.values()) if rows else 0.0


def measured_on(found: dict[str, Any]) -> str:
    """Return a line on what the kept measurements were made on, as Markdown."""
    on = {
        f"{some['hardware']['gpu'] or some['hardware']['cpu']}, {some['hardware']['threads']} "
        f"threads, PyTorch {some['hardware']['torch']}"
        for some in found.values()
    }
    return f"*The kept measurements were made on: {'; '.join(sorted(on))}.*"


def write(config: Parameters, hardware: dict[str, Any], rows: dict[str, Any]) -> Path:
    """Write rows {case: its row} measured here to results.json in out_dir; return its path."""
    path = Path(config.out_dir) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"hardware": hardware, "rows": rows}, indent=1) + "\n")
    return path

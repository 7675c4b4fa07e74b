"""The parameters of book/performance.ipynb, and the measurements that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from msr.config import Place, Whole
from msr.experiments.parameters import Page, parameter

ROOT = Path(__file__).resolve().parents[2]  # of the checkout, in which the measurements lie


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
    """Return what `make bench` wrote: {"hardware": …, "results": {suite: {case: its row}}}.

    Raises ValueError, one line, for a file that cannot be read.
    """
    path = Path(config.results)
    try:
        found = json.loads((path if path.exists() else ROOT / path).read_text())
        return {name: found[name] for name in ("hardware", "results")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"results '{config.results}' cannot be read ({error}); give a file that `make bench` "
            "wrote"
        ) from None


def write(config: Parameters, hardware: dict[str, Any], rows: dict[str, Any]) -> Path:
    """Write rows {suite: {case: its row}} measured here to results.json in out_dir; return it."""
    path = Path(config.out_dir) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"hardware": hardware, "results": rows}, indent=1) + "\n")
    return path

"""The results of long runs that are kept with the book, for pages that a short run has made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msr.experiments.parameters import Parameters

# parameters that a short run has smaller: it is a small form of the same experiment
SMALLER = "steps study_steps study_epochs max_images n_l2 probe_samples probe_images task_images"
RESULTS = Path(__file__).resolve().parents[2] / "results"  # of the checkout


def read(config: Parameters) -> dict[str, Any] | None:
    """Return the metrics.json that is kept of the notebook of these parameters.

    config: the parameters with everything filled in. None if there is none, or if it is of another
    experiment: one with other images, views, spaces or network. How long a run is, and on how many
    images and seeds, makes no other experiment.
    """
    path = RESULTS / f"{config.NAME}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    asked = json.loads(json.dumps(config.deciding, default=str))
    own = {name: value for name, value in asked.items() if name not in SMALLER.split()}
    return found if own.items() <= found["params"].items() else None


def made_by(record: dict[str, Any]) -> str:
    """Return a line on what a kept run was, as Markdown."""
    params, versions = record["params"], record["versions"]
    long = [f"{params[name]} {name}" for name in ("epochs", "steps", "seeds") if name in params]
    commit = f", commit `{record['commit']}`" if record["commit"] else ""
    return (
        f"*The same notebook by its defaults ({', '.join(long)}): a run on {record['device']} with "
        f"PyTorch {versions['torch']}{commit}, kept in `results/{record['notebook']}.json`.*"
    )

"""The results of long runs that are kept with the book, for pages that a short run has made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]  # of the checkout
RESULTS = ROOT / "results"
LENGTH = ("epochs", "steps")
STUDIES = "Studies that belong to a longer run"  # how a line on them begins; see `made_by`
# beside what a record says decides, parameters of the training that another experiment has else
TRAINING = ("batch_size", "optimizer", "lr", "weight_decay", "clip", "adaptive", "precision")
# parameters that a short run has smaller: it is a small form of the same experiment
SMALLER = "steps study_steps study_epochs max_images n_l2 probe_samples probe_images task_images"


class Record(Protocol):
    """The parameters of a notebook, with everything filled in (see `msr.experiments`)."""

    NAME: Any

    @property
    def deciding(self) -> dict[str, Any]:
        """{name: value} of what decides the run."""


def read(config: Record) -> dict[str, Any] | None:
    """Return the metrics.json that is kept of a longer run of the same experiment.

    None if there is none: if the run of `config` is as long, or of another experiment, one with
    other images, views, spaces, network or training. On how many images and seeds makes no other.
    """
    path = RESULTS / f"{config.NAME}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    params = found["params"]
    beside = {name: getattr(config, name) for name in TRAINING if hasattr(config, name)}
    asked = {k: v for k, v in (config.deciding | beside).items() if k not in SMALLER.split()}
    lengths = {name: getattr(config, name) for name in LENGTH if hasattr(config, name)}
    return found if longer(params, lengths) and not differing(asked, params) else None


def longer(params: Mapping[str, Any], lengths: Mapping[str, int]) -> bool:
    """Return whether a record of these parameters is of a longer run than one of `lengths`."""
    return any(params[name] > n for name, n in lengths.items() if name in params)


def differing(asked: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters `asked`, as plain data, that a record has not or has else."""
    plain = json.loads(json.dumps(dict(asked), default=str))
    return {name: v for name, v in plain.items() if name not in params or params[name] != v}


def content(path: Path) -> dict[str, Any]:
    """Return the content of a metrics.json, empty if there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def located(path: str) -> Path:
    """Return the path of a file that is kept with the book, from whatever folder it is named."""
    return Path(path) if Path(path).exists() else ROOT / path


def made_by(record: dict[str, Any], what: str = "After a longer run") -> str:
    """Return a line on what a kept run was, as Markdown; it begins with `what`."""
    params, versions = record["params"], record["versions"]
    long = [f"{params[name]} {name}" for name in (*LENGTH, "seeds") if name in params]
    return (
        f"*{what}: the same notebook by its defaults ({', '.join(long)}), on "
        f"{record['device']} with PyTorch {versions['torch']}, commit `{record['commit']}`, kept "
        f"in `results/{record['notebook']}.json`.*"
    )


def of_network(record: dict[str, Any], name: str) -> str:
    """Return a line on the network that a kept run left in the library, as Markdown."""
    return (
        f'*The same task, done by the network that comes with the library, `msr.load("{name}")`: '
        f"the one of seed {record['params']['seed']} of the longer run above.*"
    )

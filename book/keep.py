"""Keep the results of a run with the book: python book/keep.py runs/imagenet/metrics.json …

The file goes to results/<notebook>.json (see results/README.md); NAME=runs/… sends it to
results/NAME.json. Of paths outside the checkout only the last part is kept. The seconds that its
networks trained are added, by the logs in its folder (networks trained on labels have none). The
network of the first seed goes to msr/weights/shipped/, for the notebooks in `NETWORKS` and the
book's own images. The badge of the README, results/badge.svg, is drawn again.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path, PurePath
from typing import Any

import safetensors.torch

import clean
from msr import safe, weights
from msr.experiments import reproduction
from msr.weights.stored import SHIPPED

RESULTS = Path(__file__).resolve().parent.parent / "results"
NETWORKS = {"sprites": "sprites", "imagenet": "shapes"}  # notebook -> name of its shipped network
OUTSIDE = re.compile(r"(\w+:)?([/~].*)", re.DOTALL)  # a path, perhaps after a word: spatial:/data/x


def plain(value: Any) -> Any:
    """Return plain data in which texts that are paths outside the checkout are their last part."""
    if isinstance(value, dict):
        return {plain(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    found = OUTSIDE.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1] or ''}{PurePath(found[2]).name}" if found else value


def keep(path: Path, name: str = "") -> Path:
    """Write the metrics.json at a path to results/; return where it is.

    name: of the file, without its ending; "": that of the notebook.

    What is none, or was made by code that no commit has, ends the program with a line.
    """
    try:
        record = plain(json.loads(path.read_text()))
        notebook, commit = record["notebook"], record["commit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} is no metrics.json ({error}); give one that a notebook wrote")
    if not re.fullmatch("[0-9a-f]{12}", commit):
        sys.exit(f"{path}: made by code that no commit has; commit it, and run the notebook again")
    record["params"].pop("out_dir", None)
    trained = clean.seconds(path.parent)
    record |= {"trained": round(trained, 1)} if 0 < trained < math.inf else {}
    shipped = {} if name else network(path.parent, record)
    kept = RESULTS / f"{name or notebook}.json"
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    for target, content in ({kept: text.encode()} | shipped).items():
        target.parent.mkdir(exist_ok=True)
        safe.write(target, lambda file: file.write(content))  # noqa: B023  (called at once)
    return kept


def network(folder: Path, record: dict[str, Any]) -> dict[Path, bytes]:
    """Return {path in `SHIPPED`: file} of the network of the first seed, with where it is from.

    folder: of the run; record: its metrics. Empty for a notebook without one, and for a run on
    other images than the book's. A network that is not that of the record ends the program with a
    line.
    """
    params, notebook = record["params"], record["notebook"]
    if notebook not in NETWORKS or params.get("data_dir") or params.get("npz"):
        return {}
    file = folder / f"spaces_seed{params['seed']}" / "model.safetensors"
    try:
        config, weight = weights.config_of(file), weights.tensors(file)
        made = config["training"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{folder}: the network of seed {params['seed']} cannot be read ({error})")
    if (made["seed"], made["epochs"]) != (params["seed"], params["epochs"]):
        sys.exit(f"{file} is of another run: seed {made['seed']}, {made['epochs']} epochs")
    some = {key: record[key] for key in ("notebook", "commit", "versions", "device")}
    config |= {"provenance": some | {"seed": params["seed"]}}
    content = safetensors.torch.save(weight, {"config": json.dumps(plain(config))})
    return {SHIPPED / f"{NETWORKS[notebook]}.safetensors": content}


def badge(claims: int, reproduced: int) -> str:
    """Return the badge that says how many claims of the book the kept results reproduce, as SVG."""
    left, right = 118, 62
    texts = (("claims reproduced", left / 2), (f"{reproduced} of {claims}", left + right / 2))
    words = "".join(f'<text x="{x:g}" y="14">{text}</text>' for text, x in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="claims reproduced: {reproduced} of {claims}">'
        f'<rect width="{left + right}" height="20" rx="3" fill="#444"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" '
        'fill="#0072b2"/><g fill="#fff" font-family="sans-serif" font-size="11" '
        f'text-anchor="middle">{words}</g></svg>\n'
    )


def draw() -> Path:
    """Write results/badge.svg from the kept results; return where it is."""
    claims, reproduced, _ = reproduction.count(reproduction.judge(reproduction.Parameters()))
    path = RESULTS / "badge.svg"
    path.write_text(badge(claims, reproduced))
    return path


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give one metrics.json or more: python book/keep.py runs/imagenet/metrics.json")
    for word in sys.argv[1:]:
        name, _, path = word.rpartition("=")
        print(f"{keep(Path(path), name)} is kept")
    draw()

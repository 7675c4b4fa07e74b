"""Scores of probes, kept beside the weights that they are of, so that no page computes them twice.

They are used again only for the same weights, images or latents, and views, and by the same code
and libraries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import torch

from msr import safe
from msr.data import Images

Table = dict[str, dict[str, float]]  # {space: {target: score}}
MSR = Path(__file__).resolve().parent.parent
# what decides scores, in msr/ …
ROOMS, FILES = ("augment", "data", "evaluate", "losses"), ("views", "models", "spaces", "objective")
SETUPS = ("experiments/setup.py", "experiments/sprites.py", "experiments/measures.py")
SCORING = (*ROOMS, *(f"{name}.py" for name in FILES), *SETUPS)
# … and the libraries that compute them
LIBRARIES = ("torch", "torchvision", "pillow", "numpy", "scikit-learn")
FILE = "probes.json"  # beside model.safetensors


def remembered(folder: Path | None, about: Iterable[str], make: Callable[[], Table]) -> Table:
    """Return the table kept in a run's folder, or else what `make` returns, which is kept there.

    about: texts that say what the probes are fitted and scored on. The weights in the folder (not
    those in memory), the code that scores and its libraries count as well. folder: None for a run
    that was not saved, of which nothing is kept. A file that cannot be read or written is no error.
    """
    if folder is None or not (folder / "model.safetensors").is_file():
        return make()
    weights = folder / "model.safetensors"
    key = digest([*about, CODE, hashlib.sha256(weights.read_bytes()).hexdigest()])
    try:
        found = safe.mapping((folder / FILE).read_bytes(), FILE)
        if found["key"] == key:
            return {space: dict(row) for space, row in found["table"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # absent, damaged or of another form
    table = make()
    text = json.dumps({"key": key, "table": table}, indent=1)
    try:
        safe.write(folder / FILE, lambda file: file.write(text.encode()))
    except OSError:
        pass
    return table


def code() -> str:
    """Return a digest of the source of all that decides the scores, and of library versions."""
    files = sorted(path for name in SCORING for path in sources(MSR / name))
    return digest([*(path.read_text() for path in files), *(version(name) for name in LIBRARIES)])


def sources(path: Path) -> list[Path]:
    """Return a Python file, or those in a folder."""
    return [path] if path.suffix else list(path.rglob("*.py"))


def digest(texts: Iterable[str]) -> str:
    """Return a digest of texts, in order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


CODE = code()  # as it was imported: a file that is edited later is not what computes


def of_images(images: Images) -> str:
    """Return a digest of a split: of its pixels and labels; of files the names, not the content."""
    targets = [*images.labels.items(), *images.factors.items()]
    if images.aspect is not None:
        targets.append(("aspect", images.aspect))
    if images.pixels is None:
        pixels = digest([images.listing, *map(str, images.decoder.source.names)])
    else:
        pixels = of_tensor(images.pixels)
    return digest([str(images.size), pixels, *(name + of_tensor(y) for name, y in targets)])


def of_tensor(x: torch.Tensor) -> str:
    """Return a digest of the numbers in a tensor."""
    return hashlib.sha256(x.contiguous().cpu().numpy().tobytes()).hexdigest()

"""The classes of held-out images that lie in one flat folder, from a file beside them.

ImageNet's validation images come so. Read are the development kit, Kaggle's table, and texts of
lines `file class`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import scipy.io

from msr import safe

DEVKIT = "ILSVRC2012_devkit_t12"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"  # with meta.mat, in the development kit
SOLUTION = "LOC_val_solution.csv"  # Kaggle's
UP = 4  # folders above the images that are searched too; Kaggle's table lies so far above
LARGEST = 2**26  # bytes; a larger text is not such a file
KIT = 2**19  # bytes of a file of the development kit; meta.mat is compressed


def find(folder: Path, names: set[str], classes: set[str]) -> tuple[dict[str, str], Path] | None:
    """Return ({file name without its extension: class}, the file that says so), or None.

    folder: of the images, whose files have the `names` (without extensions). classes: of the
    training images. A file counts if it gives one of the images one of the classes. Searched are
    the folder, those above it, and the development kit in either. Raises ValueError, one line, if
    a file of the kit cannot be read.
    """
    folder = folder.resolve()
    for place in [folder, *folder.parents[:UP]]:
        for kit in (place, place / "data", place / DEVKIT / "data"):
            if (kit / TRUTH).is_file() and (kit / "meta.mat").is_file():
                return _devkit(kit), kit / TRUTH
        texts = [place / SOLUTION]
        if place in (folder, folder.parent):
            texts += sorted(place.glob("*.txt" if place == folder else "val*.txt"))
        for path in texts:
            found = _lines(path)
            if any(found.get(name) in classes for name in names & found.keys()):
                return found, path
    return None


def _devkit(kit: Path) -> dict[str, str]:
    """Return {image: WordNet id} by the development kit of ILSVRC 2012, as torchvision reads it.

    Line n of the ground truth is the ILSVRC id of validation image n.
    """
    try:
        for name in (TRUTH, "meta.mat"):
            safe.regular(kit / name, KIT)
        synsets = scipy.io.loadmat(str(kit / "meta.mat"), squeeze_me=True)["synsets"]
        words = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        ids = (kit / TRUTH).read_text().split()
        return {f"ILSVRC2012_val_{n:08d}": words[int(i)] for n, i in enumerate(ids, 1)}
    except Exception as error:  # scipy raises errors of many kinds for a damaged file
        raise ValueError(
            f"'{kit / TRUTH}' with its meta.mat cannot be read: {safe.line(error)}"
        ) from None


def _lines(path: Path) -> dict[str, str]:
    """Return {file name without its extension: class} of a text's lines: their first two words."""
    try:
        safe.regular(path, LARGEST)
        lines: Iterable[str] = path.read_text().splitlines()
    except (OSError, ValueError):  # not there, a pipe, too large, or no text
        return {}
    rows = [line.replace(",", " ").split() for line in lines]
    return {Path(row[0]).stem: row[1] for row in rows if len(row) > 1}

"""What _build holds: what may go, what stays, what is set aside. `make clean` runs this file.

    python book/clean.py [--all] [--dry]

A run is kept unless the smoke or the quick profile trained it, unchanged and in less than an hour:
then `make book` trains it again in minutes. So neither a build nor `make clean` ever removes a
network that took long, whatever its profile is called. This file needs nothing but Python.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "_build"
QUICK = ("smoke", "quick")  # profiles that train in minutes
SHORT = 3600  # seconds; what trained longer is never removed without being asked
STAMP = "build.json"  # in a run's folder: who trained it


# --------------------------------------------------------------------------------- a folder of runs


def seconds(folder: Path) -> float:
    """Return how long the networks in a folder trained, by their logs; inf if a log is unreadable.

    Clocks and dates of files play no part: a log holds the images per second of every line.
    """
    total = 0.0
    unlogged = {path.parent for path in folder.rglob("checkpoint-*.pt")}
    for log in sorted(folder.rglob("log.jsonl")):
        unlogged.discard(log.parent)
        try:
            batch, last = json.loads((log.parent / "config.json").read_text())["training"], 0
            speed = math.nan
            for line in map(json.loads, log.read_text().splitlines()):
                images = batch["batch_size"] * (line["step"] - last)
                speed, last = line["images_per_second"], line["step"]
                total += images / speed
            # the steps that are saved but not yet in the log
            steps = [int(path.stem.split("-")[1]) for path in log.parent.glob("checkpoint-*.pt")]
            if max(steps, default=0) > last:
                total += (max(steps) - last) * batch["batch_size"] / speed
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
            return math.inf
    return math.inf if unlogged or math.isnan(total) else total


def stamp(folder: Path) -> dict:
    """Return what a build wrote about a folder of runs, or {} where no build did."""
    try:
        found = json.loads((folder / STAMP).read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def removable(folder: Path) -> bool:
    """Whether `make book` makes a folder of runs again in minutes; see the top of this file."""
    made = stamp(folder)
    quick = made.get("profile") in QUICK and made.get("given") == {}
    return quick and not folder.is_symlink() and seconds(folder) < SHORT


def set_aside(folder: Path) -> Path:
    """Rename a folder to <name>.stale-<time>, a name that is not taken; return the new path."""
    name = f"{folder.name}.stale-{time.strftime('%Y%m%d-%H%M%S')}"
    new, n = folder.with_name(name), 1
    while new.exists() or new.is_symlink():
        new, n = folder.with_name(f"{name}-{n}"), n + 1
    folder.rename(new)
    return new


# -------------------------------------------------------------------------------------- in words


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        os.lstat(os.path.join(where, name)).st_size
        for where, _, names in os.walk(path)
        for name in names
    )


def described(path: Path) -> str:
    """Return one line on a file or folder: its size, its networks, how long they trained, when."""
    parts = [f"{size(path) / 1e6:,.0f} MB"]
    logs = list(path.rglob("log.jsonl"))
    if logs:
        epochs = sum(map(trained_epochs, logs))
        took = seconds(path)
        hours = "an unknown time" if math.isinf(took) else f"{took / 3600:.1f} h"
        parts.append(f"{len(logs)} networks, {epochs:g} epochs, {hours}")
        parts.append(time.strftime("%Y-%m-%d", time.localtime(max(map(date, logs)))))
    return f"{path.relative_to(BUILD.parent)} ({', '.join(parts)})"


def trained_epochs(log: Path) -> float:
    """Return how many epochs a log.jsonl has reached; 0 if its last line cannot be read."""
    try:
        return round(json.loads(log.read_text().splitlines()[-1])["epoch"], 2)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return 0


def date(path: Path) -> float:
    """Return when a file was last written, in seconds."""
    return path.stat().st_mtime


# ------------------------------------------------------------------------------------ the command


def contents() -> Iterator[tuple[Path, bool]]:
    """Yield everything in _build as (path, whether `make clean` removes it).

    Removed are the site, the pages of the smoke and the quick profile, and their runs, where these
    are removable. A page of another profile is kept, and so is whatever this file does not know.
    """
    for path in sorted(BUILD.iterdir()) if BUILD.is_dir() else ():
        if path.name in ("site", "html"):
            yield path, True
        elif path.name == "executed" and path.is_dir():
            yield from ((page, page.name in QUICK) for page in sorted(path.iterdir()))
        elif path.name == "runs" and path.is_dir():
            for inside in sorted(path.iterdir()):
                runs = sorted(inside.iterdir()) if inside.is_dir() else [inside]
                yield from ((run, run.is_dir() and removable(run)) for run in runs)
        else:
            yield path, False


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; raise OSError for what cannot be removed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def clean(everything: bool = False, dry: bool = False) -> None:
    """Print what _build holds, and remove what `make book` makes again, or `everything`.

    dry: only print what would be removed.
    """
    found = list(contents())
    kept = [path for path, goes in found if not goes and not everything]
    for path in kept:
        print(f"kept: {described(path)}")
    if kept:
        print("What is kept may have taken long; `make clean ALL=1` removes it too.")
    for path, goes in found:
        if goes or everything:
            print(f"{'would remove' if dry else 'removing'} {described(path)}", flush=True)
            if not dry:
                remove(path)
    if dry:
        return
    for folder in [*BUILD.glob("runs/*"), *BUILD.glob("*"), BUILD]:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true", help="also what may have taken long")
    parser.add_argument("--dry", action="store_true", help="only say what would be removed")
    options = parser.parse_args()
    clean(options.all, options.dry)


if __name__ == "__main__":
    main()

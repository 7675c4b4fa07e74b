"""A record of the image files of a folder that were skipped as unreadable, or converted to RGB."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from msr import safe

NAMED = 100  # how many converted files of one colour mode are written by name

# (file, colour mode it was converted from or "", why it was skipped or "")
Note = tuple[str, str, str]


class Inspection:
    """A record of the image files that were skipped as unreadable or converted to RGB.

    total: number of image files. max_bad: share of them that may be unreadable, from 0 to 1.
    Attributes: seen, the number of files read so far, at most total; skipped, {file or shard:
    reason}; lost, {damaged shard: how many of its images are lost, estimated}; converted, {colour
    mode: names of files}.
    """

    def __init__(self, total: int = 0, max_bad: float = 0.1):
        self.total, self.max_bad, self.seen = total, max_bad, 0
        self.skipped: dict[str, str] = {}
        self.lost: dict[str, int] = {}
        self.converted: dict[str, set[str]] = {}

    def add(self, seen: int, notes: Iterable[Note]) -> None:
        """Record the notes of `seen` more files.

        Raises ValueError, one line, once the unreadable files are more than the share `max_bad` of
        the files seen so far. While fewer than 1,000 have been seen, the share is of 1,000, or of
        all files if there are fewer.
        """
        self.seen = min(self.total, self.seen + seen)
        for name, kind, reason in notes:
            if kind:
                self.converted.setdefault(kind, set()).add(name)
            else:
                self.skipped[name] = reason
        of = min(self.total, max(self.seen, 1000))
        files = {name: why for name, why in self.skipped.items() if name not in self.lost}
        if len(files) > self.max_bad * of:
            raise ValueError(
                f"{len(files)} of {self.total} files cannot be read, more than "
                f"max_bad = {self.max_bad:g} of the {of} looked at: {_some(files)}; "
                "repair the folder, or give a larger max_bad"
            )

    def check_lost(self, found: int) -> None:
        """Raise ValueError, one line, if damaged shards lost more than the share `max_bad`.

        found: number of images in the shards that can be read.
        """
        lost = sum(self.lost.values())
        if lost > self.max_bad * (found + lost):
            raise ValueError(
                f"damaged shards lost about {lost:,} of {found + lost:,} images, more than "
                f"max_bad = {self.max_bad:g}: {_some({s: self.skipped[s] for s in self.lost})}; "
                "repair the shards, or give a larger max_bad"
            )

    def merge(self, others: list[Inspection]) -> Inspection:
        """Add the records of `others`, such as the other ranks, to this one, and return it."""
        for other in others:
            self.skipped |= other.skipped
            self.lost |= other.lost
            for kind, names in other.converted.items():
                self.converted.setdefault(kind, set()).update(names)
        return self

    def summary(self) -> str:
        """Return one line on the skipped and converted files; empty if there are none."""
        parts, bad = [], len(self.skipped.keys() - self.lost.keys())
        if bad:
            parts.append(f"{bad} of {self.total:,} files could not be read and were skipped")
        if self.lost:
            lost = f"about {sum(self.lost.values()):,} images were lost in damaged shards"
            parts.append(f"{lost} ({len(self.lost)})")
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(self.converted.items()))
        if kinds:
            parts.append(f"converted to RGB: {kinds}")
        return "; ".join(parts)

    def write(self, path: Path) -> None:
        """Write the record to `path` as JSON.

        It holds each skipped file with its reason and, for each colour mode, the number of
        converted files and the first `NAMED` of their names. What the file held before is kept: a
        run that is resumed or only loaded does not meet every file again. The file is replaced in
        one step.
        """
        old = _earlier(path)
        converted = {
            kind: {"files": len(names), "first": sorted(names)[:NAMED]}
            for kind, names in sorted(self.converted.items())
        }
        for kind, entry in old["converted"].items():
            if entry["files"] > converted.get(kind, {"files": 0})["files"]:
                converted[kind] = entry
        skipped = dict(sorted({**old["skipped"], **self.skipped}.items()))
        data = {"files": self.total, "skipped": skipped, "converted": converted}
        safe.write(path, lambda file: file.write(json.dumps(data, indent=1).encode()))


def _some(skipped: dict[str, str]) -> str:
    """Return the first three of {name: reason} in words."""
    some = list(skipped.items())[:3]
    return "; ".join(f"{safe.shown(name)} ({reason})" for name, reason in some)


def _earlier(path: Path) -> dict[str, dict]:
    """Return "skipped" and "converted" of an earlier record; both empty without a readable one."""
    try:
        old = json.loads(path.read_text())
        for entry in old["converted"].values():
            entry["files"] += 0  # a number
        return {"skipped": dict(old["skipped"]), "converted": dict(old["converted"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"skipped": {}, "converted": {}}

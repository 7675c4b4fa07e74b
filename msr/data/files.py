"""Many image files: an index that is read once, decoding that survives what folders hold, and a report of what it met."""
from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import Dataset

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SMALLEST = 8                                                  # pixels a side: smaller files are no photographs
NAMED = 100                                                   # converted files of one kind that a report names
SETTLED = 2 * 10**9                                           # ns: a folder that changed so shortly before it was read may change unseen
STRIDE = 1_000_003                                            # from an unreadable file to its substitute: not a neighbour, which is often bad too
TRIES = 1000                                                  # substitutes that are tried


class Strings(Sequence):
    """N strings in two tensors, which data loading processes share: a list of N objects is copied page by page as each is looked at."""

    def __init__(self, strings):
        blobs = [os.fsencode(s) for s in strings]
        self.text = torch.frombuffer(bytearray(b"".join(blobs) or b" "), dtype=torch.uint8)
        self.ends = torch.tensor([0, *map(len, blobs)]).cumsum(0)

    def __len__(self):
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> str:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return os.fsdecode(self.text[self.ends[i]:self.ends[i + 1]].numpy().tobytes())


# ---------------------------------------------------------------------------------------------------------- the index

def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "msr"


def cached(key: str, valid, make):
    """`make()`'s plain data, kept in the cache under `key` and used again while `valid(data)`. Without a cache that can be read or
    written it is made each time."""
    path = cache_folder() / "index" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    try:
        data = json.loads(path.read_text())
        if valid(data):
            return data
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    data = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(data))
        os.replace(beside, path)
    except (OSError, UnicodeEncodeError):
        pass
    return data


def index(root: Path) -> dict[str, list[str]]:
    """{folder, relative to root: names of its image files}, sorted, folders linked to included; those of the cache while no folder has
    changed (a file added, removed or renamed changes its folder's time)."""
    root = Path(os.path.abspath(root))

    def valid(data):
        return all(os.stat(root / folder).st_mtime_ns == changed < data["read"] - SETTLED for folder, (changed, _) in data["folders"].items())
    data = cached(str(root), valid, lambda: scan(root))
    return {folder: names for folder, (_, names) in data["folders"].items()}


def scan(root: Path) -> dict:
    """{"read": when, "folders": {relative folder: [its time of change, names of its image files]}}, without a look at any file."""
    read, pending, seen, folders = time.time_ns(), [""], set(), {}
    while pending:
        folder = pending.pop()
        stat = os.stat(root / folder)
        if (stat.st_dev, stat.st_ino) in seen:                # a link back up
            continue
        seen.add((stat.st_dev, stat.st_ino))
        names = []
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(os.path.join(folder, entry.name))
                elif entry.name.lower().endswith(EXTENSIONS):
                    names.append(entry.name)
        folders[folder] = [stat.st_mtime_ns, sorted(names)]
    return {"read": read, "folders": dict(sorted(folders.items(), key=lambda item: Path(item[0]).parts))}


@dataclass
class Files:
    """Image files by name; what `Decoder` reads."""

    names: Strings
    group = None                                              # files come in any order

    def __len__(self):
        return len(self.names)

    def open(self, i: int):
        return self.names[i]

    def pick(self, rows: torch.Tensor) -> "Files":
        return Files(Strings([self.names[i] for i in rows.tolist()]))


# --------------------------------------------------------------------------------------------------------- decoding

class Decoder(Dataset):
    """Files -> (uint8 [3, S, S], whether it is the file asked for, notes): RGB, shorter side to S (antialiased), centre crop.

    An unreadable file is passed over for another. notes: (name, "", reason) of each passed, (name, kind, "") of one converted to RGB.
    Departure from torchvision's RandomResizedCrop, which crops the whole photograph: what lies outside the centre
    square is never seen, and crops are taken from S pixels, so that a batch is one tensor and all else is batched.
    """

    def __init__(self, source, size: int):
        self.source, self.size = source, size

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i: int):
        notes, n = [], len(self)
        for step in range(min(n, TRIES)):
            j = (i + step * STRIDE) % n
            try:
                pixels, kind = decode(self.source.open(j), self.size)
            except Exception as error:                        # Pillow's plugins raise what they like: struct.error, SyntaxError, …
                notes.append((self.source.names[j], "", (str(error).splitlines() or [type(error).__name__])[0]))
                continue
            return pixels, step == 0, notes + ([(self.source.names[j], kind, "")] if kind else [])
        raise ValueError(f"none of {len(notes)} files can be read, such as {notes[0][0]}: {notes[0][2]}")


def decode(source, size: int) -> tuple[torch.Tensor, str]:
    """A path or a binary file -> (uint8 [3, S, S], what it was converted from, empty for RGB). Raises whatever Pillow does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(source) as image:
            if min(image.size) < SMALLEST:
                raise ValueError(f"{image.width} × {image.height} pixels, smaller than {SMALLEST}")
            kind = "" if image.mode == "RGB" else image.mode
            image.draft("RGB", (size, size))
            image = rgb(image)
    scale = size / min(image.size)
    if scale != 1:
        image = image.resize([max(size, round(side * scale)) for side in image.size], Image.BILINEAR, reducing_gap=3)
    return torchvision.transforms.functional.center_crop(torchvision.transforms.functional.pil_to_tensor(image), [size, size]), kind


def rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: 16 bits are scaled, not cut off at 255, and what is transparent lies on white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def collate(items) -> tuple[torch.Tensor, torch.Tensor, list]:
    """Items of `Decoder` -> (pixels [B, 3, S, S], asked for [B], notes)."""
    pixels, own, notes = zip(*items)
    return torch.stack(pixels), torch.tensor(own), [note for some in notes for note in some]


class Report:
    """What was met in a folder: files that were skipped, by name and reason, and those converted to RGB, by kind."""

    def __init__(self, total: int = 0, max_bad: float = 0.1):
        self.total, self.max_bad, self.seen = total, max_bad, 0
        self.skipped: dict[str, str] = {}
        self.converted: dict[str, set[str]] = {}

    def add(self, seen: int, notes) -> None:
        """Notes of `seen` more files. Raises ValueError, one line, once more than `max_bad` of the files are bad (of 1,000 at least, or of all)."""
        self.seen = min(self.total, self.seen + seen)
        for name, kind, reason in notes:
            if kind:
                self.converted.setdefault(kind, set()).add(name)
            else:
                self.skipped[name] = reason
        of = min(self.total, max(self.seen, 1000))
        if len(self.skipped) > self.max_bad * of:
            first = "; ".join(f"{name} ({reason})" for name, reason in list(self.skipped.items())[:3])
            raise ValueError(f"{len(self.skipped)} of {self.total} files cannot be read, more than max_bad = {self.max_bad:g} of the {of} looked at: {first}; "
                             "mend the folder, or give a larger max_bad")

    def merge(self, others: list["Report"]) -> "Report":
        """One report of all ranks'."""
        for other in others:
            self.skipped |= other.skipped
            for kind, names in other.converted.items():
                self.converted.setdefault(kind, set()).update(names)
        return self

    def summary(self) -> str:
        """One line for a page; empty where every file was as expected."""
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(self.converted.items()))
        skipped = f"{len(self.skipped)} of {self.total:,} files could not be read and were skipped" if self.skipped else ""
        return "; ".join(part for part in (skipped, f"converted to RGB: {kinds}" if kinds else "") if part)

    def write(self, path: Path) -> None:
        """JSON: every skipped file with its reason; of the converted, by kind, their number and the first hundred names."""
        converted = {kind: {"files": len(names), "first": sorted(names)[:NAMED]} for kind, names in sorted(self.converted.items())}
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps({"files": self.total, "skipped": dict(sorted(self.skipped.items())), "converted": converted}, indent=1))
        os.replace(beside, path)


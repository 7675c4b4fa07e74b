"""Many image files: an index that is read once, decoding, and an inspection of what was met.

Decoding passes over the broken files of a folder, converts unusual ones to RGB, and notes both.
"""

from __future__ import annotations

import io
import json
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import functional

from msr.data import cache

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SMALLEST = 8  # pixels a side; a smaller file is not a photograph
NAMED = 100  # converted files of one kind that an inspection names
SETTLED = 2 * 10**9  # ns; a folder that changed this shortly before it was read may change unseen
STRIDE = 1_000_003  # from an unreadable file to its substitute; neighbours are often bad too
TRIES = 1000  # substitutes that are tried

Note = tuple[str, str, str]  # (file, mode it was converted from or "", why it was skipped or "")


class Strings(Sequence[str]):
    """N strings in two tensors, which the processes of a data loader share.

    A list of N Python objects would instead be copied, page by page, as each process reads it.
    """

    def __init__(self, strings: Iterable[str]):
        blobs = [os.fsencode(s) for s in strings]
        self.text = torch.frombuffer(bytearray(b"".join(blobs) or b" "), dtype=torch.uint8)
        self.ends = torch.tensor([0, *map(len, blobs)]).cumsum(0)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> str:  # type: ignore[override]  # nobody takes a slice
        if not 0 <= i < len(self):
            raise IndexError(i)
        return os.fsdecode(self.text[self.ends[i] : self.ends[i + 1]].numpy().tobytes())


class Source(Protocol):
    """N images that `Decoder` can open by number: `Files`, or `msr.data.shards.Tar`."""

    names: Strings  # one per image, for the inspection

    @property
    def group(self) -> torch.Tensor | None:
        """Number of each image's shard, long [N]; None where images may be read in any order."""

    def __len__(self) -> int: ...

    def open(self, i: int) -> str | io.BytesIO:
        """Return what Pillow opens to read image i."""

    def pick(self, rows: torch.Tensor) -> Source:
        """Return the images at `rows`, long [n]."""


@dataclass
class Files:
    """Images in files of their own; a `Source`."""

    names: Strings  # paths
    group = None

    def __len__(self) -> int:
        return len(self.names)

    def open(self, i: int) -> str:
        """Return the path of image i."""
        return self.names[i]

    def pick(self, rows: torch.Tensor) -> Files:
        """Return the files at `rows`, long [n]."""
        return Files(Strings([self.names[i] for i in rows.tolist()]))


# -------------------------------------------------------------------------------------- the index


def index(root: Path) -> dict[str, list[str]]:
    """Return {folder, relative to root: names of its image files}, sorted; links are followed.

    It comes from the cache while no folder has changed: a file that is added, removed or renamed
    changes the time of its folder.
    """
    root = Path(os.path.abspath(root))

    def valid(data: Any) -> bool:
        return all(
            os.stat(root / folder).st_mtime_ns == changed < data["read"] - SETTLED
            for folder, (changed, _) in data["folders"].items()
        )

    data = cache.cached(str(root), valid, lambda: scan(root))
    return {folder: names for folder, (_, names) in data["folders"].items()}


def scan(root: Path) -> dict[str, Any]:
    """List the image files under root by name, without opening any.

    Returns {"read": time in ns, "folders": {relative folder: [time of its last change in ns, names
    of its image files]}}.
    """
    read, pending, seen, folders = time.time_ns(), [""], set(), {}
    while pending:
        folder = pending.pop()
        stat = os.stat(root / folder)
        if (stat.st_dev, stat.st_ino) in seen:  # a link to a folder that was listed already
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
    ordered = sorted(folders.items(), key=lambda item: Path(str(item[0])).parts)
    return {"read": read, "folders": dict(ordered)}


# --------------------------------------------------------------------------------------- decoding


class Decoder(Dataset):
    """A source's images as uint8 [3, S, S]: RGB, shorter side resized to S, centre square.

    An item is (pixels, whether it is the file asked for, notes): in the place of an unreadable file
    comes another. Resizing is antialiased. Departure from torchvision's RandomResizedCrop, which
    crops the whole photograph: what lies outside the centre square is never seen, and crops are
    taken from S pixels, so that a batch is one tensor and everything else works on batches.
    """

    def __init__(self, source: Source, size: int):
        self.source, self.size = source, size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, bool, list[Note]]:
        notes: list[Note] = []
        n = len(self)
        for step in range(min(n, TRIES)):
            j = (i + step * STRIDE) % n
            try:
                pixels, kind = decode(self.source.open(j), self.size)
            except Exception as error:  # Pillow's plugins raise struct.error, SyntaxError, …
                reason = str(error).splitlines() or [type(error).__name__]
                notes.append((self.source.names[j], "", reason[0]))
                continue
            if kind:
                notes.append((self.source.names[j], kind, ""))
            return pixels, step == 0, notes
        name, _, why = notes[0]
        raise ValueError(f"none of {len(notes)} files can be read, such as {name}: {why}")


def decode(source: str | io.BytesIO, size: int) -> tuple[torch.Tensor, str]:
    """Decode a path or a binary file to uint8 [3, size, size].

    Returns the pixels and the mode that they were converted from, empty for RGB. Raises whatever
    Pillow raises, and ValueError for an image of less than `SMALLEST` pixels a side.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(source) as file:
            if min(file.size) < SMALLEST:
                raise ValueError(f"{file.width} × {file.height} pixels, smaller than {SMALLEST}")
            kind = "" if file.mode == "RGB" else file.mode
            file.draft("RGB", (size, size))
            image = rgb(file)
    scale = size / min(image.size)
    if scale != 1:
        sides = [max(size, round(side * scale)) for side in image.size]
        image = image.resize(sides, Image.Resampling.BILINEAR, reducing_gap=3)
    return functional.center_crop(functional.pil_to_tensor(image), [size, size]), kind


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16 bits are scaled, not clipped; transparency shows white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def collate(items: list[tuple[torch.Tensor, bool, list[Note]]]) -> tuple[Any, Any, list[Note]]:
    """Join items of `Decoder`: (pixels [B, 3, S, S], whether asked for, bool [B], notes)."""
    pixels, own, notes = zip(*items)
    return torch.stack(pixels), torch.tensor(own), [note for some in notes for note in some]


class Inspection:
    """What was met while reading image files: those skipped, and those converted to RGB.

    total: files to read; max_bad: share of them that may be unreadable. Attributes: seen, the files
    read so far; skipped {name: reason}; converted {mode: names}.
    """

    def __init__(self, total: int = 0, max_bad: float = 0.1):
        self.total, self.max_bad, self.seen = total, max_bad, 0
        self.skipped: dict[str, str] = {}
        self.converted: dict[str, set[str]] = {}

    def add(self, seen: int, notes: Iterable[Note]) -> None:
        """Take in the notes of `seen` more files.

        Raises ValueError, one line, once more than `max_bad` of the files are bad, counted over the
        files seen, at least 1,000 or all.
        """
        self.seen = min(self.total, self.seen + seen)
        for name, kind, reason in notes:
            if kind:
                self.converted.setdefault(kind, set()).add(name)
            else:
                self.skipped[name] = reason
        of = min(self.total, max(self.seen, 1000))
        if len(self.skipped) > self.max_bad * of:
            some = list(self.skipped.items())[:3]
            raise ValueError(
                f"{len(self.skipped)} of {self.total} files cannot be read, more than "
                f"max_bad = {self.max_bad:g} of the {of} looked at: "
                f"{'; '.join(f'{name} ({reason})' for name, reason in some)}; "
                "mend the folder, or give a larger max_bad"
            )

    def merge(self, others: list[Inspection]) -> Inspection:
        """Add what `others` (the other ranks) met, and return self."""
        for other in others:
            self.skipped |= other.skipped
            for kind, names in other.converted.items():
                self.converted.setdefault(kind, set()).update(names)
        return self

    def summary(self) -> str:
        """Return one line for a page; empty where every file was as expected."""
        parts, bad = [], len(self.skipped)
        if bad:
            parts.append(f"{bad} of {self.total:,} files could not be read and were skipped")
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(self.converted.items()))
        if kinds:
            parts.append(f"converted to RGB: {kinds}")
        return "; ".join(parts)

    def write(self, path: Path) -> None:
        """Write JSON: each skipped file with its reason; per mode, how many files were converted.

        Of the converted, the first `NAMED` names are written.
        """
        converted = {
            kind: {"files": len(names), "first": sorted(names)[:NAMED]}
            for kind, names in sorted(self.converted.items())
        }
        skipped = dict(sorted(self.skipped.items()))
        data = {"files": self.total, "skipped": skipped, "converted": converted}
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(data, indent=1))
        os.replace(beside, path)

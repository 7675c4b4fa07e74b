"""Folders of many image files: their index, their decoding, and a record of unusual files.

Listing a large folder takes long, so its index is kept in the cache. Decoding skips the unreadable
files of a folder and converts every other colour mode to RGB; both are recorded.
"""

from __future__ import annotations

import io
import json
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import functional

from msr import safe
from msr.data import cache
from msr.data.strings import Strings

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SMALLEST = 8  # pixels a side; a smaller file is not a photograph
NAMED = 100  # how many converted files of one colour mode are written by name
# ns; a folder that changed less than this before it was listed may change again without a new time
# stamp, so its index is not taken from the cache.
SETTLED = 2 * 10**9
STRIDE = 1_000_003  # files from an unreadable one to its replacement: neighbours are often bad too
TRIES = 1000  # files that are tried before decoding gives up

# (file, colour mode it was converted from or "", why it was skipped or "")
Note = tuple[str, str, str]


class Source(Protocol):
    """N images that `Decoder` can open by index: `Files`, or `msr.data.shards.Tar`."""

    names: Strings  # one per image, for messages

    @property
    def group(self) -> torch.Tensor | None:
        """The index of each image's shard, long [N]; None if any order is equally fast to read."""

    def __len__(self) -> int: ...

    def open(self, i: int) -> str | io.BytesIO:
        """Return a path or a binary file from which Pillow can read image i."""

    def pick(self, rows: torch.Tensor) -> Source:
        """Return the source of the images at `rows`, long [n]."""


@dataclass
class Files:
    """The `Source` of images that are one file each."""

    names: Strings  # paths
    group = None

    def __len__(self) -> int:
        return len(self.names)

    def open(self, i: int) -> str:
        """Return the path of image i.

        Raises ValueError for a pipe or a device, and for more than `safe.IMAGE` bytes.
        """
        safe.regular(self.names[i], safe.IMAGE)
        return self.names[i]

    def pick(self, rows: torch.Tensor) -> Files:
        """Return the files at `rows`, long [n]."""
        return Files(Strings([self.names[i] for i in rows.tolist()]))


# -------------------------------------------------------------------------------------- the index


def index(root: Path) -> dict[str, list[str]]:
    """Return {folder: names of its image files}, both sorted; folders are relative to `root`.

    Symbolic links are followed. The index comes from the cache as long as no folder has changed:
    adding, removing or renaming a file changes the modification time of its folder. Raises OSError
    if a folder cannot be listed.
    """
    root = Path(os.path.abspath(root))

    def valid(data: Any) -> bool:
        return _listing(data["folders"]) and all(
            os.stat(root / folder).st_mtime_ns == changed < data["read"] - SETTLED
            for folder, (changed, _) in data["folders"].items()
        )

    data = cache.cached(str(root), valid, lambda: scan(root))
    return {folder: names for folder, (_, names) in data["folders"].items()}


def _listing(folders: dict) -> bool:
    """Return whether a dict has the form of `scan`'s "folders" and names nothing outside the root.

    Raises some error if the form is quite another one.
    """
    return all(
        not os.path.isabs(folder)
        and ".." not in Path(folder).parts
        and all("/" not in name and name.lower().endswith(EXTENSIONS) for name in names)
        for folder, (_, names) in folders.items()
    )


def scan(root: Path) -> dict[str, Any]:
    """List the files under `root` that have an image's extension, without opening any.

    Returns {"read": time of the listing in ns, "folders": {folder relative to root: [time of its
    last change in ns, sorted names of its image files]}}. Raises OSError as `index` does.
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
                if _is_folder(entry):
                    pending.append(os.path.join(folder, entry.name))
                elif entry.name.lower().endswith(EXTENSIONS):
                    names.append(entry.name)
        folders[folder] = [stat.st_mtime_ns, sorted(names)]
    ordered = sorted(folders.items(), key=lambda item: Path(str(item[0])).parts)
    return {"read": read, "folders": dict(ordered)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; False for a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


# --------------------------------------------------------------------------------------- decoding


class Decoder(Dataset):
    """The images of a source as uint8 [3, S, S], where S is `size`.

    An image is converted to RGB, its shorter side is resized to S pixels with antialiasing, and its
    centre square is kept. An item is (pixels, own, notes): own is whether this is the file asked
    for, since an unreadable file is replaced by another one; notes say which files were skipped or
    converted. Raises ValueError, one line, if none of up to `TRIES` files can be read.

    Departure from torchvision's RandomResizedCrop, which crops from the whole photograph: the
    network never sees what lies outside the centre square, and crops are taken from the S × S
    pixels. In return a batch is one tensor, so that all augmentation works on batches.
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
                notes.append((self.source.names[j], "", safe.line(error)))
                continue
            if kind:
                notes.append((self.source.names[j], kind, ""))
            return pixels, step == 0, notes
        name, _, why = notes[0]
        name = safe.shown(name)
        raise ValueError(f"none of {len(notes)} files can be read, such as {name}: {why}")


def decode(source: str | io.BytesIO, size: int) -> tuple[torch.Tensor, str]:
    """Decode an image, given as a path or a binary file, as `Decoder` describes.

    Returns the pixels, uint8 [3, size, size], and the colour mode that they were converted from,
    empty for RGB. Raises ValueError for an image with a side of less than `SMALLEST` pixels, and
    any error that Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with safe.image(source) as file:
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
    """Convert an image of any colour mode to RGB.

    16-bit values are scaled to 8 bits, not clipped. Transparent pixels become white.
    """
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def collate(items: list[tuple[torch.Tensor, bool, list[Note]]]) -> tuple[Any, Any, list[Note]]:
    """Join B items of `Decoder` to (pixels uint8 [B, 3, S, S], own bool [B], all notes)."""
    pixels, own, notes = zip(*items)
    return torch.stack(pixels), torch.tensor(own), [note for some in notes for note in some]


class Inspection:
    """A record of the image files that were skipped as unreadable or converted to RGB.

    total: number of image files. max_bad: share of them that may be unreadable, from 0 to 1.
    Attributes: seen, the number of files read so far, at most total; skipped, {file or shard:
    reason}; converted, {colour mode: names of files}.
    """

    def __init__(self, total: int = 0, max_bad: float = 0.1):
        self.total, self.max_bad, self.seen = total, max_bad, 0
        self.skipped: dict[str, str] = {}
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
        if len(self.skipped) > self.max_bad * of:
            some = list(self.skipped.items())[:3]
            raise ValueError(
                f"{len(self.skipped)} of {self.total} files cannot be read, more than "
                f"max_bad = {self.max_bad:g} of the {of} looked at: "
                f"{'; '.join(f'{safe.shown(name)} ({reason})' for name, reason in some)}; "
                "repair the folder, or give a larger max_bad"
            )

    def merge(self, others: list[Inspection]) -> Inspection:
        """Add the records of `others`, such as the other ranks, to this one, and return it."""
        for other in others:
            self.skipped |= other.skipped
            for kind, names in other.converted.items():
                self.converted.setdefault(kind, set()).update(names)
        return self

    def summary(self) -> str:
        """Return one line on the skipped and converted files; empty if there are none."""
        parts, bad = [], len(self.skipped)
        if bad:
            parts.append(f"{bad} of {self.total:,} files could not be read and were skipped")
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(self.converted.items()))
        if kinds:
            parts.append(f"converted to RGB: {kinds}")
        return "; ".join(parts)

    def write(self, path: Path) -> None:
        """Write the record to `path` as JSON.

        It holds each skipped file with its reason and, for each colour mode, the number of
        converted files and the first `NAMED` of their names. The file is replaced in one step.
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

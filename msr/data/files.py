"""Folders of many image files: their index, and their decoding.

Listing a large folder takes long, so its index is kept in the cache. Decoding skips the unreadable
files of a folder and converts every other colour mode to RGB; both are recorded in an `Inspection`.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset
from torchvision.transforms import functional

from msr import safe
from msr.data import cache, faults
from msr.data.inspection import Inspection, Note
from msr.data.squashed import Squashed
from msr.data.strings import Strings

__all__ = ["EXTENSIONS", "Decoder", "Files", "Inspection", "Source", "Strings", "decode", "index"]

EXTENSIONS = tuple(".jpg .jpeg .jfif .png .gif .bmp .webp .ppm .tif .tiff".split())
SMALLEST = 8  # pixels a side; a smaller file is not a photograph
# ns; a folder that changed less than this before it was listed may change again without a new time
# stamp, so its index is not taken from the cache.
SETTLED = 2 * 10**9
STRIDE = 1_000_003  # files from an unreadable one to its replacement: neighbours are often bad too
TRIES = 1000  # files that are tried before decoding gives up

Item = tuple[torch.Tensor, float, bool, list[Note]]  # of `Decoder`


class Source(Protocol):
    """N images that `Decoder` can open by index: `Files`, or `msr.data.shards.Tar`."""

    names: Strings  # one per image, for messages

    @property
    def group(self) -> torch.Tensor | None:
        """The index of each image's shard, long [N]; None if any order is equally fast to read."""

    def __len__(self) -> int: ...

    def open(self, i: int) -> str | io.BytesIO:
        """Return a path or a binary file from which Pillow can read image i."""

    def length(self, i: int) -> int:
        """Return the length of image i in bytes; 0 for a file that cannot be read."""

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

    def length(self, i: int) -> int:
        """Return the length of file i in bytes, or 0."""
        with contextlib.suppress(OSError):
            return os.stat(self.names[i]).st_size
        return 0

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
    """The images of a source as uint8 [3, S, S], where S is `size`: whole, squashed to a square.

    An image is turned upright as its EXIF orientation says, converted to RGB and resized to S × S
    pixels with antialiasing, whatever its shape. An item is (pixels, aspect, own, notes): aspect is
    width / height of the image; own is whether this is the file asked for, since an unreadable file
    is replaced by another one; notes say which files were skipped or converted. Raises ValueError,
    one line, if none of up to `TRIES` files can be read, and if the machine fails to read one (see
    `msr.data.faults`), which says nothing about the file.

    So a batch is one tensor, all augmentation works on batches, and crops are of the whole image.
    Departure from torchvision's RandomResizedCrop: crops are taken from these S × S pixels, not
    from all pixels of the file.
    """

    def __init__(self, source: Source, size: int):
        self.source, self.size = source, size

    def __len__(self) -> int:
        return len(self.source)

    def decoded(self, i: int) -> tuple[torch.Tensor, float, str]:
        """Return what `decode` returns for image i."""
        return decode(self.source.open(i), self.size)

    def __getitem__(self, i: int) -> Item:
        notes: list[Note] = []
        n = len(self)
        for step in range(min(n, TRIES)):
            j = (i + step * STRIDE) % n
            try:
                pixels, aspect, kind = faults.patiently(self.decoded, j)
            except Exception as error:  # Pillow's plugins raise struct.error, SyntaxError, …
                faults.check(error, self.source.names[j])
                notes.append((self.source.names[j], "", safe.line(error)))
                continue
            if kind:
                notes.append((self.source.names[j], kind, ""))
            return pixels, aspect, step == 0, notes
        name, _, why = notes[0]
        name = safe.shown(name)
        raise ValueError(f"none of {len(notes)} files can be read, such as {name}: {why}")


def decode(source: str | io.BytesIO | Image.Image, size: int) -> tuple[torch.Tensor, float, str]:
    """Decode an image, given as a path, a binary file or a PIL image, as `Decoder` describes.

    Returns the pixels, uint8 [3, size, size], the image's width / height, and the colour mode that
    it was converted from, empty for RGB. Raises ValueError for an image with a side of less than
    `SMALLEST` pixels, and any error that Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with source.copy() if isinstance(source, Image.Image) else safe.image(source) as file:
            if min(file.size) < SMALLEST:
                raise ValueError(f"{file.width} × {file.height} pixels, smaller than {SMALLEST}")
            kind = "" if file.mode == "RGB" else file.mode
            whole = file.size
            scaled = file.draft("RGB", (size, size)) is not None  # a JPEG, read at a lower scale
            file.load()
            whole = whole if scaled else file.size  # a TIFF was turned by Pillow
            before = file.size
            with contextlib.suppress(Exception):  # where it is damaged, it is ignored
                ImageOps.exif_transpose(file, in_place=True)
            width, height = whole if file.size == before else whole[::-1]
            image = rgb(file)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3)
    return functional.pil_to_tensor(image), width / height, kind


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


def collate(items: list[Item]) -> tuple[Squashed, torch.Tensor, list[Note]]:
    """Join B items of `Decoder` to (B squashed images, own bool [B], all notes)."""
    pixels, aspects, own, notes = zip(*items)
    images = Squashed(torch.stack(pixels), torch.tensor(aspects, dtype=torch.float32))
    return images, torch.tensor(own), [note for some in notes for note in some]

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
from msr.data.strings import Strings

__all__ = ["EXTENSIONS", "Decoder", "Files", "Inspection", "Source", "Strings", "decode", "index"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
SMALLEST = 8  # pixels a side; a smaller file is not a photograph
LONG = 4  # sides; a longer image is cut to this many times its shorter side before it is resized
# ns; a folder that changed less than this before it was listed may change again without a new time
# stamp, so its index is not taken from the cache.
SETTLED = 2 * 10**9
STRIDE = 1_000_003  # files from an unreadable one to its replacement: neighbours are often bad too
TRIES = 1000  # files that are tried before decoding gives up


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
    """The images of a source as uint8 [3, S, S], where S is `size`.

    An image is turned upright as its EXIF orientation says and converted to RGB; its shorter side
    is resized to S pixels with antialiasing, and its centre square is kept. An item is (pixels,
    own, notes): own is whether this is the file asked for, since an unreadable file is replaced by
    another one; notes say which files were skipped or converted. Raises ValueError, one line, if
    none of up to `TRIES` files can be read, and if the machine fails to read one (see
    `msr.data.faults`), which says nothing about the file.

    Departure from torchvision's RandomResizedCrop, which crops from the whole photograph: the
    network never sees what lies outside the centre square, and crops are taken from the S × S
    pixels. In return a batch is one tensor, so that all augmentation works on batches.
    """

    def __init__(self, source: Source, size: int):
        self.source, self.size = source, size

    def __len__(self) -> int:
        return len(self.source)

    def decoded(self, i: int) -> tuple[torch.Tensor, str]:
        """Return what `decode` returns for image i."""
        return decode(self.source.open(i), self.size)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, bool, list[Note]]:
        notes: list[Note] = []
        n = len(self)
        for step in range(min(n, TRIES)):
            j = (i + step * STRIDE) % n
            try:
                pixels, kind = faults.patiently(self.decoded, j)
            except Exception as error:  # Pillow's plugins raise struct.error, SyntaxError, …
                faults.check(error, self.source.names[j])
                notes.append((self.source.names[j], "", safe.line(error)))
                continue
            if kind:
                notes.append((self.source.names[j], kind, ""))
            return pixels, step == 0, notes
        name, _, why = notes[0]
        name = safe.shown(name)
        raise ValueError(f"none of {len(notes)} files can be read, such as {name}: {why}")


def decode(source: str | io.BytesIO | Image.Image, size: int) -> tuple[torch.Tensor, str]:
    """Decode an image, given as a path, a binary file or a PIL image, as `Decoder` describes.

    Returns the pixels, uint8 [3, size, size], and the colour mode that they were converted from,
    empty for RGB. Raises ValueError for an image with a side of less than `SMALLEST` pixels, and
    any error that Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with source.copy() if isinstance(source, Image.Image) else safe.image(source) as file:
            if min(file.size) < SMALLEST:
                raise ValueError(f"{file.width} × {file.height} pixels, smaller than {SMALLEST}")
            kind = "" if file.mode == "RGB" else file.mode
            file.draft("RGB", (size, size))
            file.load()
            with contextlib.suppress(Exception):  # where it is damaged, it is ignored
                ImageOps.exif_transpose(file, in_place=True)
            image = rgb(middle(file))
    scale = size / min(image.size)
    if scale != 1:
        sides = [max(size, round(side * scale)) for side in image.size]
        image = image.resize(sides, Image.Resampling.BILINEAR, reducing_gap=3)
    return functional.center_crop(functional.pil_to_tensor(image), [size, size]), kind


def middle(image: Image.Image) -> Image.Image:
    """Return the middle of an image that is longer than `LONG` times its shorter side.

    To enlarge all of such an image until its shorter side has the size of the views would take any
    amount of memory. Other images are returned as they are.
    """
    longest = LONG * min(image.size)
    if max(image.size) <= longest:
        return image
    return functional.center_crop(image, [min(image.height, longest), min(image.width, longest)])


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

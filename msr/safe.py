"""Files, read and written safely.

Those that strangers may have made are read without running code, and in bounded memory; our own are
written whole or not at all.

A limit here is far above what an honest file needs; what is beyond it is refused in one line. What
is promised of all files, and by which test, stands in SECURITY.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image

IMAGE = 256 * 2**20  # bytes of one image file
# Pillow's formats that are read, whatever the file's name. Others, such as EPS, run programs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF")
PIXELS = 89_478_485  # pixels of one image: where Pillow warns (a quarter of a GiB of RGB bytes)
TEXT = 2**20  # bytes of a JSON text that describes a run
SHOWN = 200  # characters of a message that come from the file


# ------------------------------------------------------------------------------------------ writing


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file through `fill(file)`; it replaces `path` once it is complete and on the disk.

    If that fails, an earlier file stays as it was, and nothing is left beside it. Raises OSError,
    as on a full disk.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise error.__context__ from None  # torch.save hides it behind an error of its own
        raise
    with contextlib.suppress(OSError):  # sync the new name too, where the file system allows it
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# ------------------------------------------------------------------------------------------ reading


def line(error: Exception) -> str:
    """Return the first line of an error's message, shortened, or its type if it has none."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0])


def shown(text: str) -> str:
    """Return a name from a file as a message shows it: one line of printable characters, cut."""
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
    return "".join(c if c.isprintable() else "?" for c in cut)


def regular(path: str | os.PathLike[str], most: int | None = None) -> int:
    """Return the size in bytes of a file; links are followed.

    most: the largest size allowed. Raises ValueError, one line, for a larger file and for what is
    no regular file: reading a pipe or a device might never end. Raises OSError if it is not there.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file (a pipe, a device or a folder)")
    if most is not None and found.st_size > most:
        raise ValueError(f"{found.st_size:,} bytes, more than {most:,}")
    return found.st_size


def image(source: str | io.BytesIO) -> Image.Image:
    """Open an image file, which is not decoded yet; only `FORMATS` are read.

    Raises ValueError for an image of more than `PIXELS` pixels, and any error that Pillow raises,
    among others for a compressed text or profile that is much too large.
    """
    _small(*_canvas(source))
    file = Image.open(source, formats=FORMATS)
    try:
        _small(*file.size)
    except ValueError:
        file.close()
        raise
    return file


def _small(width: int, height: int) -> None:
    """Raise ValueError, one line, for an image of more than `PIXELS` pixels."""
    if width * height > PIXELS:
        raise ValueError(f"{width} × {height} pixels, more than {PIXELS:,}")


def _canvas(source: str | io.BytesIO) -> tuple[int, int]:
    """Return the width and height that the head of a WebP file states; (0, 0) of other files.

    Pillow's reader of WebP takes 8 bytes a pixel as it opens a file, before the size can be seen.
    The head is that of https://developers.google.com/speed/webp/docs/riff_container.
    """
    if isinstance(source, io.BytesIO):
        at = source.tell()
        head = source.read(30)
        source.seek(at)
    else:
        with open(source, "rb") as file:
            head = file.read(30)
    if len(head) < 25 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":  # VP8L may have but 26
        return 0, 0
    form, number = head[12:16], int.from_bytes
    if form == b"VP8X":
        return number(head[24:27], "little") + 1, number(head[27:30], "little") + 1
    if form == b"VP8L":
        bits = number(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return number(head[26:28], "little") & 0x3FFF, number(head[28:30], "little") & 0x3FFF


def mapping(text: str | bytes, what: str) -> dict[str, Any]:
    """Return the object {name: value} that a JSON text holds.

    what: names the text in messages. Raises ValueError, one line, for a text of more than `TEXT`
    bytes, for one that is not UTF-8 or not JSON, that is nested too deeply, that gives a name
    twice, and for one that holds something else than an object.
    """
    if len(text) > TEXT:
        raise ValueError(f"{what} cannot be read as JSON: it has more than {TEXT:,} bytes")
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"{what} cannot be read as JSON: it is nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise ValueError(f"{what} cannot be read as JSON: {line(error)}") from None
    if not isinstance(value, dict):
        raise ValueError(f'{what} holds no parameters by name; write them as in {{"epochs": 3}}')
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the dict of a JSON object's pairs. Raises ValueError for a name that comes twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{shown(twice)}' is given twice")
    return values


def load(path: Path) -> Any:
    """Return what `torch.save` wrote: tensors and plain data, on the CPU.

    No code runs (`weights_only=True`), and memory is in proportion to the file's size. Raises
    ValueError or another error of torch for a file that is damaged or holds anything else, among
    others compressed parts and tensors that are larger than their data.
    """
    size = regular(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
        if claimed > size:  # torch.save does not compress
            raise ValueError(f"its parts claim {claimed:,} bytes, but the file has {size:,}")
    value = torch.load(path, map_location="cpu", weights_only=True)
    _walk(value, size)
    return value


def _walk(value: Any, most: int) -> None:
    """Look at every value inside nested data, which may share parts.

    Raises ValueError for more than `most` values (a few lists that refer to each other can stand
    for 2⁴⁰ values), and for a tensor whose elements are not all stored in the file.
    """
    pending, met = [value], 0
    while pending:
        value = pending.pop()
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.device.type != "cpu":
                raise ValueError("it holds a tensor that is not dense")
            stored = value.untyped_storage().nbytes()
            if value.numel() * value.element_size() > stored:
                raise ValueError("it holds a tensor that claims more elements than the file has")
        elif isinstance(value, (dict, list, tuple, set)):
            met += len(value)
            if met > most:
                raise ValueError("it holds more values than the file has bytes")
            pending += [*value.keys(), *value.values()] if isinstance(value, dict) else value

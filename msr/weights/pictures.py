"""Images for a trained network: checked, then prepared as in the experiment that trained it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from msr import safe
from msr.augment.base import to_float
from msr.augment.spatial import centre_square, cut
from msr.data.files import decode
from msr.data.folders import stored
from msr.data.squashed import Batch, Squashed, parts

One = str | os.PathLike[str] | Image.Image | torch.Tensor | np.ndarray  # one image
KINDS = ("uint8", "float16", "bfloat16", "float32", "float64")  # types of numbers
PIXELS = 2**27  # numbers that are resized at a time, half a GB of floats


def checked(images: One | Sequence[One]) -> torch.Tensor | list[One]:
    """Return a tensor [N, 3, H, W], or a list of paths, PIL images and tensors [3, H, W].

    Raises ValueError, one line, for anything else. No file is opened.
    """
    if isinstance(images, (torch.Tensor, np.ndarray)):
        return _pixels(images, "[N, 3, H, W]")
    if isinstance(images, (str, os.PathLike, Image.Image)):
        images = [images]
    if not isinstance(images, Sequence):
        raise ValueError(f"images are a {type(images).__name__}; give a tensor, or a list")
    found: list[One] = []
    for one in images:
        if isinstance(one, (torch.Tensor, np.ndarray)):
            one = _pixels(one, "[3, H, W]")
        elif isinstance(one, Image.Image):
            if one.mode == "F":
                raise ValueError("a PIL image has mode F, whose range is not known; give 8 bits")
        elif not isinstance(one, (str, os.PathLike)):
            what = type(one).__name__
            raise ValueError(f"an image is a {what}; give paths, PIL images or tensors")
        elif not os.path.isfile(one):
            raise ValueError(f"'{os.fspath(one)}' is not a file; give image files")
        found.append(one)
    return found


def _pixels(x: torch.Tensor | np.ndarray, wanted: str) -> torch.Tensor:
    """Return images as a tensor; raise ValueError, one line, for a wrong shape, type or range.

    wanted: the shape in words, "[N, 3, H, W]" or "[3, H, W]".
    """
    shape, kind = list(x.shape), str(x.dtype).removeprefix("torch.")
    if len(shape) != wanted.count(",") + 1 or shape[-3] != 3 or not all(shape[-2:]):
        last = len(shape) == wanted.count(",") + 1 and shape[-1] == 3
        hint = " (channels stand before height and width)" if last else ""
        raise ValueError(f"images have the shape {shape}; give {wanted}{hint}")
    if kind not in KINDS:
        raise ValueError(f"images are {kind}; give uint8, or floats in [0, 1]")
    found = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
    if found.layout != torch.strided or found.is_meta:
        raise ValueError("images are a sparse or an empty (meta) tensor; give a dense one")
    if kind == "uint8" or not found.numel():
        return found
    low, high = (float(value) for value in found.aminmax())
    if not -1e-3 <= low <= high <= 1 + 1e-3:  # resizing may overshoot by a rounding error
        raise ValueError(
            f"images hold floats from {low:.4g} to {high:.4g}; give floats in [0, 1], not "
            "normalised, or uint8"
        )
    return found


def prepared(
    images: torch.Tensor | list[One], size: int, batch_size: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """Yield batches of images, float [B, 3, size, size] in [0, 1], on the device; at least one.

    images: as `checked` returns them. Raises ValueError, one line, for an unreadable file.
    """
    for start in range(0, max(1, len(images)), batch_size):
        batch = images[start : start + batch_size]
        if isinstance(batch, torch.Tensor):
            step = max(1, PIXELS // max(1, batch[:1].numel()))
            pieces: list[Batch] = list(batch.split(step))
        else:
            pieces = [x[None] if isinstance(x, torch.Tensor) else _decoded(x, size) for x in batch]
        squares = [_square(piece.to(device), size) for piece in pieces]
        yield torch.cat(squares) if squares else torch.zeros(0, 3, size, size, device=device)


def _square(images: Batch, size: int) -> torch.Tensor:
    """Return the plain view of images [B, 3, H, W], float [B, 3, size, size] in [0, 1].

    It is that of `msr.evaluate.embed`: the centre square of the image as it was, antialiased.
    """
    x, aspect = parts(images)
    if aspect is None:
        aspect = torch.full((len(x),), x.shape[3] / x.shape[2], device=x.device)
    return cut(to_float(x), centre_square(aspect), size)


def _decoded(image: One, size: int) -> Squashed:
    """Return a file or a PIL image, as those of a folder are stored.

    Raises ValueError, one line, if it cannot be read.
    """
    assert not isinstance(image, (torch.Tensor, np.ndarray))
    try:
        source = image if isinstance(image, Image.Image) else os.fspath(image)
        if isinstance(source, Image.Image):
            shorter = min(source.size)
        else:
            with safe.image(source) as file:
                shorter = min(file.size)
        pixels, aspect, _ = decode(source, stored(shorter, size))
        return Squashed(pixels[None], torch.tensor([aspect]))
    except Exception as error:  # Pillow's plugins raise errors of many kinds
        name = "a PIL image" if isinstance(image, Image.Image) else f"'{os.fspath(image)}'"
        raise ValueError(f"{name} cannot be read as an image: {safe.line(error)}") from None

"""Images for a trained network: checked, then prepared as in the experiment that trained it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

from msr.augment import ResizedCrop
from msr.data.files import decode
from msr.data.folders import stored
from msr.views import to_float

One = str | os.PathLike[str] | Image.Image | torch.Tensor | np.ndarray  # one image
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
    if kind != "uint8" and "float" not in kind:
        raise ValueError(f"images are {kind}; give uint8, or floats in [0, 1]")
    found = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
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
            pieces = batch.split(step)
        else:
            tensors = (x if isinstance(x, torch.Tensor) else _decoded(x, size) for x in batch)
            pieces = [x[None] for x in tensors]
        squares = [_square(piece.to(device), size) for piece in pieces]
        yield torch.cat(squares) if squares else torch.zeros(0, 3, size, size, device=device)


def _square(x: torch.Tensor, size: int) -> torch.Tensor:
    """Return the plain view of images [B, 3, H, W], float [B, 3, size, size] in [0, 1].

    It is that of `msr.evaluate.embed`: a crop of the whole centre square, antialiased.
    """
    x = functional.center_crop(to_float(x), [min(x.shape[2:])] * 2)
    off = {"on": torch.zeros(len(x), dtype=torch.bool), "box": torch.zeros(len(x), 4)}
    return ResizedCrop(size).apply(x, {name: value.to(x.device) for name, value in off.items()})


def _decoded(image: One, size: int) -> torch.Tensor:
    """Return the pixels of a file or a PIL image, uint8 [3, s, s], as a folder's are stored.

    Raises ValueError, one line, if it cannot be read.
    """
    assert not isinstance(image, (torch.Tensor, np.ndarray))
    try:
        if isinstance(image, Image.Image):
            return decode(image, stored(min(image.size), size))[0]
        with Image.open(image) as file:
            shorter = min(file.size)
        return decode(os.fspath(image), stored(shorter, size))[0]
    except Exception as error:  # Pillow's plugins raise errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        name = "a PIL image" if isinstance(image, Image.Image) else f"'{os.fspath(image)}'"
        raise ValueError(f"{name} cannot be read as an image: {reason}") from None

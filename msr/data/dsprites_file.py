"""The original dSprites file (Matthey et al. 2017): its grid of factors, and its pixels."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from msr import safe

# Number of values of each factor, in the file's order: the first factor changes slowest.
GRID = {"color": 1, "shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
LARGEST = math.prod(GRID.values()) * 64 * 64 + 2**10  # bytes of the full file's pixels


def read(path: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Read the original npz file, or one of the same form with fewer rows.

    Returns masks, uint8 [n, S, S] of 0 and 1, and the classes of each row, {factor: long [n]}. The
    masks of the full file take 3 GB of memory. Nothing is unpickled, so the file cannot run code.
    Raises ValueError, one line, for a file that is missing, damaged or of another form.
    """
    masks, table = _fields(path)
    for name, array in (("imgs", masks), ("latents_classes", table)):
        if array.dtype.kind not in "bui":
            raise ValueError(f"npz '{path}': {name} holds {array.dtype}; dSprites has integers")
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2] or table.shape != (len(masks), 6):
        raise ValueError(
            f"npz '{path}': imgs {masks.shape} and latents_classes {table.shape}; "
            "dSprites has (n, S, S) and (n, 6)"
        )
    if (table.min(0) < 0).any() or (table.max(0) >= list(GRID.values())).any():
        bounds = ", ".join(f"{name} < {n}" for name, n in list(GRID.items())[1:])
        raise ValueError(
            f"npz '{path}': a class in latents_classes is out of range; dSprites has {bounds}"
        )
    columns = {name: table[:, i].astype(np.int64) for i, name in enumerate(GRID)}
    return torch.from_numpy(masks), {k: torch.from_numpy(v) for k, v in columns.items()}


def _fields(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the file's arrays imgs and latents_classes; raise ValueError if that fails."""
    if not Path(path).is_file():
        raise ValueError(
            f"npz '{path}' is not there; "
            "give the path of dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"npz '{path}' cannot be read: it is not an npz archive, or not the whole of one"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in ("imgs", "latents_classes"):
                if name not in file.files:
                    has = ", ".join(file.files)
                    raise ValueError(f"npz '{path}' has no field '{name}'; it has: {has}")
                claimed = file.zip.getinfo(f"{name}.npy").file_size
                if claimed > LARGEST:
                    raise ValueError(
                        f"npz '{path}': {name} claims {claimed:,} bytes; dSprites has at most "
                        f"{LARGEST:,}"
                    )
            return file["imgs"], file["latents_classes"]
    except (OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"npz '{path}' cannot be read: {safe.line(error)}") from None

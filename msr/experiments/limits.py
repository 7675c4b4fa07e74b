"""What this machine cannot hold or write is refused in one line, before any work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

RENDERING = 160  # bytes per pixel that rendering needs beside the result …
AT_ONCE = 512  # … of so many images
PER_WEIGHT = 16  # bytes: the weight, its gradient, and two moments of the optimizer


def memory(device: torch.device) -> int:
    """Return the bytes of memory that a GPU, or for other devices this machine, has in all."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def network(make: Callable[[], nn.Module], device: torch.device, dim: int, smaller: str) -> None:
    """Raise ValueError, one line, for a network whose training does not fit into memory.

    Counted are the weights with their gradients and moments, and a D × D matrix of the loss; not
    the activations. make: builds the network; it is called without memory for the weights. dim: D.
    smaller: names the parameters that would make the network smaller, for the message.
    """
    try:
        with torch.device("meta"):
            weights = sum(p.numel() for p in make().parameters())
    except (RuntimeError, TypeError) as error:  # sizes that no tensor can have
        if "overflow" not in str(error).lower():
            raise
        raise ValueError(f"the network is too large for any machine; give {smaller}") from None
    need, there = PER_WEIGHT * weights + 4 * dim**2, memory(device)
    if need > there:
        raise ValueError(
            f"a network of {weights:,} weights and {dim:,} dimensions needs "
            f"{need / 2**30:,.0f} GiB for training, this machine has {there / 2**30:,.0f}; "
            f"give {smaller}"
        )


def rendered(n: int, size: int, what: str) -> None:
    """Raise ValueError, one line, if n rendered images of size × size do not fit into memory.

    what: names the parameters that say how many there are, for the message.
    """
    there = memory(torch.device("cpu"))
    need = size**2 * (2 * 3 * n + RENDERING * min(n, AT_ONCE))
    if need > there:
        raise ValueError(
            f"{n:,} rendered images of image_size {size} need {need / 2**30:,.0f} GiB of memory, "
            f"this machine has {there / 2**30:,.0f}; give a smaller {what} or image_size"
        )


def writable(out_dir: str) -> None:
    """Raise ValueError, one line, if no folder `out_dir` can be made or written to.

    Nothing is made here.
    """
    path = Path(out_dir).absolute()
    while not os.path.lexists(path):
        path = path.parent
    reason = "is not a folder" if not path.is_dir() else "may not be written to"
    if reason == "is not a folder" or not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"out_dir '{out_dir}': '{path}' {reason}; give another folder")

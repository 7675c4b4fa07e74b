"""Bars: one bright bar on black, upright or lying, at a known place."""

from __future__ import annotations

import torch

from msr.data.images import Images

WAYS = ("upright", "lying")
THICKNESS = 0.15  # as a share of the side


def split(n: int, size: int, seed: int, device: torch.device | str) -> Images:
    """Return n bars drawn by `seed`. Label: way; factor: place, a share of the side."""
    generator = torch.Generator().manual_seed(seed)
    way = torch.randint(2, (n,), generator=generator)
    place = torch.rand(n, generator=generator)
    axis = ((torch.arange(size) + 0.5) / size).to(device)
    beyond = (axis - place.to(device)[:, None]).abs() - THICKNESS / 2
    line = (0.5 - beyond * size).clamp(0, 1)  # [n, S], one pixel of soft edge
    bar = line[:, None, :].expand(n, size, size)
    bar = torch.where(way.to(device)[:, None, None] == 0, bar, bar.mT)
    pixels = (bar[:, None].expand(n, 3, size, size) * 255).round().byte().cpu()
    classes = {"way": list(WAYS)}
    return Images(size, pixels, labels={"way": way}, classes=classes, factors={"place": place})


def load(
    n_train: int, n_val: int, size: int, seed: int = 0, device: torch.device | str = "cpu"
) -> tuple[Images, Images]:
    """Return (train, val), drawn by `seed`, in images of `size` pixels a side."""
    train, val = (split(n, size, 2 * seed + i, device) for i, n in enumerate((n_train, n_val)))
    return train, val

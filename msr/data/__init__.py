"""Data: a user's images, the rendered datasets, and synthetic latents.

`load` reads a folder, tar shards or a named set; `RENDERED` names the datasets that the library
itself draws. Both give (train, val) as `Images`, which `Batches` shuffles. A new rendered dataset
is a module with a `load`, and a line in `RENDERED`. Latents are in `msr.data.latents`.
"""

from __future__ import annotations

from typing import Protocol

import torch

from msr.data import dsprites, trifeature
from msr.data.folders import load
from msr.data.images import Batches, Images

__all__ = ["RENDERED", "Batches", "Images", "Loader", "load"]


class Loader(Protocol):
    """Renders a dataset; every `load` of a rendered dataset takes these arguments by name."""

    def __call__(
        self, n_train: int, n_val: int, size: int, seed: int = 0, device: torch.device | str = "cpu"
    ) -> tuple[Images, Images]:
        """Render (train, val) by `seed`, `size` pixels a side, on `device`; bytes on the CPU."""


RENDERED: dict[str, Loader] = {"shapes": trifeature.load, "sprites": dsprites.load}

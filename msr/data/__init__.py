"""Data: a user's images, rendered datasets, and synthetic latents.

`load` reads a folder, tar shards or a set that torchvision knows by name. `RENDERED` holds the
loaders of the datasets that the library draws itself. Both return (train, val), two `Images`;
`Batches` cuts one of them into shuffled batches. A new rendered dataset needs a module with a
function `load`, and a line in `RENDERED`. Synthetic latents are in `msr.data.latents`.
"""

from __future__ import annotations

from typing import Protocol

import torch

from msr.data import dsprites, trifeature
from msr.data.folders import load
from msr.data.images import Batches, Images

__all__ = ["RENDERED", "Batches", "Images", "Loader", "load"]


class Loader(Protocol):
    """The `load` function of a rendered dataset; it takes these arguments by name."""

    def __call__(
        self, n_train: int, n_val: int, size: int, seed: int = 0, device: torch.device | str = "cpu"
    ) -> tuple[Images, Images]:
        """Return (train, val) with n_train and n_val images of `size` × `size` pixels.

        seed: of the random factors. device: where the images are rendered; their uint8 pixels are
        returned on the CPU.
        """


RENDERED: dict[str, Loader] = {"shapes": trifeature.load, "sprites": dsprites.load}

"""Occlusion: a square of the image is covered."""

from __future__ import annotations

import torch

from msr.augment.base import Params, Transform, column, uniform


class Erase(Transform):
    """Cover a random square with grey (after Zhong et al. 2020); its side is `size` of the image's.

    Parameters: x, y [n], the centre of the square, as shares of the image's side.
    """

    name = "erase"
    groups = ("occlusion",)
    in_probe = "always"

    def __init__(self, size: float = 0.4, p: float = 1.0):
        super().__init__(p)
        self.size = size

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        return {name: uniform(generator, n, 0, 1) for name in ("x", "y")}

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        rows, columns = ((torch.arange(n, device=x.device) + 0.5) / n for n in x.shape[2:])
        across = (columns[None, None, None] - column(params["x"])).abs() < self.size / 2
        down = (rows[None, None, :, None] - column(params["y"])).abs() < self.size / 2
        return torch.where(across & down, 0.5, x)

    def targets(self, params: Params) -> Params:
        return {"erase_x": params["x"], "erase_y": params["y"]}

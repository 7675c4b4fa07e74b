"""What every transform is: a draw of parameters and a deterministic, batched application."""
from __future__ import annotations

import torch

Params = dict[str, torch.Tensor]


def uniform(generator, n, low, high) -> torch.Tensor:
    """n draws from U(low, high), float32 [n], on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


class Transform:
    """One augmentation. `name` is unique in a pipeline; `p` is the chance that an image is changed at all."""

    name = "transform"

    def __init__(self, p: float = 1.0):
        if not 0 <= p <= 1:
            raise ValueError(f"{self.name}: probability {p} is not in [0, 1]")
        self.p = p

    def sample(self, generator: torch.Generator, n: int, size: int) -> Params:
        """Draws for n images of size × size pixels. Every transform has the key `on`, bool [n]."""
        on = uniform(generator, n, 0, 1) < self.p
        return {"on": on} | self.draw(generator, n, size)

    def apply(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        """x [B, C, H, W] -> [B, C, H', W']; images with `on` false pass unchanged, to the bit."""
        return torch.where(column(params["on"]), self.change(x, params), x)

    def draw(self, generator, n, size) -> Params:
        return {}

    def change(self, x, params) -> torch.Tensor:
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in vars(self).items())})"


def column(v: torch.Tensor) -> torch.Tensor:
    """[B] -> [B, 1, 1, 1], to meet images."""
    return v[:, None, None, None]

"""What things look like: colour, contrast, blur, histogram."""
from __future__ import annotations

import torch

from .base import Transform, column, uniform

LUMA = (0.2989, 0.587, 0.114)                                 # ITU-R 601, as torchvision


def luma(x: torch.Tensor) -> torch.Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]."""
    return sum(weight * x[:, i:i + 1] for i, weight in enumerate(LUMA))


def blend(x, other, factor):
    return (column(factor) * x).add_((1 - column(factor)) * other).clamp_(0, 1)


def shift_hue(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Hue + `turns` [B] (1 = the whole circle) in HSV, value and chroma kept (Smith 1978). turns = 0 is exact."""
    r, g, b = x.unbind(1)
    value = torch.maximum(torch.maximum(r, g), b)                                             # [B, H, W]
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    sextant = torch.where(value == r, g - b, torch.where(value == g, b - r, r - g)) / torch.where(chroma > 0, chroma, 1.0)
    sextant = sextant + torch.where(value == r, 0.0, torch.where(value == g, 2.0, 4.0)) + 6 * turns[:, None, None]
    offset = torch.tensor([5.0, 3.0, 1.0], device=x.device)[:, None, None]                    # R, G, B
    k = torch.remainder(offset + sextant[:, None], 6)                                         # [B, 3, H, W]
    y = torch.addcmul(value[:, None], chroma[:, None], torch.minimum(k, 4 - k).clamp_(0, 1), value=-1)
    return torch.where(column(turns) == 0, x, y)


class ColorJitter(Transform):
    """Brightness, contrast, saturation (factors in [1 − s, 1 + s]) and hue (turns in [−s, s]), in that fixed order.

    As torchvision's functionals; torchvision draws a random order per BATCH, here the order is fixed, so that the four
    numbers alone say what was done. Parameters: brightness, contrast, saturation, hue [n].
    """

    name = "jitter"

    def __init__(self, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8):
        super().__init__(p)
        if not 0 <= hue <= 0.5:
            raise ValueError(f"jitter: hue {hue} is in turns of the colour circle; give 0 to 0.5")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def draw(self, generator, n, size):
        factors = {name: uniform(generator, n, max(0, 1 - getattr(self, name)), 1 + getattr(self, name))
                   for name in ("brightness", "contrast", "saturation")}
        return factors | {"hue": uniform(generator, n, -self.hue, self.hue)}

    def change(self, x, params):
        x = blend(x, 0, params["brightness"])
        x = blend(x, luma(x).mean((2, 3), keepdim=True), params["contrast"])
        x = blend(x, luma(x), params["saturation"])
        return shift_hue(x, params["hue"]) if self.hue else x


class Greyscale(Transform):
    name = "greyscale"

    def __init__(self, p=0.2):
        super().__init__(p)

    def change(self, x, params):
        return luma(x).expand_as(x)


class GaussianBlur(Transform):
    """Blur of standard deviation `sigma` pixels, reflected edges; kernel of a tenth of the side (Chen et al. 2020), odd.

    Parameter sigma [n]. Departure: written as two matrix products, [H, H] and [W, W], since the kernel differs by image.
    """

    name = "blur"

    def __init__(self, sigma=(0.1, 2.0), p=0.5):
        super().__init__(p)
        self.sigma = tuple(sigma)

    def draw(self, generator, n, size):
        return {"sigma": uniform(generator, n, *self.sigma)}

    def change(self, x, params):
        rows = blur_matrix(params["sigma"], x.shape[2], self.radius(x.shape[2]))
        cols = blur_matrix(params["sigma"], x.shape[3], self.radius(x.shape[3]))
        return rows[:, None] @ x @ cols[:, None].mT

    @staticmethod
    def radius(size: int) -> int:
        return max(1, round(0.1 * size) // 2)


def blur_matrix(sigma: torch.Tensor, n: int, radius: int) -> torch.Tensor:
    """[B, n, n]: row o holds the weights of a truncated Gaussian at o; taps beyond an edge are reflected back."""
    tap = torch.arange(-radius, radius + 1, device=sigma.device)
    kernel = torch.softmax(-0.5 * (tap / sigma[:, None]) ** 2, dim=1)                         # [B, taps]
    source = (torch.arange(n, device=sigma.device)[:, None] + tap).abs()                      # [n, taps]
    source = (n - 1) - ((n - 1) - source).abs()
    matrix = sigma.new_zeros(len(sigma), n, n)
    return matrix.scatter_add_(2, source.expand(len(sigma), -1, -1), kernel[:, None].expand(-1, n, -1))


class Solarise(Transform):
    """Values from `threshold` up are inverted."""

    name = "solarise"

    def __init__(self, threshold=0.5, p=0.2):
        super().__init__(p)
        self.threshold = threshold

    def change(self, x, params):
        return torch.where(x >= self.threshold, 1 - x, x)


class Equalise(Transform):
    """Each channel's histogram of 256 values is made flat, as torchvision's `equalize`."""

    name = "equalise"

    def __init__(self, p=0.1):
        super().__init__(p)

    def change(self, x, params):
        level = (x * 255).round().long().flatten(2)                                           # [B, C, HW]
        count = torch.zeros(*level.shape[:2], 256, dtype=torch.long, device=x.device)
        count.scatter_add_(2, level, torch.ones_like(level))
        last = count.gather(2, level.amax(2, keepdim=True))                                   # pixels of the top level
        step = (level.shape[2] - last) // 255
        below = count.cumsum(2) - count
        table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
        flat = (table.gather(2, level).float() / 255).view_as(x)
        return torch.where((step == 0)[..., None], x, flat)


class Normalise(Transform):
    """(x − mean) / std per channel; nothing is drawn."""

    name = "normalise"

    def __init__(self, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        super().__init__()
        self.mean, self.std = tuple(mean), tuple(std)

    def sample(self, generator, n, size):
        return {}

    def apply(self, x, params):
        mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std

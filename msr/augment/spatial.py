"""Where things are: crop, flip, rotation, translation, zoom, shear."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .base import Transform, uniform


class ResizedCrop(Transform):
    """A random box, resized to `size` (Szegedy et al. 2015), by antialiased bilinear interpolation as torchvision's
    `resized_crop(antialias=True)`. `scale`: the box's share of the image's area; `ratio`: width / height.

    `overhang` lets the box leave the image by that share of the image's side on each side, edge pixels repeated: with a
    uniform background this is zoom + translation. Departure from torchvision: a box larger than the image is clamped,
    not drawn again, and boxes need not sit on whole pixels. Parameter `box` [n, 4]: top, left, height, width as shares
    of the image's side. An image with `on` false is resized whole.
    """

    name = "crop"

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), p=1.0, overhang=0.0):
        super().__init__(p)
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"crop: scale {scale} must be (low, high) with 0 < low ≤ high")
        self.size, self.scale, self.ratio, self.overhang = size, tuple(scale), tuple(ratio), overhang

    def draw(self, generator, n, size):
        area = uniform(generator, n, *self.scale)
        ratio = torch.exp(uniform(generator, n, math.log(self.ratio[0]), math.log(self.ratio[1])))
        limit = 1 + 2 * self.overhang
        height = (area / ratio).sqrt().clamp(max=limit)
        width = (area * ratio).sqrt().clamp(max=limit)
        top = uniform(generator, n, 0, 1) * (limit - height) - self.overhang
        left = uniform(generator, n, 0, 1) * (limit - width) - self.overhang
        return {"box": torch.stack([top, left, height, width], dim=1)}

    def apply(self, x, params):
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0], device=x.device)
        top, left, height, width = torch.where(params["on"][:, None], params["box"], whole).unbind(1)
        rows = resample(top, height, x.shape[2], self.size)   # [B, size, H]
        cols = resample(left, width, x.shape[3], self.size)   # [B, size, W]
        return rows[:, None] @ x @ cols[:, None].mT           # [B, C, size, size]


def resample(start, length, n_in: int, n_out: int) -> torch.Tensor:
    """Weights of antialiased linear interpolation from n_in pixels to n_out over [start, start + length], [B, n_out, n_in].

    `start`, `length` [B] are shares of the axis. A triangle of half-width max(1, pixels per output pixel), cut to the
    box, each row summing to 1.
    """
    pixel = torch.arange(n_in, device=start.device, dtype=torch.float32)
    low, high = start[:, None, None] * n_in, (start + length)[:, None, None] * n_in           # box edges in pixels
    step = (high - low) / n_out
    centre = low + (torch.arange(n_out, device=start.device)[:, None] + 0.5) * step           # [B, n_out, 1]
    centre = centre.clamp(0.5, n_in - 0.5)
    triangle = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp(min=0)            # [B, n_out, n_in]
    inside = (torch.minimum(pixel + 1, high) - torch.maximum(pixel, low)).clamp(0, 1)         # share of pixel in box
    outside = (high <= 0.5) | (low >= n_in - 0.5)                                             # box beyond the image
    weight = triangle * torch.where(outside, 1.0, inside).clamp(min=1e-6)
    return weight / weight.sum(dim=2, keepdim=True)


class HorizontalFlip(Transform):
    name = "flip"

    def __init__(self, p=0.5):
        super().__init__(p)

    def change(self, x, params):
        return x.flip(3)


class Affine(Transform):
    """Rotation (degrees, clockwise), translation (share of the side), zoom and shear about the centre, bilinear.

    Conventions are torchvision's `affine`. `degrees`, `translate`, `shear`: the largest magnitude drawn;
    `zoom`: (low, high), drawn log-uniformly. `padding`: zeros, border or reflection. `Rotation`, `Translate` and `Zoom`
    are this with one freedom each.
    """

    name = "affine"

    def __init__(self, degrees=0.0, translate=0.0, zoom=(1.0, 1.0), shear=0.0, p=1.0, padding="zeros"):
        super().__init__(p)
        if padding not in ("zeros", "border", "reflection"):
            raise ValueError(f"{self.name}: unknown padding '{padding}'; choose zeros, border or reflection")
        self.degrees, self.translate, self.zoom, self.shear, self.padding = degrees, translate, tuple(zoom), shear, padding

    def draw(self, generator, n, size):
        def freedom(limit):
            return uniform(generator, n, -limit, limit)
        return {"angle": freedom(self.degrees), "shear": freedom(self.shear),
                "shift": torch.stack([freedom(self.translate), freedom(self.translate)], dim=1),    # x, y
                "zoom": torch.exp(uniform(generator, n, math.log(self.zoom[0]), math.log(self.zoom[1])))}

    def change(self, x, params):
        angle, shear = torch.deg2rad(params["angle"]), torch.deg2rad(params["shear"])
        cos, sin = angle.cos(), angle.sin()
        one, zero = torch.ones_like(cos), torch.zeros_like(cos)
        # output -> input, about the centre: x_in = zoom⁻¹ · shear⁻¹ · rotation⁻¹ (x_out − shift)
        unrotate = torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2)
        unshear = torch.stack([one, shear.tan(), zero, one], 1).view(-1, 2, 2)
        linear = unshear @ unrotate / params["zoom"][:, None, None]                            # [B, 2, 2]
        side = torch.tensor([x.shape[3], x.shape[2]], device=x.device, dtype=torch.float32)   # W, H
        linear = linear * (side[None, None, :] / side[None, :, None])                         # pixels -> [-1, 1]
        offset = -linear @ (2 * params["shift"])[:, :, None]
        theta = torch.cat([linear, offset], dim=2)                                            # [B, 2, 3]
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode=self.padding, align_corners=False)


class Rotation(Affine):
    name = "rotation"

    def __init__(self, degrees=30.0, p=1.0, padding="zeros"):
        super().__init__(degrees=degrees, p=p, padding=padding)


class Translate(Affine):
    name = "translation"

    def __init__(self, translate=0.2, p=1.0, padding="zeros"):
        super().__init__(translate=translate, p=p, padding=padding)


class Zoom(Affine):
    name = "zoom"

    def __init__(self, zoom=(0.8, 1.25), p=1.0, padding="zeros"):
        super().__init__(zoom=zoom, p=p, padding=padding)

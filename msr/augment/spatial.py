"""Where things are: crop, flip, rotation, translation, zoom, shear."""
from __future__ import annotations

import math
from typing import Sequence

import torch
import torch.nn.functional as F

from .base import Transform, column, uniform


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


class VerticalFlip(Transform):
    name = "vertical_flip"

    def __init__(self, p=0.5):
        super().__init__(p)

    def change(self, x, params):
        return x.flip(2)


class Affine(Transform):
    """Rotation (degrees, clockwise), translation (share of the side), zoom and shear about a centre, bilinear.

    Conventions are torchvision's `affine`. `degrees`, `translate`, `shear`: the largest magnitude drawn;
    `zoom`: (low, high), drawn log-uniformly. `padding`: zeros, border or reflection. `centre`: "image", or "mass", the centre of
    brightness of each image, so that an object on black ground turns and grows where it stands. `Rotation`, `Translate` and
    `Zoom` are this with one freedom each; neighbours in a pipeline are composed and resample the image once (`warp`).
    """

    name = "affine"

    def __init__(self, degrees=0.0, translate=0.0, zoom=(1.0, 1.0), shear=0.0, p=1.0, padding="zeros", centre="image"):
        super().__init__(p)
        for what, value, allowed in (("padding", padding, ("zeros", "border", "reflection")), ("centre", centre, ("image", "mass"))):
            if value not in allowed:
                raise ValueError(f"{self.name}: unknown {what} '{value}'; choose {', '.join(allowed[:-1])} or {allowed[-1]}")
        self.degrees, self.translate, self.zoom, self.shear, self.padding, self.centre = degrees, translate, tuple(zoom), shear, padding, centre

    def draw(self, generator, n, size):
        def freedom(limit):
            return uniform(generator, n, -limit, limit)
        return {"angle": freedom(self.degrees), "shear": freedom(self.shear),
                "shift": torch.stack([freedom(self.translate), freedom(self.translate)], dim=1),    # x, y
                "zoom": torch.exp(uniform(generator, n, math.log(self.zoom[0]), math.log(self.zoom[1])))}

    def apply(self, x, params):
        return warp(x, [self], [params])

    def linear(self, params) -> torch.Tensor:
        """A [B, 2, 2] of x_out = place + A (x_in − centre); where `on` is false, the identity."""
        angle, shear = torch.deg2rad(params["angle"]), torch.deg2rad(params["shear"])
        cos, sin, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
        rotate = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
        slant = torch.stack([one, -shear.tan(), zero, one], 1).view(-1, 2, 2)
        on = params["on"][:, None, None]
        return torch.where(on, params["zoom"][:, None, None] * rotate @ slant, torch.eye(2, device=on.device))

    def move(self, at, params) -> torch.Tensor:
        """Where the centre goes that is `at` [B, 2], from the image's middle, in shares of the side."""
        return at + torch.where(params["on"][:, None], params["shift"], 0.0)


def warp(x: torch.Tensor, transforms: Sequence[Affine], params: Sequence[dict]) -> torch.Tensor:
    """Affine transforms in turn, as one resampling, x [B, C, H, W]; all have the first's padding and centre."""
    padding, own = transforms[0].padding, transforms[0].centre == "mass"
    centre = mass_centre(x) if own else x.new_zeros(len(x), 2)
    A, at = torch.eye(2, device=x.device), centre
    for transform, p in zip(transforms, params):
        B = transform.linear(p)
        # a turn about the image's middle carries along what was shifted before; one about the object's centre does not
        at = transform.move(at if own else (B @ at[:, :, None])[:, :, 0], p)
        A = B @ A
    side = torch.tensor([x.shape[3], x.shape[2]], device=x.device, dtype=torch.float32)       # W, H
    back = torch.linalg.inv_ex(A).inverse * (side[None, None, :] / side[None, :, None])       # output -> input
    offset = 2 * (centre[:, :, None] - back @ at[:, :, None])                                 # shares of the side -> [-1, 1]
    grid = F.affine_grid(torch.cat([back, offset], dim=2), list(x.shape), align_corners=False)
    out = F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return torch.where(column(torch.stack([p["on"] for p in params]).any(dim=0)), out, x)


def mass_centre(x: torch.Tensor) -> torch.Tensor:
    """Centre of brightness of each image, [B, 2]: x, y from its middle, in shares of the side; the middle where all is black."""
    light = x.sum(dim=1)                                                                      # [B, H, W]
    total = light.sum(dim=(1, 2)).clamp(min=1e-6)
    x_axis, y_axis = ((torch.arange(n, device=x.device) + 0.5) / n - 0.5 for n in (x.shape[3], x.shape[2]))
    return torch.stack([(light.sum(dim=1) * x_axis).sum(dim=1) / total, (light.sum(dim=2) * y_axis).sum(dim=1) / total], dim=1)


class Rotation(Affine):
    name = "rotation"

    def __init__(self, degrees=30.0, p=1.0, padding="zeros", centre="image"):
        super().__init__(degrees=degrees, p=p, padding=padding, centre=centre)


class Translate(Affine):
    name = "translation"

    def __init__(self, translate=0.2, p=1.0, padding="zeros", centre="image"):
        super().__init__(translate=translate, p=p, padding=padding, centre=centre)


class Place(Affine):
    """Puts each image's centre of brightness at a drawn place, `spread` the farthest from the middle: what it shows of where the
    object was is nothing, which no shift that keeps the object in view can say."""

    name = "translation"

    def __init__(self, spread=0.25, p=1.0, padding="zeros"):
        super().__init__(translate=spread, p=p, padding=padding, centre="mass")

    def move(self, at, params):
        return torch.where(params["on"][:, None], params["shift"], at)


class Zoom(Affine):
    name = "zoom"

    def __init__(self, zoom=(0.8, 1.25), p=1.0, padding="zeros", centre="image"):
        super().__init__(zoom=zoom, p=p, padding=padding, centre=centre)

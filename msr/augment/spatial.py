"""Transforms that change where things are: crops and flips (see also `affine`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from msr.augment.base import Params, Transform, changed, constant, uniform, within


class ResizedCrop(Transform):
    """Cut out a random box and resize it to `size` × `size` pixels (Szegedy et al. 2015).

    Interpolation is bilinear and antialiased, as in torchvision's `resized_crop(antialias=True)`,
    which it equals where the box's corners lie on whole pixels.
    scale: range (low, high) of the box's share of the image's area. ratio: range of its width /
    height. overhang: by how much the box may leave the image on each side, as a share of the side;
    pixels of the edge are repeated there. On a uniform background this is zoom and translation.

    Departures from torchvision: a box larger than the image is clamped instead of drawn again, and
    its corners need not lie on whole pixels. Parameters: extent [n, 2], the box's height and width
    as shares of the side of a square image; at [n, 2], where it lies between top and bottom, and
    left and right, from 0 to 1; aspect [n], the width / height that the image had before it was
    squashed to a square, 1 unless it is set (see `Pipeline.unsquash`). Area and ratio are those in
    the image as it was. An image with `on` false is resized whole, or else its centre square.

    Raises ValueError for a scale that is not 0 < low ≤ high, and for a ratio, overhang or p that is
    out of bounds.
    """

    name = "crop"
    groups = ("spatial",)
    in_probe = "always"
    strengths = ("scale", "ratio")

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        p: float = 1.0,
        overhang: float = 0.0,
    ):
        super().__init__(p)
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"crop: scale {scale}; give (low, high) with 0 < low ≤ high")
        within("crop: scale", tuple(scale), 0, 100)
        within("crop: ratio", tuple(ratio), 0.001, 1000)
        within("crop: overhang", overhang, 0, 10)
        self.size, self.scale, self.ratio = size, tuple(scale), tuple(ratio)
        self.overhang = overhang

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        area = uniform(generator, n, *self.scale)
        ratio = torch.exp(uniform(generator, n, math.log(self.ratio[0]), math.log(self.ratio[1])))
        extent = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=1)
        at = torch.stack([uniform(generator, n, 0, 1), uniform(generator, n, 0, 1)], dim=1)
        return {"extent": extent, "at": at, "aspect": torch.ones_like(area)}

    def box(self, params: Params) -> torch.Tensor:
        """Return the boxes [B, 4]: top, left, height, width, as shares of the image's sides."""
        limit = 1 + 2 * self.overhang
        shape = params["aspect"].sqrt()
        height = (params["extent"][:, 0] * shape).clamp(max=limit)
        width = (params["extent"][:, 1] / shape).clamp(max=limit)
        top = params["at"][:, 0] * (limit - height) - self.overhang
        left = params["at"][:, 1] * (limit - width) - self.overhang
        return torch.stack([top, left, height, width], dim=1)

    def apply(self, x: torch.Tensor, params: Params, inplace: bool = False) -> torch.Tensor:
        return cut(x, self.drawn_box(params), self.size)

    def drawn_box(self, params: Params) -> torch.Tensor:
        """Return the boxes [B, 4] that are cut out: centre squares where `on` is false."""
        whole = centre_square(params["aspect"])
        return torch.where(params["on"][:, None], self.box(params), whole)

    def targets(self, params: Params) -> Params:
        """Return the centre of the box and the root of its area, as shares of the image's sides."""
        top, left, height, width = self.box(params).unbind(1)
        centre = {"crop_x": left + width / 2, "crop_y": top + height / 2}
        return centre | {"crop_size": (height * width).sqrt()}

    @property
    def changes(self) -> tuple[str, ...]:
        return ("x", "y", "position", "size", "scale")

    @property
    def hides(self) -> tuple[str, ...]:
        """The place of an object, if the smallest box has at most half of the image's area."""
        return ("x", "y", "position") if self.scale[0] <= 0.5 and self.p == 1 else ()


def centre_square(aspect: torch.Tensor) -> torch.Tensor:
    """Return the boxes [B, 4] of the largest centred squares, as shares of the images' sides.

    aspect: width / height of each image [B]. top, left, height, width as in `ResizedCrop.box`.
    """
    height, width = aspect.clamp(max=1), (1 / aspect).clamp(max=1)
    return torch.stack([(1 - height) / 2, (1 - width) / 2, height, width], dim=1)


def cut(x: torch.Tensor, box: torch.Tensor, size: int) -> torch.Tensor:
    """Return the boxes [B, 4] of images x [B, C, H, W], resized to [B, C, size, size].

    box: as `ResizedCrop.box` returns it; a negative height or width mirrors. A box that is not made
    smaller needs no antialiasing: each pixel of the result lies between four of the image. A whole
    image of this size stays as it is, bit for bit; what is returned may be x itself.
    """
    shrunk = (box[:, 2:].abs() * constant(x.shape[2:], x.device) > size).any(dim=1)
    if x.device.type == "cpu" and shrunk.all():
        return averaged(x, box, size)
    out, both = between(x, box, size), {"x": x, "box": box}
    out = changed(out, shrunk, lambda _, p: averaged(p["x"], p["box"], size), both, inplace=True)
    if x.shape[2:] != (size, size):
        return out
    whole = (box == constant((0, 0, 1, 1), x.device)).all(dim=1)
    return changed(out, whole, lambda _, p: p["x"], both, inplace=True)


def between(x: torch.Tensor, box: torch.Tensor, size: int) -> torch.Tensor:
    """Return the boxes as `cut` does, with bilinear interpolation between the pixels of each box.

    Within half a pixel of an edge of a box, the pixels at that edge are repeated; so are those at
    the edge of the image, beyond it.
    """
    n = constant(x.shape[2:], x.device)  # H, W
    share = (torch.arange(size, device=x.device) + 0.5) / size
    start, length = box.unflatten(1, (2, 2)).mul(n).unsqueeze(3).unbind(1)  # [B, 2, 1], in pixels
    half = (length.abs() / 2 - 0.5).clamp(min=0)  # from the middle to the outermost pixel's
    middle = start + length / 2
    at = torch.clamp(start + length * share, middle - half, middle + half)  # [B, 2, size]
    y, x_axis = (at * (2 / n[:, None]) - 1).unbind(1)  # -1 to 1, as grids are
    grid = torch.stack(torch.broadcast_tensors(x_axis[:, None], y[:, :, None]), dim=3)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def averaged(x: torch.Tensor, box: torch.Tensor, size: int) -> torch.Tensor:
    """Return the boxes as `cut` does, with antialiased interpolation: see `resample`."""
    top, left, height, width = box.unbind(1)
    rows = resample(top, height, x.shape[2], size)  # [B, size, H]
    cols = resample(left, width, x.shape[3], size)  # [B, size, W]
    return rows[:, None] @ x @ cols[:, None].mT


def resample(start: torch.Tensor, length: torch.Tensor, n_in: int, n_out: int) -> torch.Tensor:
    """Return the weights [B, n_out, n_in] of antialiased linear interpolation along one axis.

    Of n_in pixels, the part [start, start + length], both [B], as shares of the axis, becomes n_out
    pixels, in reverse order if the length is negative. The weights of an output pixel are a
    triangle of half-width max(1, input pixels per output pixel), cut to the box; they sum to 1.
    """
    pixel = torch.arange(n_in, device=start.device, dtype=torch.float32)
    first = start[:, None, None] * n_in  # the box's edges in pixels
    last = (start + length)[:, None, None] * n_in
    low, high = torch.minimum(first, last), torch.maximum(first, last)
    step = (last - first) / n_out
    output = torch.arange(n_out, device=start.device)[:, None] + 0.5
    centre = (first + output * step).clamp(0.5, n_in - 0.5)  # [B, n_out, 1]
    distance = (pixel + 0.5 - centre).abs()
    triangle = (1 - distance / step.abs().clamp(min=1)).clamp(min=0)  # [B, n_out, n_in]
    inside = (torch.minimum(pixel + 1, high) - torch.maximum(pixel, low)).clamp(0, 1)
    outside = (high <= 0.5) | (low >= n_in - 0.5)  # the whole box lies beyond the image
    weight = triangle * torch.where(outside, 1.0, inside).clamp(min=1e-6)
    return weight / weight.sum(dim=2, keepdim=True)


class Flip(Transform):
    """Mirror the image along `axis`, 3 for left and right, 2 for top and bottom.

    A style probe predicts whether an image was mirrored.
    """

    groups = ("spatial", "affine")
    in_probe = "drawn"
    axis: int

    def __init__(self, p: float = 0.5):
        super().__init__(p)

    def change(self, x: torch.Tensor, params: Params) -> torch.Tensor:
        return x.flip(self.axis)

    def mirror(self, box: torch.Tensor, params: Params) -> torch.Tensor:
        """Return boxes [B, 4] that `cut` mirrors as this flip would mirror what was cut out."""
        start, length = box.unflatten(1, (2, 2)).unbind(1)  # [B, 2], of y and x
        on = params["on"][:, None] & (torch.arange(2, 4, device=box.device) == self.axis % 4)
        return torch.cat(
            [torch.where(on, start + length, start), torch.where(on, -length, length)], 1
        )

    def targets(self, params: Params) -> Params:
        return {self.name: params["on"].float()}

    @property
    def changes(self) -> tuple[str, ...]:
        return ("x" if self.axis == 3 else "y", "position", "orientation")


class HorizontalFlip(Flip):
    """Exchange left and right."""

    name = "flip"
    axis = 3


class VerticalFlip(Flip):
    """Exchange top and bottom."""

    name = "vertical_flip"
    axis = 2


def cut_out(
    x: torch.Tensor, transforms: Sequence[Transform], params: Sequence[Params]
) -> torch.Tensor:
    """Return x [B, C, H, W] after crops and flips in order; a crop and its flips resample once.

    params: one dict per transform.
    """
    box, size = None, 0
    for t, p in zip(transforms, params, strict=True):
        if isinstance(t, ResizedCrop):
            x = x if box is None else cut(x, box, size)
            box, size = t.drawn_box(p), t.size
        elif isinstance(t, Flip) and box is not None:
            box = t.mirror(box, p)
        else:
            x = t.apply(x, p)
    return x if box is None else cut(x, box, size)


def one_box(
    x: torch.Tensor, transforms: Sequence[Transform], params: Sequence[Params]
) -> tuple[torch.Tensor, int] | None:
    """Return the boxes [B, 4] and the side that `cut` needs to do what `cut_out` does to x.

    None unless the transforms are flips of square images x [N, C, H, W], after a crop or not.
    """
    flips = [t for t in transforms if isinstance(t, Flip)]
    first = transforms[0]
    if isinstance(first, ResizedCrop) and len(flips) == len(transforms) - 1:
        box, size = first.drawn_box(params[0]), first.size
    elif len(flips) == len(transforms) and x.shape[2] == x.shape[3]:
        whole = constant((0, 0, 1, 1), x.device)
        box, size = whole.repeat(len(params[0]["on"]), 1), x.shape[3]
    else:
        return None
    for t, p in zip(flips, params[-len(flips) :]):
        box = t.mirror(box, p)
    return box, size

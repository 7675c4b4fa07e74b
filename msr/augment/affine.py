"""Affine maps: rotation, translation, zoom and shear, composed and then resampled once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from msr.augment.base import Params, Transform, changed, constant, to_float, uniform, within
from msr.augment.mass import mass_centre, mass_covariance

Padding = Literal["zeros", "border", "reflection"]
Centre = Literal["image", "mass"]


class Affine(Transform):
    """Rotate, translate, zoom and shear about a centre, by bilinear interpolation.

    degrees (clockwise), translate (shares of the side), shear (degrees): the largest magnitude,
    either way, uniform. zoom: the range (low, high) of the factor, log-uniform. padding: what lies
    beyond the edges, zeros, border or reflection. centre: "image", or "mass" for the centre of
    brightness of each image, so that an object on a black ground rotates and grows in its place.

    `Rotation`, `Translate` and `Zoom` are the special cases that draw one of these. Neighbours in a
    pipeline are composed and resample the image once (`warp`). Conventions are those of
    torchvision's `affine`. Parameters: angle, shear, zoom [n], shift [n, 2] (x, y). Raises
    ValueError for an unknown padding or centre, and for a strength that is out of bounds.
    """

    name = "affine"
    groups = ("spatial", "affine")
    in_probe = "always"
    strengths = ("degrees", "translate", "zoom", "shear")
    reads_size = False  # whether `factor` depends on the size of the object

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float = 0.0,
        zoom: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        p: float = 1.0,
        padding: Padding = "zeros",
        centre: Centre = "image",
    ):
        super().__init__(p)
        if padding not in ("zeros", "border", "reflection"):
            raise ValueError(
                f"{self.name}: unknown padding '{padding}'; choose zeros, border or reflection"
            )
        if centre not in ("image", "mass"):
            raise ValueError(f"{self.name}: unknown centre '{centre}'; choose image or mass")
        within(f"{self.name}: degrees", degrees, 0, 360)
        within(f"{self.name}: translate", translate, 0, 10)
        within(f"{self.name}: zoom", tuple(zoom), 0.001, 1000)
        within(f"{self.name}: shear", shear, 0, 89)
        self.degrees, self.translate, self.zoom, self.shear = degrees, translate, tuple(zoom), shear
        self.padding, self.centre = padding, centre

    def draw(self, generator: torch.Generator, n: int, size: int) -> Params:
        def freedom(limit: float) -> torch.Tensor:
            return uniform(generator, n, -limit, limit)

        low, high = (math.log(z) for z in self.zoom)
        return {
            "angle": freedom(self.degrees),
            "shear": freedom(self.shear),
            "shift": torch.stack([freedom(self.translate), freedom(self.translate)], dim=1),
            "zoom": torch.exp(uniform(generator, n, low, high)),
        }

    def apply(self, x: torch.Tensor, params: Params, inplace: bool = False) -> torch.Tensor:
        return warp(x, [self], [params], inplace)

    def matrix(self, params: Params, size: torch.Tensor) -> torch.Tensor:
        """Return A [B, 2, 2] of the map x_out = place + A (x_in − centre).

        It is the identity where `on` is false. size: of each object before this transform [B], as
        `mass_covariance` has it, where a transform of the pipeline `reads_size`; else 0.
        """
        angle, shear = torch.deg2rad(params["angle"]), torch.deg2rad(params["shear"])
        cos, sin = angle.cos(), angle.sin()
        one, zero = torch.ones_like(angle), torch.zeros_like(angle)
        rotate = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
        slant = torch.stack([one, -shear.tan(), zero, one], 1).view(-1, 2, 2)
        on = params["on"][:, None, None]
        A = self.factor(params, size)[:, None, None] * rotate @ slant
        return torch.where(on, A, torch.eye(2, device=on.device))

    def factor(self, params: Params, size: torch.Tensor) -> torch.Tensor:
        """Return the factor [B] by which each object of size [B] is scaled."""
        return params["zoom"]

    def move(self, at: torch.Tensor, params: Params) -> torch.Tensor:
        """Return the place [B, 2] to which a centre at `at` [B, 2] is moved.

        Both are (x, y), measured from the middle of the image in shares of the side.
        """
        return at + torch.where(params["on"][:, None], params["shift"], 0.0)

    def targets(self, params: Params) -> Params:
        """Return those of rotation, shift_x, shift_y, zoom and shear that this transform draws.

        Angles are in degrees, shifts in shares of the side; zoom is the logarithm of the factor.
        """
        found = {"rotation": params["angle"]} if self.degrees else {}
        if self.translate:
            found |= {"shift_x": params["shift"][:, 0], "shift_y": params["shift"][:, 1]}
        if self.zoom[0] != self.zoom[1]:
            found["zoom"] = params["zoom"].log()
        return found | ({"shear": params["shear"]} if self.shear else {})

    @property
    def changes(self) -> tuple[str, ...]:
        turns, zooms = self.degrees > 0, self.zoom[0] != self.zoom[1]
        bends = self.shear > 0
        moves = self.translate > 0 or (self.centre == "image" and (turns or zooms or bends))
        found = ("orientation",) * (turns or bends) + ("shape",) * bends
        return found + ("scale", "size") * zooms + ("x", "y", "position") * moves

    @property
    def hides(self) -> tuple[str, ...]:
        """Orientation if every angle is drawn; size if zoom factors differ more than twofold."""
        if self.p < 1:
            return ()
        circle = ("orientation",) * (self.degrees >= 180)
        return circle + ("scale", "size") * (self.zoom[1] > 2 * self.zoom[0])


def warp(
    x: torch.Tensor, transforms: Sequence[Affine], params: Sequence[Params], inplace: bool = False
) -> torch.Tensor:
    """Return x [B, C, H, W] after several affine transforms in order, resampled once.

    params: one dict per transform. All transforms use the padding and centre of the first. inplace:
    whether x may be overwritten.
    """
    on = torch.stack([p["on"] for p in params]).any(dim=0)

    def change(x: torch.Tensor, some: Params) -> torch.Tensor:
        own = [{name: value[some["row"]] for name, value in p.items()} for p in params]
        return warped(x, transforms, own)

    return changed(x, on, change, {"row": torch.arange(len(x), device=x.device)}, inplace)


def warped(x: torch.Tensor, transforms: Sequence[Affine], params: Sequence[Params]) -> torch.Tensor:
    """Return what `warp` does, with every image resampled, also where no transform is on."""
    theta = composed(x, transforms, params)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    padding = transforms[0].padding
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def composed(
    x: torch.Tensor,
    transforms: Sequence[Affine],
    params: Sequence[Params],
    which: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the maps [B, 2, 3] from the result of several transforms back to images x.

    They map coordinates from −1 to 1, as `affine_grid` needs it. x: [N, C, H, W]. which: the image
    of each row of parameters [B]; None if N = B.
    """
    own = transforms[0].centre == "mass"
    x = to_float(x) if own and x.dtype == torch.uint8 else x  # else its pixels are not looked at
    centre = mass_centre(x) if own else torch.zeros(len(x), 2, device=x.device)
    sized = own and any(transform.reads_size for transform in transforms)
    covariance = mass_covariance(x, centre) if sized else centre.new_zeros(len(x), 2, 2)
    if which is not None:
        centre, covariance = centre[which], covariance[which]
    A, at = torch.eye(2, device=x.device), centre
    for transform, p in zip(transforms, params, strict=True):
        size = (A @ covariance * A).sum(dim=(1, 2)).sqrt()  # √trace(A C Aᵀ)
        B = transform.matrix(p, size)
        # a rotation about the image's middle also moves what was shifted before;
        # one about the object's own centre does not
        at = transform.move(at if own else (B @ at[:, :, None])[:, :, 0], p)
        A = B @ A
    side = constant((x.shape[3], x.shape[2]), x.device)  # W, H
    back = torch.linalg.inv_ex(A).inverse * (side[None, None, :] / side[None, :, None])
    offset = 2 * (centre[:, :, None] - back @ at[:, :, None])  # shares of the side -> [-1, 1]
    return torch.cat([back, offset], dim=2)  # output -> input


class Rotation(Affine):
    """Rotate by an angle of up to `degrees`, either way."""

    name = "rotation"

    def __init__(
        self,
        degrees: float = 30.0,
        p: float = 1.0,
        padding: Padding = "zeros",
        centre: Centre = "image",
    ):
        super().__init__(degrees=degrees, p=p, padding=padding, centre=centre)


class Translate(Affine):
    """Shift by up to the share `translate` of the side, either way on each axis."""

    name = "translation"

    def __init__(
        self,
        translate: float = 0.2,
        p: float = 1.0,
        padding: Padding = "zeros",
        centre: Centre = "image",
    ):
        super().__init__(translate=translate, p=p, padding=padding, centre=centre)


class Place(Affine):
    """Move each image's centre of brightness to a place that is drawn, whatever it was before.

    On each axis the place is at most the share `distance` of the side from the middle. A view then
    does not reveal where the object was. A shift that keeps the object in view cannot achieve this:
    an object on the left is still more often on the left.
    """

    name = "translation"

    def __init__(self, distance: float = 0.25, p: float = 1.0, padding: Padding = "zeros"):
        super().__init__(translate=distance, p=p, padding=padding, centre="mass")

    def move(self, at: torch.Tensor, params: Params) -> torch.Tensor:
        return torch.where(params["on"][:, None], params["shift"], at)

    @property
    def changes(self) -> tuple[str, ...]:
        return ("x", "y", "position")

    @property
    def hides(self) -> tuple[str, ...]:
        return self.changes if self.p == 1 else ()


class Zoom(Affine):
    """Scale by a factor drawn log-uniformly from `zoom`, (low, high)."""

    name = "zoom"

    def __init__(
        self,
        zoom: tuple[float, float] = (0.8, 1.25),
        p: float = 1.0,
        padding: Padding = "zeros",
        centre: Centre = "image",
    ):
        super().__init__(zoom=zoom, p=p, padding=padding, centre=centre)


class Size(Affine):
    """Bring each image's object to a size that is drawn log-uniformly, whatever it was before.

    The size of an object is that of `mass_covariance`; between: its range (low, high), in shares of
    the side. For a disc of radius r it is 0.71 r. A view then does not reveal how large the object
    was. A zoom cannot achieve this: a large object is still more often large. Parameters: as those
    of `Affine`; `zoom` is the size. A black image is not changed.
    """

    name = "zoom"
    reads_size = True

    def __init__(
        self, between: tuple[float, float] = (0.1, 0.2), p: float = 1.0, padding: Padding = "zeros"
    ):
        super().__init__(zoom=between, p=p, padding=padding, centre="mass")

    def factor(self, params: Params, size: torch.Tensor) -> torch.Tensor:
        return torch.where(size > 0, params["zoom"] / size.clamp(min=1e-6), 1.0)

    @property
    def changes(self) -> tuple[str, ...]:
        return ("scale", "size")

    @property
    def hides(self) -> tuple[str, ...]:
        return self.changes if self.p == 1 else ()

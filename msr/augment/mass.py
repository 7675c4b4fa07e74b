"""The place and the size of what is bright in an image: moments of its brightness."""

from __future__ import annotations

import torch


def mass_centre(x: torch.Tensor) -> torch.Tensor:
    """Return the centre of brightness (x, y) [B, 2] of images [B, C, H, W].

    It is measured from the middle of the image, in shares of width and height. A black image has it
    in the middle.
    """
    light = x.sum(dim=1)  # [B, H, W]
    total = light.sum(dim=(1, 2)).clamp(min=1e-6)
    x_axis, y_axis = axes(x)
    across, down = (light.sum(dim=1) * x_axis).sum(dim=1), (light.sum(dim=2) * y_axis).sum(dim=1)
    return torch.stack([across / total, down / total], dim=1)


def mass_covariance(x: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Return the covariance [B, 2, 2] of the brightness of images [B, C, H, W] about a centre.

    centre: as `mass_centre` returns it. The root of the trace is the size of an object: the root of
    the mean squared distance of its brightness from the centre, in shares of the side. That of a
    black image is 0.
    """
    light = x.sum(dim=1)  # [B, H, W]
    total = light.sum(dim=(1, 2)).clamp(min=1e-6)
    dx, dy = (axis - c[:, None] for axis, c in zip(axes(x), centre.unbind(1)))  # [B, W], [B, H]
    across, down = light.sum(dim=1), light.sum(dim=2)
    xx, yy = (across * dx.square()).sum(dim=1), (down * dy.square()).sum(dim=1)
    xy = ((light @ dx[:, :, None])[:, :, 0] * dy).sum(dim=1)
    return torch.stack([xx, xy, xy, yy], dim=1).view(-1, 2, 2) / total[:, None, None]


def axes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the x of the columns [W] and the y of the rows [H] of images x [B, C, H, W].

    They are measured from the middle of the image, in shares of width and height.
    """
    sides = (x.shape[3], x.shape[2])
    x_axis, y_axis = ((torch.arange(n, device=x.device) + 0.5) / n - 0.5 for n in sides)
    return x_axis, y_axis

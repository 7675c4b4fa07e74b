"""Maps of the colours of images: brightness, contrast, saturation and hue."""

from __future__ import annotations

import torch

from msr.augment.base import Params, column, constant

LUMA = (0.2989, 0.587, 0.114)  # weights of R, G and B (ITU-R 601, as in torchvision)


def luma(x: torch.Tensor) -> torch.Tensor:
    """Return the brightness [B, 1, H, W] of images [B, 3, H, W]."""
    x = x if x.is_floating_point() else x.float()
    weights = constant(LUMA, x.device).to(x.dtype).expand(len(x), 1, 3)
    return (weights @ x.flatten(2)).view(len(x), 1, *x.shape[2:])


def jittered(x: torch.Tensor, params: Params) -> torch.Tensor:
    """Return x [B, 3, H, W] with changed brightness, contrast and saturation, clamped to [0, 1].

    Each of the three changes is clamped. params: their factors, [B] each. With luma(x) = wᵀ x of a
    colour x, brightness maps x to factor · x, contrast to factor · x + (1 − factor) · mean(luma),
    and saturation to (factor · I + (1 − factor) · 1 wᵀ) x.
    """
    x = (x * column(params["brightness"])).clamp_(0, 1)
    factor = column(params["contrast"])
    mean = luma(x.mean((2, 3), keepdim=True))  # the mean of luma is luma of the mean
    x = (x * factor).add_((1 - factor) * mean).clamp_(0, 1)
    factor = params["saturation"][:, None, None]
    weights, eye = constant(LUMA, x.device), torch.eye(3, device=x.device)
    colours = (factor * eye + (1 - factor) * weights).to(x.dtype)  # [B, 3, 3]
    return (colours @ x.flatten(2)).view_as(x).clamp_(0, 1)


def shift_hue(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Add `turns` [B] (1 is the whole circle) to the hue of x [B, 3, H, W], in HSV.

    Value V, least value m and chroma C = V − m are kept (Smith 1978). In sixths of the circle the
    hue lies D = 1 + (G + B − R − m) / C from red, on green's side where G > B, and a primary
    colour at the distance d from the hue has the value V − C · clamp(d − 1, 0, 1).
    """
    r, g, b = x.unbind(1)
    least = torch.minimum(torch.minimum(r, g), b)  # [B, H, W]
    chroma = torch.maximum(torch.maximum(r, g), b).sub_(least)
    some = chroma.clamp(min=torch.finfo(x.dtype).tiny)  # a grey pixel has none
    from_red = (g + b).sub_(r).sub_(least).div_(some).add_(1)
    hue = from_red.copysign_(g - b)  # -3 to 3
    primary = constant((0, 2, 4), x.device)  # red, green and blue
    ahead = torch.remainder(6 * turns[:, None] - primary + 3, 6) - 3  # [B, 3], -3 to 3
    # on the circle the distance of hue + ahead from 0 is 3 − ||hue + ahead| − 3|
    share = (hue[:, None] + ahead[:, :, None, None]).abs_().sub_(3).abs_().sub_(1).clamp_(0, 1)
    return share.mul_(chroma[:, None]).add_(least[:, None])

"""The counterexamples of the theory page, as maps of latents."""

from __future__ import annotations

import math

import torch


def turned_by(s: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Rotate a style block by an angle that content sets; return the rotated block [N, 2].

    This is the counterexample for style blocks of two dimensions. s [N, 2] has the distribution
    N(0, v I); content is [N, d], and its first dimension c_1 is N(0, 1). The map
    s ↦ R(2π Φ(c_1)) s keeps the distribution of s for every c, so alignment and joint entropy stay
    optimal, yet the rotated block alone no longer predicts s (equation `turn` of the theory page).
    """
    angle = math.pi * (1 + torch.erf(content[:, 0] / math.sqrt(2)))  # 2π Φ(c_1), uniform
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * s[:, 0] - sin * s[:, 1], sin * s[:, 0] + cos * s[:, 1]], dim=1)


def wound(c: torch.Tensor) -> torch.Tensor:
    """Wind content c [N, 2] twice around a disc, and map the disc back to the square: [N, 2].

    This is the counterexample for content of two dimensions. c is uniform on the unit square. The
    map is smooth and its result is uniform again, but it is two to one: (c_1, c_2) and
    (c_1, c_2 + ½) have the same image (equation `winding` of the theory page).
    """
    radius, angle = c[:, 0].sqrt(), 4 * math.pi * c[:, 1]
    a, b = radius * angle.cos(), radius * angle.sin()
    half = (1 - a.square()).sqrt()
    return torch.stack([0.5 + (a * half + a.asin()) / math.pi, 0.5 + b / (2 * half)], dim=1)

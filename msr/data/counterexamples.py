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


def rise(u: torch.Tensor) -> torch.Tensor:
    """Return b(u) = (2u)² (3 − 4u), which rises smoothly from 0 at u = 0 to 1 at u = ½."""
    return (2 * u).square() * (3 - 4 * u)


def injective(c: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Return a style space [N] that undoes the winding of content, and so depends on content.

    c [N, 2]: c_1 uniform on (0, 1), c_2 with density 2 b(c_2) below ½ and 2 (1 − b(c_2 − ½)) above,
    b being `rise`; s [N] is uniform. Together with `wound(c)` the result is uniform on the cube and
    the map is injective, yet content is wound (equation `injective` of the theory page).
    """
    upper, b = c[:, 1] >= 0.5, rise(c[:, 1] % 0.5)
    return torch.where(upper, b + s * (1 - b), s * b)


def folded(c: torch.Tensor) -> torch.Tensor:
    """Fold the middle third of content c [N] onto itself, three times: [N].

    c is uniform on (0, 1), and so is the result (the example of a fold on the theory page).
    """
    inner = 1 / 3 + (1 / 3) * (1 - (1 - (9 * (c - 1 / 3)) % 2).abs())  # a wave of slopes 3 and −3
    return torch.where((c > 1 / 3) & (c < 2 / 3), inner, c)


def circled(s: torch.Tensor, c: torch.Tensor, j: int = 1, k: int = 1) -> torch.Tensor:
    """Put a style on a circle, turned by content: points [N, 2] at the angle 2π (j s + k c).

    s and c [N] are uniform on (0, 1) and independent. The result is uniform on the circle given
    content, and for k ≠ 0 given the style too (equation `circle` of the theory page).
    """
    angle = 2 * math.pi * (j * s + k * c)
    return torch.stack([angle.cos(), angle.sin()], dim=1)

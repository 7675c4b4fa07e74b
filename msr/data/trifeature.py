"""The embedded images: ten shapes × ten textures × ten colours at random position, size and angle.

After the Trifeature set of Hermann & Lampinen 2020 (arXiv:2006.12433), drawn afresh from signed distances: no files,
exact labels, seeded, rendered on any device. Departures: our own shapes, textures and hues.
"""
from __future__ import annotations

import math

import torch

SHAPES = ("disc", "ring", "half", "crescent", "heart", "square", "triangle", "cross", "star", "arrow")
TEXTURES = ("solid", "halves", "sectors", "rings", "spiral", "stripes", "pinstripes", "checker", "dots", "chevrons")
GROUND = 0.25                                                 # grey level of the background
COLORS = ("red", "orange", "lime", "green", "mint", "cyan", "blue", "violet", "magenta", "rose")    # hue = index / 10


def regular(n: int, radius=1.0, inner=None, turn=0.0):
    """Vertices of a regular polygon, or of a star when an inner radius is given; y points down."""
    count = n if inner is None else 2 * n
    radii = [radius if inner is None or i % 2 == 0 else inner for i in range(count)]
    angles = [turn - math.pi / 2 + 2 * math.pi * i / count for i in range(count)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles)]


POLYGONS = {
    "square": regular(4, 1.05, turn=math.pi / 4),
    "triangle": regular(3, 1.1),
    "star": regular(5, 1.1, inner=0.45),
    "cross": [(-.35, -1), (.35, -1), (.35, -.35), (1, -.35), (1, .35), (.35, .35), (.35, 1), (-.35, 1), (-.35, .35), (-1, .35), (-1, -.35), (-.35, -.35)],
    "arrow": [(0, -1.1), (.9, 0), (.35, 0), (.35, 1), (-.35, 1), (-.35, 0), (-.9, 0)],
}


def polygon(p: torch.Tensor, vertices) -> torch.Tensor:
    """Signed distance of points p [..., 2] to a polygon, negative inside (Quilez, 2D distance functions)."""
    v = torch.tensor(vertices, device=p.device)
    distance, sign = torch.full_like(p[..., 0], math.inf), torch.ones_like(p[..., 0])
    for a, b in zip(v, v.roll(1, 0)):
        edge, w = b - a, p - a
        along = ((w * edge).sum(-1) / (edge @ edge)).clamp(0, 1)
        distance = torch.minimum(distance, (w - along[..., None] * edge).square().sum(-1))
        left = edge[0] * w[..., 1] > edge[1] * w[..., 0]
        above, below = p[..., 1] >= a[1], p[..., 1] < b[1]
        sign = torch.where((above & below & left) | ~(above | below | left), -sign, sign)
    return sign * distance.sqrt()


def heart(p: torch.Tensor) -> torch.Tensor:
    """Signed distance to a heart of height about 2 (Quilez)."""
    x, y = (p[..., 0] / 1.7).abs(), 0.55 - p[..., 1] / 1.7
    corner = ((x - 0.25).square() + (y - 0.75).square()).sqrt() - math.sqrt(2) / 4
    half = 0.5 * (x + y).clamp(min=0)
    side = torch.minimum(x.square() + (y - 1).square(), (x - half).square() + (y - half).square()).sqrt()
    return 1.7 * torch.where(x + y > 1, corner, side * torch.sign(x - y))


def signed_distance(shape: str, p: torch.Tensor) -> torch.Tensor:
    """Distance of points p [..., 2] to the named shape of radius about 1, negative inside."""
    if shape in POLYGONS:
        return polygon(p, POLYGONS[shape])
    if shape == "heart":
        return heart(p)
    p = p + torch.tensor({"half": (0.0, 0.325), "crescent": (-0.375, 0.0)}.get(shape, (0.0, 0.0)), device=p.device)   # centroid at 0
    r = p.norm(dim=-1)
    if shape == "disc":
        return r - 0.95
    if shape == "ring":
        return (r - 0.75).abs() - 0.25
    if shape == "half":
        return torch.maximum(r - 1.1, -p[..., 1] - 0.3)
    if shape == "crescent":
        return torch.maximum(r - 1.05, 0.8 - (p - torch.tensor([0.5, 0.0], device=p.device)).norm(dim=-1))
    raise ValueError(f"unknown shape '{shape}'; choose {', '.join(SHAPES)}")


def pattern(texture: str, p: torch.Tensor) -> torch.Tensor:
    """A wave at points p [n, S, S, 2] of the shape's own frame: bright where positive."""
    u, v = p.unbind(-1)
    r, angle, turn = p.norm(dim=-1), torch.atan2(v, u), 2 * math.pi
    return {
        "solid": lambda: torch.ones_like(u),
        "halves": lambda: u,
        "sectors": lambda: torch.sin(4 * angle),
        "rings": lambda: torch.sin(turn * 2 * r),
        "spiral": lambda: torch.sin(2 * angle + turn * 1.6 * r),
        "stripes": lambda: torch.sin(turn * 1.1 * u),
        "pinstripes": lambda: torch.sin(turn * 2.4 * u),
        "checker": lambda: torch.sin(turn * 1.1 * u) * torch.sin(turn * 1.1 * v),
        "dots": lambda: torch.cos(turn * 1.7 * u) + torch.cos(turn * 1.7 * v) - 0.7,
        "chevrons": lambda: torch.sin(turn * 1.7 * (v + 0.9 * u.abs())),
    }[texture]()


def hsv(hue: torch.Tensor, saturation: float, value: float) -> torch.Tensor:
    """hue [n] in turns -> RGB [n, 3]."""
    k = torch.remainder(torch.tensor([5.0, 3.0, 1.0], device=hue.device) + 6 * hue[:, None], 6)
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)


def sample(n: int, seed: int) -> dict[str, torch.Tensor]:
    """n images' factors: shape, texture, color [n] (0–9); x, y (centre, share of the side), size (radius, share of the
    side), angle (radians, clockwise, up to 45° either way), all [n]."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high):
        return torch.rand(n, generator=generator) * (high - low) + low

    classes = {name: torch.randint(10, (n,), generator=generator) for name in ("shape", "texture", "color")}
    return classes | {"x": uniform(0.35, 0.65), "y": uniform(0.35, 0.65), "size": uniform(0.22, 0.32), "angle": uniform(-math.pi / 4, math.pi / 4)}


def render(factors: dict[str, torch.Tensor], image_size: int, oversample: int = 2) -> torch.Tensor:
    """Images [n, 3, S, S], float in [0, 1], on the factors' device; oversample × oversample points per pixel."""
    n, S, device = len(factors["x"]), image_size * oversample, factors["x"].device
    f = {k: v[:, None, None] for k, v in factors.items()}
    axis = (torch.arange(S, device=device) + 0.5) / S
    dx, dy = (axis[None, None, :] - f["x"]) / f["size"], (axis[None, :, None] - f["y"]) / f["size"]
    cos, sin = f["angle"].cos(), f["angle"].sin()
    p = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)                       # [n, S, S, 2], shape's frame
    distance, wave = torch.empty(n, S, S, device=device), torch.empty(n, S, S, device=device)
    for i, shape in enumerate(SHAPES):
        mine = (factors["shape"] == i).nonzero()[:, 0]
        distance[mine] = signed_distance(shape, p[mine])
    for i, texture in enumerate(TEXTURES):
        mine = (factors["texture"] == i).nonzero()[:, 0]
        wave[mine] = pattern(texture, p[mine])
    inside = (0.5 - distance * f["size"] * S).clamp(0, 1)[:, None]                            # one pixel of soft edge
    bright = torch.where(wave > 0, 1.0, 0.45)[:, None]
    color = hsv(factors["color"] / 10, 0.85, 0.95)[:, :, None, None]
    image = inside * bright * color + (1 - inside) * GROUND
    return torch.nn.functional.avg_pool2d(image, oversample)

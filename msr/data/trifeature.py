"""Rendered shapes: ten shapes × ten textures × ten colours, at random position, size and angle.

After the Trifeature set of Hermann & Lampinen 2020 (arXiv:2006.12433), but rendered here from
signed distances: no files are needed, labels are exact, a seed fixes the images, and any device can
render them. Departures: the shapes, textures and hues are our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from msr.data.images import Images

Factors = dict[str, torch.Tensor]  # factor -> [n], as `sample` draws them

SHAPES = tuple("disc ring half crescent heart square triangle cross star arrow".split())
COLORS = tuple("red orange lime green mint cyan blue violet magenta rose".split())  # hue = index/10
GROUND = 0.25  # grey level of the background

# ---------------------------------------------------------------------------------------- outlines


def regular(
    n: int, radius: float = 1.0, inner: float | None = None, turn: float = 0.0
) -> list[tuple[float, float]]:
    """Return the vertices (x, y) of a regular n-gon, or of a star with n tips if `inner` is given.

    radius: distance of the vertices or tips from the origin. inner: distance of a star's inner
    vertices. turn: angle of the first vertex in radians, clockwise from straight up; y points down.
    """
    count = n if inner is None else 2 * n
    radii = [radius if inner is None or i % 2 == 0 else inner for i in range(count)]
    angles = [turn - math.pi / 2 + 2 * math.pi * i / count for i in range(count)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles)]


# fmt: off
POLYGONS = {
    "square": regular(4, 1.05, turn=math.pi / 4),
    "triangle": regular(3, 1.1),
    "star": regular(5, 1.1, inner=0.45),
    "cross": [
        (-0.35, -1), (0.35, -1), (0.35, -0.35), (1, -0.35), (1, 0.35), (0.35, 0.35),
        (0.35, 1), (-0.35, 1), (-0.35, 0.35), (-1, 0.35), (-1, -0.35), (-0.35, -0.35),
    ],
    "arrow": [(0, -1.1), (0.9, 0), (0.35, 0), (0.35, 1), (-0.35, 1), (-0.35, 0), (-0.9, 0)],
}
# fmt: on


def polygon(p: torch.Tensor, vertices: Sequence[tuple[float, float]]) -> torch.Tensor:
    """Return the signed distances [...] of points p [..., 2] to a polygon, negative inside.

    vertices: (x, y) in order around the polygon. After Quilez, "2D distance functions".
    """
    v = torch.tensor(vertices, device=p.device)
    x, y = (axis.contiguous() for axis in p.unbind(-1))
    distance, sign = torch.full_like(x, math.inf), torch.ones_like(x)
    for a, b in zip(v, v.roll(1, 0)):
        edge, right, down = b - a, x - a[0], y - a[1]
        along = ((right * edge[0] + down * edge[1]) / (edge @ edge)).clamp(0, 1)
        off = (right - along * edge[0]).square() + (down - along * edge[1]).square()
        distance = torch.minimum(distance, off)
        left = edge[0] * down > edge[1] * right
        above, below = y >= a[1], y < b[1]
        sign = torch.where((above & below & left) | ~(above | below | left), -sign, sign)
    return sign * distance.sqrt()


def heart(p: torch.Tensor) -> torch.Tensor:
    """Return the signed distances [...] of points p [..., 2] to a heart, negative inside.

    The heart is about 2 high and centred at the origin. After Quilez, "2D distance functions".
    """
    x, y = (p[..., 0] / 1.7).abs(), 0.55 - p[..., 1] / 1.7
    corner = ((x - 0.25).square() + (y - 0.75).square()).sqrt() - math.sqrt(2) / 4
    half = 0.5 * (x + y).clamp(min=0)
    cleft = x.square() + (y - 1).square()
    side = torch.minimum(cleft, (x - half).square() + (y - half).square()).sqrt()
    return 1.7 * torch.where(x + y > 1, corner, side * torch.sign(x - y))


def signed_distance(shape: str, p: torch.Tensor) -> torch.Tensor:
    """Return the signed distances [...] of points p [..., 2] to a shape, negative inside.

    The shape has a radius of about 1 around the origin. Raises ValueError for an unknown shape.
    """
    if shape in POLYGONS:
        return polygon(p, POLYGONS[shape])
    if shape == "heart":
        return heart(p)
    # move the shape's centroid to the origin
    shift = {"half": (0.0, 0.325), "crescent": (-0.375, 0.0)}.get(shape, (0.0, 0.0))
    p = p + torch.tensor(shift, device=p.device)
    r = p.norm(dim=-1)
    if shape == "disc":
        return r - 0.95
    if shape == "ring":
        return (r - 0.75).abs() - 0.25
    if shape == "half":
        return torch.maximum(r - 1.1, -p[..., 1] - 0.3)
    if shape == "crescent":
        bite = (p - torch.tensor([0.5, 0.0], device=p.device)).norm(dim=-1)
        return torch.maximum(r - 1.05, 0.8 - bite)
    raise ValueError(f"unknown shape '{shape}'; choose {', '.join(SHAPES)}")


# ----------------------------------------------------------------------------- textures and colours

TURN = 2 * math.pi
# texture -> its wave as a function of a point in the shape's own coordinates, which is given as
# Cartesian (u, v) and as polar (r, angle)
WAVES: dict[str, Callable[..., torch.Tensor]] = {
    "solid": lambda u, v, r, angle: torch.ones_like(u),
    "halves": lambda u, v, r, angle: u,
    "sectors": lambda u, v, r, angle: torch.sin(4 * angle),
    "rings": lambda u, v, r, angle: torch.sin(TURN * 2 * r),
    "spiral": lambda u, v, r, angle: torch.sin(2 * angle + TURN * 1.6 * r),
    "stripes": lambda u, v, r, angle: torch.sin(TURN * 1.1 * u),
    "pinstripes": lambda u, v, r, angle: torch.sin(TURN * 2.4 * u),
    "checker": lambda u, v, r, angle: torch.sin(TURN * 1.1 * u) * torch.sin(TURN * 1.1 * v),
    "dots": lambda u, v, r, angle: torch.cos(TURN * 1.7 * u) + torch.cos(TURN * 1.7 * v) - 0.7,
    "chevrons": lambda u, v, r, angle: torch.sin(TURN * 1.7 * (v + 0.9 * u.abs())),
}
TEXTURES = tuple(WAVES)


def pattern(texture: str, p: torch.Tensor) -> torch.Tensor:
    """Return the texture's wave [n, S, S] at points p [n, S, S, 2] in the shape's own coordinates.

    The shape is bright where the wave is positive. Raises KeyError for an unknown texture.
    """
    u, v = p.unbind(-1)
    return WAVES[texture](u, v, p.norm(dim=-1), torch.atan2(v, u))


def hsv(hue: torch.Tensor, saturation: float, value: float) -> torch.Tensor:
    """Convert colours from HSV to RGB [n, 3] in [0, 1].

    hue: [n], in turns of the colour circle (0 and 1 are red). saturation, value: in [0, 1], the
    same for all colours.
    """
    k = torch.remainder(torch.tensor([5.0, 3.0, 1.0], device=hue.device) + 6 * hue[:, None], 6)
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)


# ------------------------------------------------------------------------------------------ images


def sample(n: int, seed: int) -> Factors:
    """Draw the factors of n images, {factor: [n]}.

    shape, texture, color: classes 0 to 9. x, y: the shape's centre; size: its radius; all three as
    shares of the image's side. angle: in radians, clockwise, from −π/4 to π/4.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    classes = ("shape", "texture", "color")
    factors = {name: torch.randint(10, (n,), generator=generator) for name in classes}
    return factors | {
        "x": uniform(0.35, 0.65),
        "y": uniform(0.35, 0.65),
        "size": uniform(0.22, 0.32),
        "angle": uniform(-math.pi / 4, math.pi / 4),
    }


def render(factors: Factors, image_size: int, oversample: int = 2) -> torch.Tensor:
    """Return images, float [n, 3, S, S] in [0, 1] with S = image_size, on the factors' device.

    Each pixel is the mean of oversample × oversample points.
    """
    n, S, device = len(factors["x"]), image_size * oversample, factors["x"].device
    f = {k: v[:, None, None] for k, v in factors.items()}

    # the image's points in the shape's own coordinates
    axis = (torch.arange(S, device=device) + 0.5) / S
    dx, dy = (axis[None, None, :] - f["x"]) / f["size"], (axis[None, :, None] - f["y"]) / f["size"]
    cos, sin = f["angle"].cos(), f["angle"].sin()
    p = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)  # [n, S, S, 2]

    # outline and texture
    distance, wave = torch.empty(n, S, S, device=device), torch.empty(n, S, S, device=device)
    for i, shape in enumerate(SHAPES):
        mine = (factors["shape"] == i).nonzero()[:, 0]
        distance[mine] = signed_distance(shape, p[mine])
    for i, texture in enumerate(TEXTURES):
        mine = (factors["texture"] == i).nonzero()[:, 0]
        wave[mine] = pattern(texture, p[mine])

    # colour on grey; edges are soft over one pixel
    inside = (0.5 - distance * f["size"] * S).clamp(0, 1)[:, None]
    bright = torch.where(wave > 0, 1.0, 0.45)[:, None]
    color = hsv(factors["color"] / 10, 0.85, 0.95)[:, :, None, None]
    image = inside * bright * color + (1 - inside) * GROUND
    return torch.nn.functional.avg_pool2d(image, oversample)


def images(factors: Factors, size: int, device: torch.device | str = "cpu") -> Images:
    """Return a split of the images with these factors, rendered on `device`.

    Their pixels, uint8 [n, 3, S, S] with S = size, are kept on the CPU. Labels: shape, texture,
    color. Factors: x, y and size, as shares of the image's side.
    """
    n = len(factors["x"])
    pixels = torch.empty(n, 3, size, size, dtype=torch.uint8)
    for start in range(0, n, 256):
        part = {name: v[start : start + 256].to(device) for name, v in factors.items()}
        pixels[start : start + 256] = (render(part, size) * 255).round().byte()
    classes = {"shape": list(SHAPES), "texture": list(TEXTURES), "color": list(COLORS)}
    return Images(
        size,
        pixels,
        labels={name: factors[name] for name in classes},
        classes=classes,
        factors={name: factors[name] for name in ("x", "y", "size")},
    )


def load(
    n_train: int, n_val: int, size: int, seed: int = 0, device: torch.device | str = "cpu"
) -> tuple[Images, Images]:
    """Return (train, val): n_train and n_val images of `size` × `size` pixels.

    seed: of their factors; train and val are independent draws. device: where they are rendered.
    """
    train, val = sample(n_train, 2 * seed), sample(n_val, 2 * seed + 1)
    return images(train, size, device), images(val, size, device)

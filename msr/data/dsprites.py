"""Coloured dSprites, rendered: the factors of dSprites (Matthey et al. 2017), with a colour.

3 shapes × 6 scales × 40 orientations × 32 × 32 positions as in the original, × 10 colours make
7,372,800 images, rendered from signed distances when wanted. An index is a mixed-radix number whose
digits are the factors' classes, so index -> factors -> image is exact and costs nothing. Departures
from the original, whose renderer is not published: soft edges (one pixel) in place of binary
pixels; our own outlines, of about its sizes; colour.
"""

from __future__ import annotations

import math

import torch

from msr.data import dsprites_file
from msr.data.images import Images
from msr.data.trifeature import heart, hsv

SHAPES = ("square", "ellipse", "heart")
COLORS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "olive", "cyan")
TAB10 = "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf".split()  # Tableau's
# Factor -> number of values, slowest first: the original's order, whose one colour becomes ten.
RADIX = {**dsprites_file.GRID, "color": len(COLORS)}
N = math.prod(RADIX.values())
N_WHITE = N // RADIX["color"]  # the original's 737,280
RANGES = {"scale": (0.5, 1.0), "orientation": (0.0, 2 * math.pi), "x": (0.0, 1.0), "y": (0.0, 1.0)}
SYMMETRY = (4, 2, 1)  # square, ellipse, heart look the same after 1/4, 1/2 and 1 turn
MARGIN = 0.25  # of the view on each side of the centres' range: no sprite leaves the view
RADIUS = 0.23  # of a sprite's farthest point at scale 1, as a share of the side

Classes = dict[str, torch.Tensor]  # factor -> long [n]
Values = dict[str, torch.Tensor]  # factor -> float [n]; but shape a class, and color RGB [n, 3]


# ------------------------------------------------------------------------------- index and factors


def classes_of(index: torch.Tensor) -> Classes:
    """Return the digits of an index [n] in 0 … N − 1, each long [n]. Raises ValueError outside."""
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < N:
        raise ValueError(f"index {int(index.min())} … {int(index.max())} is outside 0 … {N - 1}")
    digits = {}
    for name, n in reversed(RADIX.items()):
        digits[name], index = index % n, index // n
    return {name: digits[name] for name in RADIX}


def index_of(classes: Classes) -> torch.Tensor:
    """Return the index [n] of these classes: the inverse of `classes_of`."""
    index = torch.zeros_like(classes["shape"])
    for name, n in RADIX.items():
        index = index * n + classes[name]
    return index


def values_of(classes: Classes) -> Values:
    """Return what the classes stand for, evenly spaced.

    scale 0.5 to 1; orientation 0 to 2π, both ends included as in the original, so that its first
    and last value look alike; x and y 0 to 1; color as RGB in [0, 1]; shape stays a class.
    """
    rgb = [[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in TAB10]
    palette = torch.tensor(rgb, device=classes["shape"].device)
    values = {"shape": classes["shape"], "color": palette[classes["color"]]}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * classes[name].float() / (RADIX[name] - 1)
    return values


def turns(orientation: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Return sine and cosine [n, 2] of k · orientation, where k is the shape's symmetry.

    They are equal for orientations that look alike.
    """
    angle = torch.tensor(SYMMETRY, device=shape.device)[shape] * orientation
    return torch.stack([angle.sin(), angle.cos()], dim=1)


# ----------------------------------------------------------------------------- the split, and draws


def is_test(index: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    """Return which indices [n] are held out, bool [n]: about `share` of them.

    This is a hash of the index alone, so the split needs no list and never moves. Orientations 0
    and 2π look alike and so are hashed alike. (Mixing after Steele et al. 2014, SplitMix; 31-bit
    words.)
    """
    classes = classes_of(index)
    classes["orientation"] = classes["orientation"] % (RADIX["orientation"] - 1)
    h = index_of(classes) + 0x1E3779B9
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
        h = ((h ^ (h >> shift)) * factor) & 0x7FFFFFFF
    return h < int(share * 2**31)


def draw(n: int, seed: int, test: bool = False, share: float = 0.1) -> torch.Tensor:
    """Draw n distinct indices [n] of one side of the split, at random by `seed`.

    Raises ValueError for more than half of that side.
    """
    if n > 0.5 * N * (share if test else 1 - share):
        side = "test" if test else "training"
        raise ValueError(f"{n} sprites are more than half of the {side} side; give fewer")
    generator, found = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
    while len(found) < n:
        index = torch.randint(N, (2 * n + 64,), generator=generator)
        found = torch.cat([found, index[is_test(index, share) == test]])
        # drop repeats, keep the order of the draw
        _, group = torch.unique(found, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(found))
        first.scatter_reduce_(0, group, torch.arange(len(found)), "amin")
        found = found[first.sort().values]
    return found[:n]


def draw_rows(rows: Classes, n: int, seed: int, test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw rows of the original's file in random colours: (index [n], row of the file [n]).

    Each (row, colour) comes at most once, and lies on the wanted side of the split. Raises
    ValueError where the file has fewer than n.
    """
    first = index_of(rows)
    colors = torch.arange(RADIX["color"])
    index = (colors[:, None] * N_WHITE + first).flatten()  # every row in every colour
    mine = (is_test(index) == test).nonzero()[:, 0]
    if len(mine) < n:
        side = "test" if test else "training"
        raise ValueError(
            f"the file has {len(mine)} coloured sprites on the {side} side, not {n}; give fewer"
        )
    mine = mine[torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))[:n]]
    return index[mine], mine % len(first)


def draw_continuous(n: int, seed: int) -> tuple[Values, torch.Tensor]:
    """Draw (values, hue [n] in turns), every factor uniform over its range.

    The hue is uniform over the whole colour circle.
    """
    generator = torch.Generator().manual_seed(seed)
    hue = torch.rand(n, generator=generator)
    values = {"shape": torch.randint(3, (n,), generator=generator), "color": hsv(hue, 0.85, 0.95)}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * torch.rand(n, generator=generator)
    return values, hue


# ------------------------------------------------------------------------------------------- images


def signed_distance(shape: str, p: torch.Tensor) -> torch.Tensor:
    """Return the distance of points p [..., 2] to the outline, [...], negative inside.

    The farthest point of each shape lies about 1 from the origin. Raises ValueError for an unknown
    shape.
    """
    if shape == "square":
        q = p.abs() - math.sqrt(0.5)
        return q.clamp(min=0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0)
    if shape == "ellipse":  # to first order, exact on the outline
        axes = torch.tensor([1.0, 0.5], device=p.device)
        k, slope = (p / axes).norm(dim=-1), (p / axes.square()).norm(dim=-1)
        return k * (k - 1) / slope.clamp(min=1e-6)
    if shape == "heart":
        return heart(p * 1.15) / 1.15
    raise ValueError(f"unknown shape '{shape}'; choose {', '.join(SHAPES)}")


def render(values: Values, size: int = 64) -> torch.Tensor:
    """Return images [n, 3, S, S], float in [0, 1], on a black ground and the values' device.

    A quarter turn of the orientation takes x to y: clockwise on the screen.
    """
    device = values["x"].device
    axis = (torch.arange(size, device=device) + 0.5) / size
    alpha = torch.empty(len(values["x"]), size, size, device=device)
    for i, shape in enumerate(SHAPES):
        mine = (values["shape"] == i).nonzero()[:, 0]
        own = {k: values[k][mine][:, None, None] for k in RANGES}
        radius = RADIUS * own["scale"]
        dx = (axis[None, None, :] - MARGIN - (1 - 2 * MARGIN) * own["x"]) / radius
        dy = (axis[None, :, None] - MARGIN - (1 - 2 * MARGIN) * own["y"]) / radius
        cos, sin = own["orientation"].cos(), own["orientation"].sin()
        # points of the image in the sprite's own frame, [n, S, S, 2]; the edge one pixel soft
        p = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)
        alpha[mine] = (0.5 - signed_distance(shape, p) * radius * size).clamp(0, 1)
    return alpha[:, None] * values["color"][:, :, None, None]


def contact_sheet(size: int = 64, columns: int = 10) -> dict[str, torch.Tensor]:
    """Return {factor: images [n, 3, S, S]}: in each row one factor runs through its values.

    The values are evenly thinned to `columns`; the other factors are fixed.
    """
    fixed = {"color": 1, "shape": 2, "scale": 4, "orientation": 0, "x": 16, "y": 16}
    rows = {}
    for name, n in RADIX.items():
        runs = torch.linspace(0, n - 1, min(n, columns)).round().long()
        classes = {k: torch.full_like(runs, v) for k, v in fixed.items()} | {name: runs}
        rows[f"{name} ({n})"] = render(values_of(classes), size)
    return rows


def images(
    values: Values,
    size: int = 64,
    device: torch.device | str = "cpu",
    hue: torch.Tensor | None = None,
    masks: torch.Tensor | None = None,
) -> Images:
    """Return the split with these values, rendered on `device` and kept as bytes on the CPU.

    Label: shape. Factors: scale, x, y, orientation as the two columns of `turns`, and hue [n] in
    turns, where given, as sine and cosine. masks: uint8 [n, S, S] of 0 and 1, the original's
    pixels; they are coloured in place of our renderer's, whatever `size` is.
    """
    pieces = []
    for start in range(0, len(values["shape"]), 512):
        part = {name: v[start : start + 512].to(device) for name, v in values.items()}
        if masks is None:
            x = render(part, size)
        else:
            white = masks[start : start + 512, None].to(device)
            x = white * part["color"][:, :, None, None]
        pieces.append((x * 255).round().byte().cpu())
    factors = {
        "scale": values["scale"],
        "orientation": turns(values["orientation"], values["shape"]),
        "x": values["x"],
        "y": values["y"],
    }
    if hue is not None:
        factors["hue"] = torch.stack([(2 * math.pi * hue).sin(), (2 * math.pi * hue).cos()], dim=1)
    return Images(
        pieces[0].shape[-1],
        torch.cat(pieces),
        labels={"shape": values["shape"]},
        classes={"shape": list(SHAPES)},
        factors=factors,
    )


def load(
    n_train: int,
    n_val: int,
    size: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    *,
    continuous: bool = False,
    npz: str = "",
) -> tuple[Images, Images]:
    """Return (train, val): distinct sprites of the two sides of the split, drawn by `seed`.

    The label color is added to those of `images`. continuous: factors drawn from their ranges, with
    a hue in place of the colours, and no fixed split. npz: the original's file, whose pixels,
    coloured, take the place of the renderer's. Raises ValueError, one line.
    """
    if continuous and npz:
        raise ValueError(
            "continuous factors and an npz file exclude each other: "
            "the file holds the discrete grid; leave one out"
        )
    masks, rows = dsprites_file.read(npz) if npz else (None, None)

    def split(n: int, part: int) -> Images:
        if continuous:
            values, hue = draw_continuous(n, 2 * seed + part)
            return images(values, size, device, hue)
        if masks is None or rows is None:
            index, pixels = draw(n, 2 * seed + part, bool(part)), None
        else:
            index, row = draw_rows(rows, n, 2 * seed + part, bool(part))
            pixels = masks[row]
        classes = classes_of(index)
        side = images(values_of(classes), size, device, masks=pixels)
        side.labels["color"], side.classes["color"] = classes["color"], list(COLORS)
        return side

    return split(n_train, 0), split(n_val, 1)

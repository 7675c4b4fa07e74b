"""Coloured dSprites: the factors of dSprites (Matthey et al. 2017) and a colour, rendered.

3 shapes × 6 scales × 40 orientations × 32 × 32 positions, as in the original, × 10 colours make
7,372,800 images, which are rendered from signed distances when needed. An image's index is a
mixed-radix number whose digits are the classes of its factors, so the factors follow from the index
without any table. Departures from the original, whose renderer is not published: edges are soft
(one pixel) instead of binary, the outlines are our own, of about the same sizes, and there is
colour.
"""

from __future__ import annotations

import math

import torch

from msr.data import dsprites_file
from msr.data.images import Images
from msr.data.trifeature import heart, hsv

SHAPES = ("square", "ellipse", "heart")
COLORS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "olive", "cyan")
TAB10 = "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf".split()  # RGB
# Factor -> number of values, in the original's order (the first changes slowest); 10 colours, not 1
RADIX = {**dsprites_file.GRID, "color": len(COLORS)}
N = math.prod(RADIX.values())
N_WHITE = N // RADIX["color"]  # the original's 737,280
RANGES = {"scale": (0.5, 1.0), "orientation": (0.0, 2 * math.pi), "x": (0.0, 1.0), "y": (0.0, 1.0)}
SYMMETRY = (4, 2, 1)  # square, ellipse, heart look the same after 1/4, 1/2 and 1 turn
MARGIN = 0.25  # share of the image that no centre enters, on each side: no sprite is cut off
RADIUS = 0.23  # distance of a sprite's farthest point at scale 1, as a share of the image's side

Classes = dict[str, torch.Tensor]  # factor -> long [n]
Values = dict[str, torch.Tensor]  # factor -> float [n]; except shape, long [n], and color, [n, 3]


# ------------------------------------------------------------------------------- index and factors


def classes_of(index: torch.Tensor) -> Classes:
    """Return the classes {factor: long [n]} of the images with these indices, long [n].

    Raises ValueError for an index outside 0 … N − 1.
    """
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < N:
        raise ValueError(f"index {int(index.min())} … {int(index.max())} is outside 0 … {N - 1}")
    digits = {}
    for name, n in reversed(RADIX.items()):
        digits[name], index = index % n, index // n
    return {name: digits[name] for name in RADIX}


def index_of(classes: Classes) -> torch.Tensor:
    """Return the indices, long [n], of the images with these classes: inverts `classes_of`."""
    index = torch.zeros_like(classes["shape"])
    for name, n in RADIX.items():
        index = index * n + classes[name]
    return index


def values_of(classes: Classes) -> Values:
    """Return the values {factor: [n]} that the classes stand for.

    The values of a factor are evenly spaced: scale from 0.5 to 1, x and y from 0 to 1, orientation
    from 0 to 2π radians. The latter includes both ends, as in the original, so its first and last
    value look alike. color is RGB in [0, 1], [n, 3]; shape stays a class.
    """
    rgb = [[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in TAB10]
    palette = torch.tensor(rgb, device=classes["shape"].device)
    values = {"shape": classes["shape"], "color": palette[classes["color"]]}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * classes[name].float() / (RADIX[name] - 1)
    return values


def turns(orientation: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Return the sine and cosine [n, 2] of k · orientation, where k is the shape's symmetry.

    They are the same for orientations that look alike. orientation: radians [n]; shape: long [n].
    """
    angle = torch.tensor(SYMMETRY, device=shape.device)[shape] * orientation
    return torch.stack([angle.sin(), angle.cos()], dim=1)


# ----------------------------------------------------------------------------- the split, and draws


def is_test(index: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    """Return which of the indices, long [n], are held out: bool [n], true for about `share`.

    The answer is a hash of the index alone, so the split needs no list and never changes. The
    orientations 0 and 2π look alike and therefore get the same hash. (The bits are mixed as in
    SplitMix of Steele et al. 2014, in words of 31 bits.)
    """
    classes = classes_of(index)
    classes["orientation"] = classes["orientation"] % (RADIX["orientation"] - 1)
    h = index_of(classes) + 0x1E3779B9
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
        h = ((h ^ (h >> shift)) * factor) & 0x7FFFFFFF
    return h < int(share * 2**31)


def draw(n: int, seed: int, test: bool = False, share: float = 0.1) -> torch.Tensor:
    """Draw n distinct indices, long [n], of one side of the split at random.

    test: draw held-out images, else training images. share: of held-out images, as in `is_test`.
    Raises ValueError for an n of more than half of that side.
    """
    if n > 0.5 * N * (share if test else 1 - share):
        side = "test" if test else "training"
        raise ValueError(f"{n} sprites are more than half of the {side} side; give fewer")
    generator, found = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
    while len(found) < n:
        index = torch.randint(N, (2 * n + 64,), generator=generator)
        found = torch.cat([found, index[is_test(index, share) == test]])
        # drop repeated indices and keep the order of the draw
        _, group = torch.unique(found, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(found))
        first.scatter_reduce_(0, group, torch.arange(len(found)), "amin")
        found = found[first.sort().values]
    return found[:n]


def draw_rows(rows: Classes, n: int, seed: int, test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw n rows of the original file in random colours, on one side of the split.

    rows: the classes of all rows of the file, as `dsprites_file.read` returns them. test: draw
    held-out images, else training images. Returns (indices, numbers of the rows), each long [n]; no
    pair of row and colour is drawn twice. Raises ValueError if that side has fewer than n pairs.
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
    """Draw the factors of n sprites, each uniform over its range; return (values, hue [n]).

    The hue, in turns from 0 to 1, is uniform over the colour circle; `color` is its RGB.
    """
    generator = torch.Generator().manual_seed(seed)
    hue = torch.rand(n, generator=generator)
    values = {"shape": torch.randint(3, (n,), generator=generator), "color": hsv(hue, 0.85, 0.95)}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * torch.rand(n, generator=generator)
    return values, hue


# ------------------------------------------------------------------------------------------- images


def signed_distance(shape: str, p: torch.Tensor) -> torch.Tensor:
    """Return the distances [...] of points p [..., 2] to a shape's outline, negative inside.

    The shape is centred at the origin, and its farthest point lies at a distance of about 1. Raises
    ValueError for an unknown shape.
    """
    if shape == "square":
        q = p.abs() - math.sqrt(0.5)
        return q.clamp(min=0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0)
    if shape == "ellipse":  # a first-order approximation, exact on the outline
        axes = torch.tensor([1.0, 0.5], device=p.device)
        k, slope = (p / axes).norm(dim=-1), (p / axes.square()).norm(dim=-1)
        return k * (k - 1) / slope.clamp(min=1e-6)
    if shape == "heart":
        return heart(p * 1.15) / 1.15
    raise ValueError(f"unknown shape '{shape}'; choose {', '.join(SHAPES)}")


def render(values: Values, size: int = 64) -> torch.Tensor:
    """Return images of sprites on black, float [n, 3, S, S] in [0, 1] with S = size.

    They are computed on the device of the values. A growing orientation turns a sprite clockwise on
    the screen.
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
        # the image's points in the sprite's own coordinates, [n, S, S, 2]
        p = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)
        # edges are soft over one pixel
        alpha[mine] = (0.5 - signed_distance(shape, p) * radius * size).clamp(0, 1)
    return alpha[:, None] * values["color"][:, :, None, None]


def contact_sheet(size: int = 64, columns: int = 10) -> dict[str, torch.Tensor]:
    """Return one row of images [n, 3, S, S] per factor, which runs through its values.

    The other factors are fixed. Of a factor with more than `columns` values, that many are shown,
    evenly spaced. The keys are the names with the number of values, such as "scale (6)".
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
    """Return a split of the sprites with these values, rendered on `device`.

    The pixels, uint8 [n, 3, S, S], are kept on the CPU. Label: shape. Factors: scale, x, y,
    orientation as the two columns of `turns` and, if `hue` is given (in turns, [n]), its sine and
    cosine [n, 2]. masks: the original's pixels, uint8 [n, S, S] of 0 and 1; if given, these are
    coloured instead of rendering, and `size` is ignored.
    """
    n, side = len(values["shape"]), size if masks is None else masks.shape[-1]
    pixels = torch.empty(n, 3, side, side, dtype=torch.uint8)
    for start in range(0, n, 512):
        part = {name: v[start : start + 512].to(device) for name, v in values.items()}
        if masks is None:
            x = render(part, size)
        else:
            white = masks[start : start + 512, None].to(device)
            x = white * part["color"][:, :, None, None]
        pixels[start : start + 512] = (x * 255).round().byte()
    factors = {
        "scale": values["scale"],
        "orientation": turns(values["orientation"], values["shape"]),
        "x": values["x"],
        "y": values["y"],
    }
    if hue is not None:
        factors["hue"] = torch.stack([(2 * math.pi * hue).sin(), (2 * math.pi * hue).cos()], dim=1)
    return Images(
        side,
        pixels,
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
    """Return (train, val): n_train and n_val distinct sprites from the two sides of the split.

    Labels and factors are those of `images`, and the label color. size: side in pixels. seed: of
    the draw. device: where the images are rendered. continuous: draw factors from their ranges and
    a hue instead of the ten colours; then there is no fixed split and no label color. npz: path of
    the original file; its pixels, coloured, are used instead of rendering. Raises ValueError, one
    line, for continuous together with npz, for an npz of another form, or for too many sprites.
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

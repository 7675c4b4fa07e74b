"""Coloured dSprites, rendered: the factors of Matthey et al. 2017 (dSprites) with a colour, from signed distances.

3 shapes × 6 scales × 40 orientations × 32 × 32 positions as in the original, × 10 colours: 7,372,800 images, rendered when wanted.
An index is a mixed-radix number whose digits are the factors' classes, so index -> factors -> image is exact and costs nothing.
Departures from the original, whose renderer is not published: soft edges (one pixel) in place of binary pixels; our own outlines,
of about its sizes; colour.
"""
from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from .images import Images
from .trifeature import heart, hsv

SHAPES = ("square", "ellipse", "heart")
COLORS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "olive", "cyan")
TAB10 = ("1f77b4", "ff7f0e", "2ca02c", "d62728", "9467bd", "8c564b", "e377c2", "7f7f7f", "bcbd22", "17becf")    # the palette of Tableau
# Factor -> number of values, slowest first; without color, dSprites' own order.
RADIX = {"color": 10, "shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
N = math.prod(RADIX.values())
N_WHITE = N // RADIX["color"]                                 # the original's 737,280
RANGES = {"scale": (0.5, 1.0), "orientation": (0.0, 2 * math.pi), "x": (0.0, 1.0), "y": (0.0, 1.0)}
SYMMETRY = (4, 2, 1)                                          # turns by 1/4, 1/2 and 1 of the circle leave square, ellipse, heart as they were
MARGIN = 0.25                                                 # of the view on each side of the centres' range: no sprite leaves the view
RADIUS = 0.23                                                 # of a sprite's farthest point at scale 1, as a share of the side

Classes = dict[str, torch.Tensor]                             # factor -> long [n]
Values = dict[str, torch.Tensor]                              # factor -> float [n]; shape stays a class, color becomes rgb [n, 3]


# -------------------------------------------------------------------------------------------------- index and factors

def classes_of(index: torch.Tensor) -> Classes:
    """Digits of an index [n] in 0 … N − 1, each long [n]."""
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < N:
        raise ValueError(f"index {int(index.min())} … {int(index.max())} is outside 0 … {N - 1}")
    digits = {}
    for name, n in reversed(RADIX.items()):
        digits[name], index = index % n, index // n
    return {name: digits[name] for name in RADIX}


def index_of(classes: Classes) -> torch.Tensor:
    """The inverse of `classes_of`."""
    index = torch.zeros_like(classes["shape"])
    for name, n in RADIX.items():
        index = index * n + classes[name]
    return index


def values_of(classes: Classes) -> Values:
    """What the classes mean: scale 0.5 to 1, orientation 0 to 2π (both ends, as the original: its first and last value look alike),
    x and y 0 to 1, evenly spaced; color as rgb in [0, 1]; shape as it is."""
    palette = torch.tensor([[int(code[i:i + 2], 16) / 255 for i in (0, 2, 4)] for code in TAB10], device=classes["shape"].device)
    values = {"shape": classes["shape"], "color": palette[classes["color"]]}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * classes[name].float() / (RADIX[name] - 1)
    return values


def is_test(index: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    """Which indices [n] are held out: about `share` of them, by a hash of the index alone, so the split needs no list and never moves.

    Orientations 0 and 2π look alike and so are hashed alike. (Mixing after Steele et al. 2014, SplitMix; 31-bit words.)
    """
    classes = classes_of(index)
    classes["orientation"] = classes["orientation"] % (RADIX["orientation"] - 1)
    h = index_of(classes) + 0x1E3779B9
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
        h = ((h ^ (h >> shift)) * factor) & 0x7FFFFFFF
    return h < int(share * 2**31)


def draw(n: int, seed: int, test: bool = False, share: float = 0.1) -> torch.Tensor:
    """n distinct indices [n] of one side of the split, at random by `seed`. Raises ValueError where the side has fewer."""
    if n > 0.5 * N * (share if test else 1 - share):
        raise ValueError(f"{n} sprites are more than half of the {'test' if test else 'training'} side; give fewer")
    generator, found = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
    while len(found) < n:
        index = torch.randint(N, (2 * n + 64,), generator=generator)
        found = torch.cat([found, index[is_test(index, share) == test]])
        _, group = torch.unique(found, return_inverse=True)   # drop repeats, keep the order of the draw
        first = torch.full((int(group.max()) + 1,), len(found)).scatter_reduce_(0, group, torch.arange(len(found)), "amin")
        found = found[first.sort().values]
    return found[:n]


def draw_continuous(n: int, seed: int) -> tuple[Values, torch.Tensor]:
    """(values, hue [n] in turns): every factor uniform over its range, the hue over the whole circle."""
    generator = torch.Generator().manual_seed(seed)
    hue = torch.rand(n, generator=generator)
    values = {"shape": torch.randint(3, (n,), generator=generator), "color": hsv(hue, 0.85, 0.95)}
    for name, (low, high) in RANGES.items():
        values[name] = low + (high - low) * torch.rand(n, generator=generator)
    return values, hue


def turns(orientation: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Sine and cosine [n, 2] of k · orientation, k the shape's symmetry: equal for orientations that look alike."""
    angle = torch.tensor(SYMMETRY, device=shape.device)[shape] * orientation
    return torch.stack([angle.sin(), angle.cos()], dim=1)


# ------------------------------------------------------------------------------------------------------------- images

def signed_distance(shape: str, p: torch.Tensor) -> torch.Tensor:
    """Distance of points p [..., 2] to the outline, negative inside; the farthest point of each shape lies about 1 from the origin."""
    if shape == "square":
        q = p.abs() - math.sqrt(0.5)
        return q.clamp(min=0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0)
    if shape == "ellipse":                                    # to first order, exact on the outline
        axes = torch.tensor([1.0, 0.5], device=p.device)
        k, slope = (p / axes).norm(dim=-1), (p / axes.square()).norm(dim=-1)
        return k * (k - 1) / slope.clamp(min=1e-6)
    if shape == "heart":
        return heart(p * 1.15) / 1.15
    raise ValueError(f"unknown shape '{shape}'; choose {', '.join(SHAPES)}")


def render(values: Values, size: int = 64) -> torch.Tensor:
    """Images [n, 3, S, S], float in [0, 1], black ground, on the values' device; a quarter turn takes x to y (clockwise on the screen)."""
    device = values["x"].device
    axis = (torch.arange(size, device=device) + 0.5) / size
    alpha = torch.empty(len(values["x"]), size, size, device=device)
    for i, shape in enumerate(SHAPES):
        mine = (values["shape"] == i).nonzero()[:, 0]
        x, y, angle, scale = (values[k][mine][:, None, None] for k in ("x", "y", "orientation", "scale"))
        radius = RADIUS * scale
        dx = (axis[None, None, :] - MARGIN - (1 - 2 * MARGIN) * x) / radius
        dy = (axis[None, :, None] - MARGIN - (1 - 2 * MARGIN) * y) / radius
        cos, sin = angle.cos(), angle.sin()
        p = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)                   # [n, S, S, 2], the sprite's frame
        alpha[mine] = (0.5 - signed_distance(shape, p) * radius * size).clamp(0, 1)           # one pixel of soft edge
    return alpha[:, None] * values["color"][:, :, None, None]


def contact_sheet(size: int = 64, columns: int = 10) -> dict[str, torch.Tensor]:
    """{factor: images [n, 3, S, S]}, one factor running through its values (evenly thinned to `columns`), the others fixed."""
    rows = {}
    for name, n in RADIX.items():
        fixed = {"color": 1, "shape": 2, "scale": 4, "orientation": 0, "x": 16, "y": 16}
        runs = torch.linspace(0, n - 1, min(n, columns)).round().long()
        classes = {k: torch.full_like(runs, v) for k, v in fixed.items()} | {name: runs}
        rows[f"{name} ({n})"] = render(values_of(classes), size)
    return rows


def images(values: Values, orientation: torch.Tensor, hue: torch.Tensor | None = None, size: int = 64, device="cpu", masks=None) -> Images:
    """The split with these values, rendered on `device` in pieces and kept as bytes on the CPU.

    Labels shape and (without `hue`) color; factors scale, x, y, orientation as the two columns of `turns`, and hue, where given, as sine
    and cosine. masks: uint8 [n, S, S] of 0 and 1, the original's pixels, coloured in place of our renderer's.
    """
    pieces = []
    for start in range(0, len(orientation), 512):
        part = {k: v[start:start + 512].to(device) for k, v in values.items()}
        x = render(part, size) if masks is None else masks[start:start + 512, None].to(device) * part["color"][:, :, None, None]
        pieces.append((x * 255).round().byte().cpu())
    labels, names = {"shape": values["shape"]}, {"shape": list(SHAPES)}
    factors = {"scale": values["scale"], "orientation": turns(orientation, values["shape"]), "x": values["x"], "y": values["y"]}
    if hue is not None:
        factors["hue"] = torch.stack([(2 * math.pi * hue).sin(), (2 * math.pi * hue).cos()], dim=1)
    return Images(pieces[0].shape[-1], torch.cat(pieces), None, labels, names, factors)


def load(n_train: int, n_test: int, size: int = 64, seed: int = 0, continuous: bool = False, npz: str = "", device="cpu") -> tuple[Images, Images]:
    """(train, test): distinct sprites of the two sides of the split, by `seed`; or with continuous factors and hue, drawn afresh.

    npz: the original's file; its pixels, coloured, take the place of the renderer's. Raises ValueError, one line.
    """
    if continuous:
        if npz:
            raise ValueError("continuous factors and an npz file exclude each other: the file holds the discrete grid; leave one out")
        drawn = [draw_continuous(n, 2 * seed + part) for part, n in enumerate((n_train, n_test))]
        return tuple(images(values, values["orientation"], hue, size, device) for values, hue in drawn)
    masks, rows = read_npz(npz) if npz else (None, None)
    sides = []
    for part, n in enumerate((n_train, n_test)):
        index, row = (draw(n, 2 * seed + part, bool(part)), None) if rows is None else draw_rows(rows, n, 2 * seed + part, bool(part))
        classes = classes_of(index)
        values = values_of(classes)
        side = images(values, values["orientation"], None, size, device, None if rows is None else masks[row])
        side.labels["color"], side.classes["color"] = classes["color"], list(COLORS)
        sides.append(side)
    return tuple(sides)


# ------------------------------------------------------------------------------------------------- the original's file

def read_npz(path: str) -> tuple[torch.Tensor, Classes]:
    """(masks uint8 [n, S, S] of 0 and 1, classes of each row) of the original's npz, or of a part of it in the same form.

    The full file's pixels take 3 GB. Nothing in it is unpickled. Raises ValueError, one line, for anything else.
    """
    if not Path(path).is_file():
        raise ValueError(f"npz '{path}' is not there; give the path of dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"npz '{path}' cannot be read: it is not an npz archive, or not the whole of one")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("imgs", "latents_classes") if name not in file.files]
            if missing:
                raise ValueError(f"npz '{path}' has no field '{missing[0]}'; it has: {', '.join(file.files)}")
            masks, table = file["imgs"], file["latents_classes"]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"npz '{path}' cannot be read: {error}") from None
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2] or table.shape != (len(masks), 6):
        raise ValueError(f"npz '{path}': imgs {masks.shape} and latents_classes {table.shape}; dSprites has (n, S, S) and (n, 6)")
    names = list(RADIX)                                       # the original's first column is its one colour
    if (table.min(0) < 0).any() or (table.max(0) >= [1, *list(RADIX.values())[1:]]).any():
        raise ValueError(f"npz '{path}': a class in latents_classes is out of range; dSprites has {', '.join(f'{k} < {RADIX[k]}' for k in names[1:])}")
    return torch.from_numpy(masks), {name: torch.from_numpy(table[:, i].astype(np.int64)) for i, name in enumerate(names)}


def draw_rows(rows: Classes, n: int, seed: int, test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(index [n], row of the file [n]): rows in random colours, each (row, colour) once, on one side of the split."""
    first = index_of(rows)
    index = (torch.arange(RADIX["color"])[:, None] * N_WHITE + first).flatten()               # every row in every colour
    mine = (is_test(index) == test).nonzero()[:, 0]
    if len(mine) < n:
        raise ValueError(f"the file has {len(mine)} coloured sprites on the {'test' if test else 'training'} side, not {n}; give fewer")
    mine = mine[torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))[:n]]
    return index[mine], mine % len(first)

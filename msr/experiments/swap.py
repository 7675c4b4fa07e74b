"""Style swap by retrieval: the image with one sprite's shape, another's colour, a third's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from msr.data import Images, dsprites
from msr.evaluate import STREAM
from msr.evaluate.retrieval import retrieve
from msr.experiments.setup import ImageRun, Row, Setup
from msr.views import Views

# Classes of orientation within a quarter turn: no two look alike in any shape.
ANGLES = (0, 2, 4, 6, 8)
# The sprite of a triple that gives a factor: A (0) shape and orientation, B (1) color, C (2) rest.
GIVES = {"shape": 0, "orientation": 0, "color": 1, "hue": 1, "scale": 2, "x": 2, "y": 2}


@dataclass(frozen=True)
class Swap:
    """A task: from three sprites A, B and C of a gallery, retrieve the one that combines them.

    The wanted sprite has A's shape and orientation, B's color, and C's scale and place.
    """

    gallery: Images
    # long [G, 4], of each gallery sprite: shape, orientation, color, number of its scale and place
    key: torch.Tensor
    queries: torch.Tensor  # long [Q, 3], rows of the gallery: A, B, C
    wanted: torch.Tensor  # long [Q, 4], the key of the wanted sprite


def swap_task(n: int, seed: int, places: int = 100, size: int = 64) -> Swap:
    """Return a task of n triples of held-out sprites; size: pixels a side.

    For each of `places` random pairs of a scale and a place, the gallery holds every held-out
    sprite in all shapes, five angles and all colors, so it contains many that are nearly right.
    Each sprite of a triple shares with the wanted one only what it gives: the others differ from it
    in shape or orientation, in color, and in scale or place. Raises ValueError if the places give
    too few triples.
    """
    generator = torch.Generator().manual_seed(STREAM + seed)
    index, key = gallery(places, generator)
    triples = draw_triples(n, key, generator)
    if len(triples) < n:
        raise ValueError(
            f"{places} places give only {len(triples)} triples, not {n}; give more places"
        )
    values = dsprites.values_of(dsprites.classes_of(index))
    images = dsprites.images(values, size)
    chosen = torch.tensor(triples)
    return Swap(images, key, chosen[:, 1:], key[chosen[:, 0]])


def gallery(places: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (index [G], key [G, 4]) of the held-out sprites of the gallery."""
    radix = dsprites.RADIX
    n_x, n_y = radix["x"], radix["y"]
    place = torch.randperm(radix["scale"] * n_x * n_y, generator=generator)[:places]
    counts = (len(dsprites.SHAPES), len(ANGLES), radix["color"], places)
    key = torch.cartesian_prod(*(torch.arange(k) for k in counts))
    shape, angle, color, number = key.T
    classes = {
        "shape": shape,
        "orientation": torch.tensor(ANGLES)[angle],
        "color": color,
        "scale": place[number] // (n_x * n_y),
        "x": place[number] // n_y % n_x,
        "y": place[number] % n_y,
    }
    index = dsprites.index_of(classes)
    held_out = dsprites.is_test(index)
    return index[held_out], key[held_out]


def draw_triples(n: int, key: torch.Tensor, generator: torch.Generator) -> list[list[int]]:
    """Return at most n quadruples (wanted, A, B, C) of rows of the gallery with these keys.

    key: long [G, 4].
    """
    triples: list[list[int]] = []
    for t in torch.randperm(len(key), generator=generator).tolist():
        same = key == key[t]
        content, color, place = same[:, :2].all(dim=1), same[:, 2], same[:, 3]
        pools = (
            content & ~color & ~place,
            ~content & color & ~place,
            ~content & ~color & place,
        )
        if all(pool.any() for pool in pools):
            picks = [pool.nonzero()[:, 0] for pool in pools]
            drawn = [int(p[torch.randint(len(p), (1,), generator=generator)]) for p in picks]
            triples.append([t, *drawn])
        if len(triples) == n:
            break
    return triples


def parts(views: Views) -> list[tuple[str, int]]:
    """Return (space, number of the sprite to match in it) for each space; A is 0, B 1 and C 2.

    In a style space this is the sprite that gives what the group changes. If a group changes
    several factors, it is the last of the sprites that give them.
    """
    found = [("content", 0)]
    for group, names in views.members.items():
        changed = [f for name in names for f in views.query.transforms[name].changes]
        found.append((group, max(GIVES.get(factor, 0) for factor in changed)))
    return found


def swap(
    setup: Setup, run: ImageRun, task: Swap, *takes: Sequence[tuple[str, int]]
) -> list[tuple[Row, torch.Tensor]]:
    """Return (scores, the retrieved rows of the gallery [Q]) for each of `takes`.

    takes: lists of (space, number of the sprite to match in it), as `parts` returns them. An
    embedding without spaces matches all three sprites in the same space. Scores: the share of
    triples whose retrieved sprite is right in shape, orientation, color, place, and all of these.
    """
    z = {space: np.asarray(v) for space, v in setup.embed(run, task.gallery).items()}
    results = []
    for pairs in takes:
        found = retrieve(z, task.queries, pairs)
        right = (task.key[found] == task.wanted).float()
        names = ("shape", "orientation", "color", "place")
        score = dict(zip(names, right.mean(dim=0).tolist(), strict=True))
        score["all"] = float(right.prod(dim=1).mean())
        results.append((score, found))
    return results


def compared(
    setup: Setup, run: ImageRun, plain: ImageRun, task: Swap
) -> dict[str, tuple[Row, torch.Tensor]]:
    """Return {method: (scores, retrieved rows [Q])} of a run and of plain self-supervision.

    The method "spaces" matches each sprite in its own space. "h" and "plain SSL" match all three
    sprites in one embedding, the h of the run and the h of the plain network.
    """
    own, whole = parts(setup.views), [("h", i) for i in range(3)]
    spaces, h = swap(setup, run, task, own, whole)
    (other,) = swap(setup, plain, task, whole)
    return {"spaces": spaces, "h": h, "plain SSL": other}


def shown(
    task: Swap, results: dict[str, tuple[Row, torch.Tensor]], n: int = 6
) -> tuple[dict[str, torch.Tensor], dict[str, list[bool]]]:
    """Return what a figure of the first n triples shows.

    That is ({title: images [n, 3, S, S]}, {method: whether each retrieved image is right}).
    """
    images, sprites = task.gallery.fetch, ("content", "colour", "place")
    columns = {f"{part} of": images(task.queries[:n, i]) for i, part in enumerate(sprites)}
    columns |= {name: images(rows[:n]) for name, (_, rows) in results.items()}
    right = {
        name: (task.key[rows[:n]] == task.wanted[:n]).all(dim=1).tolist()
        for name, (_, rows) in results.items()
    }
    return columns, right

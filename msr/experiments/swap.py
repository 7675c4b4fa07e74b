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
# Which sprite of a triple gives a factor: A (0) shape and orientation, B (1) color, C (2) the rest.
GIVES = {"shape": 0, "orientation": 0, "color": 1, "hue": 1, "scale": 2, "x": 2, "y": 2}


@dataclass(frozen=True)
class Swap:
    """A task: retrieve one sprite of a gallery from three others, A, B and C.

    It has A's shape and orientation, B's color, and C's scale and place.
    """

    gallery: Images
    key: torch.Tensor  # long [G, 4], of the gallery: shape, orientation, color, number of the place
    queries: torch.Tensor  # long [Q, 3], rows of the gallery: A, B, C
    wanted: torch.Tensor  # long [Q, 4], a key


def swap_task(n: int, seed: int, places: int = 100, size: int = 64) -> Swap:
    """Return a task of n triples, all on the held-out side.

    The gallery holds every held-out sprite of `places` random scales and places in all shapes, five
    angles and all colors, so nearly right ones are in it. What a sprite of a triple does not give,
    it does not share with the wanted one. Raises ValueError where the places give too few triples.
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
    """Return (index of each held-out sprite of the gallery [G], its key [G, 4])."""
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
    """Return at most n rows (wanted, A, B, C) of the gallery with these keys [G, 4]."""
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
    """Return (space, number of the sprite that it is matched to) for each space.

    A style space is matched to the sprite that gives what its group changes; the last such sprite,
    where a group changes several factors.
    """
    found = [("content", 0)]
    for group, names in views.members.items():
        changed = [f for name in names for f in views.query.transforms[name].changes]
        found.append((group, max(GIVES.get(factor, 0) for factor in changed)))
    return found


def swap(
    setup: Setup, run: ImageRun, task: Swap, *takes: Sequence[tuple[str, int]]
) -> list[tuple[Row, torch.Tensor]]:
    """Return (scores, the retrieved gallery rows [Q]) for each of `takes`, as made by `parts`.

    Scores: the share of triples whose retrieved sprite is right in shape, orientation, color,
    place, and all of them. The same space for A, B and C is for an embedding that cannot be told
    which part to match.
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
    """Return {method: (scores, retrieved rows [Q])} for a run and plain self-supervision.

    spaces: each space matched to its own sprite. h and plain SSL: one embedding, the h of the run
    and of the plain network, matched to all three sprites.
    """
    own, whole = parts(setup.views), [("h", i) for i in range(3)]
    spaces, h = swap(setup, run, task, own, whole)
    (other,) = swap(setup, plain, task, whole)
    return {"spaces": spaces, "h": h, "plain SSL": other}


def shown(
    task: Swap, results: dict[str, tuple[Row, torch.Tensor]], n: int = 6
) -> tuple[dict[str, torch.Tensor], dict[str, list[bool]]]:
    """Return ({title: images [n, 3, S, S]}, {method: which of them are right}) for a figure."""
    images, sprites = task.gallery.fetch, ("content", "colour", "place")
    columns = {f"{part} of": images(task.queries[:n, i]) for i, part in enumerate(sprites)}
    columns |= {name: images(rows[:n]) for name, (_, rows) in results.items()}
    right = {
        name: (task.key[rows[:n]] == task.wanted[:n]).all(dim=1).tolist()
        for name, (_, rows) in results.items()
    }
    return columns, right

"""The sprites experiment: images whose factors we know, one network per setting and seed, every factor from every space."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

import numpy as np
import torch

from . import augment, dci, probes, train
from .config import Train, known, numbers, one_of, positive, whole, words, yes_or_no
from .data import images, sprites
from .data.images import Images
from .experiment import Run, Setup
from .objective import FAMILIES
from .spaces import Spaces
from .views import Pipeline, Views

PARAMETERS = ("epochs", "study_epochs", "max_images", "probe_images", "seeds", "seed", "groups", "strength", "family", "sizes", "lambdas", "temperature", "paired",
              "separate_style", "backbone", "width", "hidden", "batch_size", "optimizer", "lr", "warmup", "image_size", "continuous", "npz", "precision", "device",
              "fresh", "out_dir", "profile")


@dataclass(frozen=True)
class Strength:
    """What is drawn for each view of a sprite. It turns and grows about its own centre, so that no rotation moves it."""

    zoom: tuple[float, float]                       # drawn log-uniformly
    rotation: float                                 # degrees either way
    translation: float                              # share of the side, either way
    brightness: float
    saturation: float
    hue: float                                      # turns of the colour circle, either way; 0.5: all of it
    greyscale: float                                # probability
    placed: bool = False                            # translation from the image's middle (`Place`), not from where the sprite is

    def pipeline(self) -> Pipeline:
        move = augment.Place(self.translation) if self.placed else augment.Translate(self.translation, centre="mass")
        return Pipeline([augment.Zoom(self.zoom, centre="mass"), augment.Rotation(self.rotation, centre="mass"), move,
                         augment.ColorJitter(self.brightness, 0.0, self.saturation, self.hue, 1.0), augment.Greyscale(self.greyscale), augment.Normalise()])


STRENGTHS = {
    "weak": Strength((0.8, 1.25), 5, 0.05, 0.2, 0.2, 0.1, 0.0),
    "medium": Strength((0.6, 1.6), 10, 0.1, 0.5, 0.5, 0.25, 0.1),
    # every place, every hue, zoom by more than sprites differ in size
    "strong": Strength((0.5, 1.8), 15, 0.25, 0.6, 1.0, 0.5, 0.2, placed=True),
    # the same, but a shift as far as keeps sprites in view: a sprite on the left is still more often on the left
    "shifted": Strength((0.5, 1.8), 15, 0.25, 0.6, 1.0, 0.5, 0.2),
    # the same, and every angle
    "full_circle": Strength((0.5, 1.8), 180, 0.25, 0.6, 1.0, 0.5, 0.2, placed=True),
}


# ---------------------------------------------------------------------------------------------------------- settings

def prepare(**params) -> Setup:
    """Check every parameter and render the data. Raises ValueError, one line, before any work."""
    known(params, PARAMETERS)
    p = dict(params)
    yes_or_no(p, "paired", "separate_style", "continuous", "fresh")
    whole(p, epochs=1, study_epochs=0, max_images=2, batch_size=2, probe_images=50, seeds=1, seed=0, width=1, image_size=16)
    positive(p, "temperature", "lr")
    one_of(p, strength=STRENGTHS, family=FAMILIES)
    if p["batch_size"] > p["max_images"]:
        raise ValueError(f"batch_size {p['batch_size']} is larger than the {p['max_images']} training images; give {p['max_images']} or less")
    device = train.pick_device(p["device"])
    p |= {"hidden": tuple(numbers("hidden", p["hidden"], int)), "num_workers": 0}
    shell = Setup(train=None, val=None, device=device, source="", train_probe=None, val_probe=None, **fields(p))
    shell.build(0)                                            # a wrong backbone, weight or size is found before the data is drawn
    data = sprites.load(p["max_images"], p["probe_images"], p["image_size"], p["seed"], p["continuous"], p["npz"], device)
    source = f"the pixels of `{Path(p['npz']).name}`, coloured" if p["npz"] else "rendered sprites" + ", continuous factors" * p["continuous"]
    return replace(shell, train=data[0], val=data[1], source=source, train_probe=images.at_most(data[0], p["probe_images"], 0), val_probe=data[1])


def fields(p: dict) -> dict:
    """The fields of `Setup` that parameters decide without looking at the data."""
    groups = words(p["groups"])
    steps = p["epochs"] * (p["max_images"] // p["batch_size"])
    settings = Train(epochs=p["epochs"], batch_size=p["batch_size"], optimizer=p["optimizer"], lr=float(p["lr"]), warmup_epochs=p["epochs"] * p["warmup"],
                     precision=p["precision"], adaptive=p.get("adaptive", False), epsilon=p.get("epsilon", 0.1),
                     dual_warmup_epochs=p["epochs"] / 10, log_every=max(1, steps // 60))
    options = {"temperature": p["temperature"]} if p["family"] == "entropy" else {}           # of the family: what this experiment changes
    return {"views": Views(STRENGTHS[p["strength"]].pipeline(), None, groups, p["paired"]), "spaces": Spaces.of(groups, numbers("sizes", p["sizes"], int)),
            "settings": settings, "chosen": p | {"options": options}}


def vary(setup: Setup, **changes) -> Setup:
    """The same experiment with some parameters changed, its data shared: groups, sizes, strength, family, lambdas, paired, separate_style,
    backbone, width, epochs, adaptive, epsilon."""
    return replace(setup, **fields(setup.chosen | changes))


# ------------------------------------------------------------------------------------------------------------ probes

def probe(setup: Setup, run: Run, spaces: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """{space: {shape, color: top-1 accuracy (`probes.classify`); scale, orientation, x, y: R² (`probes.many`)}} on held-out plain
    sprites, also kept in run.table. spaces: which; empty: all, with h and joined."""
    features = [setup.embed(run, split) for split in (setup.train_probe, setup.val_probe)]
    run.table = {space: factors(features[0][space], setup.train_probe, features[1][space], setup.val_probe, probes.side_by_side(features[0], space))
                 for space in spaces or features[0]}
    return run.table


def factors(z, split: Images, z_test, test: Images, sizes=()) -> dict[str, float]:
    """One space's row: classes by nonlinear classification, the others by `probes.many`; sizes as in `probes.lift`."""
    row = {name: probes.classify(z, y.numpy(), z_test, test.labels[name].numpy(), sizes=sizes) for name, y in split.labels.items()}
    y, y_test = ({k: v.numpy() for k, v in side.factors.items()} for side in (split, test))
    return row | probes.many(z, y, z_test, y_test, sizes)


def dci_es(setup: Setup, run: Run) -> dict[str, float]:
    """DCI-ES of the joined code against shape and color (one column per class), scale, orientation (sine and cosine), x and y."""
    def columns(split):
        hot = [torch.nn.functional.one_hot(y, len(split.classes[name])).float() for name, y in split.labels.items()]
        return torch.cat([*hot, *(v.reshape(len(v), -1).float() for v in split.factors.values())], dim=1).numpy()
    z, z_test = (setup.embed(run, split)["joined"] for split in (setup.train_probe, setup.val_probe))
    return dci.scores(z, columns(setup.train_probe), z_test, columns(setup.val_probe), run.seed)


def summary(table: dict) -> dict[str, float]:
    """A table in five numbers: what each space should tell, and what content should not. Colour is accuracy, or the R² of a continuous hue."""
    def home(*names):
        return next((name for name in names if name in table), "content")

    def place(space):
        return (table[space]["x"] + table[space]["y"]) / 2
    tint = "color" if "color" in table["content"] else "hue"
    return {"shape": table["content"]["shape"], "color": table[home("appearance", "color", "jitter")][tint], "position": place(home("spatial", "affine", "translation")),
            "color_in_content": table["content"][tint], "position_in_content": place("content")}


# -------------------------------------------------------------------------------------------------------------- swap

ANGLES = (0, 2, 4, 6, 8)                                      # classes of orientation within a quarter turn: no two look alike in any shape


@dataclass
class Swap:
    """A task: from sprites A, B and C retrieve, among a gallery, the one with A's shape and orientation, B's color, C's scale and place."""

    gallery: Images
    key: torch.Tensor                                         # long [G, 4], of the gallery: shape, orientation, color, number of the place
    queries: torch.Tensor                                     # long [Q, 3], rows of the gallery: A, B, C
    wanted: torch.Tensor                                      # long [Q, 4], a key


def swap_task(n: int, seed: int, places: int = 100, size: int = 64) -> Swap:
    """n triples. The gallery: every test sprite of `places` random scales and places in all shapes, five angles and all colors, so nearly
    right ones are in it.

    What a sprite of the triple does not give, it does not share with the wanted one. All on the test side.
    """
    generator = torch.Generator().manual_seed(probes.STREAM + seed)
    n_x, n_y = sprites.RADIX["x"], sprites.RADIX["y"]
    place = torch.randperm(sprites.RADIX["scale"] * n_x * n_y, generator=generator)[:places]
    key = torch.cartesian_prod(*(torch.arange(k) for k in (len(sprites.SHAPES), len(ANGLES), sprites.RADIX["color"], places)))
    shape, angle, color, number = key.T
    index = sprites.index_of({"shape": shape, "orientation": torch.tensor(ANGLES)[angle], "color": color, "scale": place[number] // (n_x * n_y),
                              "x": place[number] // n_y % n_x, "y": place[number] % n_y})
    test = sprites.is_test(index)
    index, key = index[test], key[test]
    triples = []
    for t in torch.randperm(len(index), generator=generator).tolist():
        same = key == key[t]
        content, color, place = same[:, :2].all(dim=1), same[:, 2], same[:, 3]
        pools = (content & ~color & ~place, ~content & color & ~place, ~content & ~color & place)
        if all(pool.any() for pool in pools):
            picks = [pool.nonzero()[:, 0] for pool in pools]
            triples.append([t, *(int(p[torch.randint(len(p), (1,), generator=generator)]) for p in picks)])
        if len(triples) == n:
            break
    if len(triples) < n:
        raise ValueError(f"{places} places give only {len(triples)} triples, not {n}; give more places")
    values = sprites.values_of(sprites.classes_of(index))
    chosen = torch.tensor(triples)
    return Swap(sprites.images(values, values["orientation"], None, size), key, chosen[:, 1:], key[chosen[:, 0]])


def parts(views: Views) -> list[tuple[str, int]]:
    """(space, number of the sprite that it is taken from) of each space: zoom and translation from C, colour from B, the rest from A."""
    gives = {"rotation": 0, "jitter": 1, "greyscale": 1, "zoom": 2, "translation": 2}
    return [("content", 0), *((group, max(gives[name] for name in names)) for group, names in views.members.items())]


def swap(setup: Setup, run: Run, task: Swap, *takes: Sequence[tuple[str, int]]) -> list[tuple[dict[str, float], torch.Tensor]]:
    """For each of `takes`, as made by `parts`: (share of triples whose retrieved sprite is right in shape, orientation, color, place and all
    of them, the retrieved gallery rows [Q]).

    Distance = Σ over (space, sprite) of the squared distance to that sprite in that space, over its mean in the gallery. The same space
    for A, B and C is for an embedding that cannot be told which part to match.
    """
    z = {space: torch.from_numpy(np.asarray(v)) for space, v in setup.embed(run, task.gallery).items()}
    z = {space: v / (v.std(dim=0) + 1e-8) for space, v in z.items()}                          # every dimension counts alike
    results = []
    for pairs in takes:
        total = 0.0
        for space, sprite in pairs:
            distance = torch.cdist(z[space][task.queries[:, sprite]], z[space]).square()      # [Q, G]
            total = total + distance / distance.mean()
        found = total.argmin(dim=1)
        right = (task.key[found] == task.wanted).float()
        score = dict(zip(("shape", "orientation", "color", "place"), right.mean(dim=0).tolist())) | {"all": float(right.prod(dim=1).mean())}
        results.append((score, found))
    return results


def targets(setup: Setup) -> list[str]:
    """The columns of a table: labels, then factors; with continuous factors hue takes the place of color."""
    return [name for name in ("shape", "color", "hue", "scale", "orientation", "x", "y") if name in setup.val.labels or name in setup.val.factors]


def study(setup: Setup, seed: int, folder: str, **changes) -> dict[str, dict[str, float]]:
    """Train one setting that differs from `setup` by `changes`, without a progress line; the table of its spaces, without h and joined."""
    cell = vary(setup, **changes, out_dir=str(Path(setup.chosen["out_dir"]) / folder))
    return probe(cell, cell.fit(seed, progress=False), cell.spaces.names)

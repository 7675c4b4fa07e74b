"""The sprites experiment: images whose factors we know, one network per setting and seed, every factor from every space."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from . import augment, dci, probes, train
from .config import Train, known
from .data import images, sprites
from .data.images import Images
from .experiment import Run, Setup, numbers
from .objective import FAMILIES, nearest
from .spaces import Spaces
from .views import Pipeline, Views

PARAMETERS = ("epochs", "study_epochs", "max_images", "probe_images", "seeds", "seed", "groups", "strength", "family", "sizes", "lambdas", "temperature", "paired",
              "separate_style", "backbone", "width", "hidden", "batch_size", "optimizer", "lr", "warmup", "image_size", "continuous", "npz", "precision", "device",
              "out_dir", "profile")


@dataclass(frozen=True)
class Strength:
    """What is drawn for each view of a sprite."""

    zoom: tuple[float, float]                       # drawn log-uniformly
    rotation: float                                 # degrees either way
    translation: float                              # share of the side, either way
    brightness: float
    saturation: float
    hue: float                                      # turns of the colour circle, either way; 0.5: all of it
    greyscale: float                                # probability
    flip: float = 0.5                               # probability, of a horizontal and of a vertical one
    centre: str = "image"                           # of rotation and zoom; "mass": the sprite's own

    def pipeline(self) -> Pipeline:
        flips = [augment.HorizontalFlip(self.flip), augment.VerticalFlip(self.flip)] if self.flip else []
        return Pipeline([*flips, augment.Zoom(self.zoom, centre=self.centre), augment.Rotation(self.rotation, centre=self.centre),
                         augment.Translate(self.translation, centre=self.centre),
                         augment.ColorJitter(self.brightness, 0.0, self.saturation, self.hue, 1.0), augment.Greyscale(self.greyscale), augment.Normalise()])


STRENGTHS = {
    "weak": Strength((0.8, 1.25), 5, 0.05, 0.2, 0.2, 0.1, 0.0),
    "medium": Strength((0.6, 1.6), 10, 0.1, 0.5, 0.5, 0.25, 0.1),
    # every hue; zoom by more than sprites differ in size; flips, so that a place and its mirror images are one content
    "strong": Strength((0.5, 1.8), 15, 0.25, 0.6, 1.0, 0.5, 0.2),
    # every angle: orientation becomes style, and with it goes the way by which these small networks come to shape
    "full_circle": Strength((0.5, 1.8), 180, 0.25, 0.6, 1.0, 0.5, 0.2),
    # rotation about the sprite itself leaves it where it is, so that rotation and position can have spaces of their own
    "own_centre": Strength((0.5, 1.8), 180, 0.25, 0.6, 1.0, 0.5, 0.2, flip=0.0, centre="mass"),
}


# ---------------------------------------------------------------------------------------------------------- settings

def prepare(**params) -> Setup:
    """Check every parameter and render the data. Raises ValueError, one line, before any work."""
    known(params, PARAMETERS)
    p = dict(params)
    for name in ("paired", "separate_style", "continuous"):
        if str(p[name]).lower() not in ("true", "false"):
            raise ValueError(f"{name} = {p[name]!r}; give True or False")
        p[name] = str(p[name]).lower() == "true"
    for name, low in (("epochs", 1), ("study_epochs", 0), ("max_images", 2), ("probe_images", 50), ("seeds", 1), ("seed", 0), ("width", 1), ("image_size", 16)):
        if not isinstance(p[name], int) or isinstance(p[name], bool) or p[name] < low:
            raise ValueError(f"{name} = {p[name]!r}; give a whole number, {low} or more")
    for name in ("temperature", "lr"):
        if not isinstance(p[name], (int, float)) or isinstance(p[name], bool) or not 0 < p[name] < math.inf:
            raise ValueError(f"{name} = {p[name]!r}; give a number above 0")
    for name, choices in (("strength", STRENGTHS), ("family", FAMILIES)):
        if p[name] not in choices:
            raise ValueError(f"unknown {name} '{p[name]}'{nearest(p[name], choices)}; choose {', '.join(choices)}")
    if p["batch_size"] > p["max_images"]:
        raise ValueError(f"batch_size {p['batch_size']} is larger than the {p['max_images']} training images; give {p['max_images']} or less")
    device = train.pick_device(p["device"])
    groups = tuple(g.strip() for g in p["groups"].split(",") if g.strip())
    settings = Train(epochs=p["epochs"], batch_size=p["batch_size"], optimizer=p["optimizer"], lr=float(p["lr"]), warmup_epochs=p["epochs"] * p["warmup"],
                     precision=p["precision"], dual_warmup_epochs=p["epochs"] / 10)
    chosen = p | {"hidden": tuple(numbers("hidden", p["hidden"], int)), "num_workers": 0, "options": options(p["family"], p["temperature"])}
    shell = Setup(None, None, Views(STRENGTHS[p["strength"]].pipeline(), None, groups, p["paired"]), Spaces.of(groups, numbers("sizes", p["sizes"], int)),
                  settings, chosen, device, "", None, None)
    shell.build(0)                                            # a wrong backbone, weight or size is found before the data is drawn
    data = sprites.load(p["max_images"], p["probe_images"], p["image_size"], p["seed"], p["continuous"], p["npz"], device)
    steps = settings.epochs * len(images.Batches(data[0], settings.batch_size))
    source = f"the pixels of `{Path(p['npz']).name}`, coloured" if p["npz"] else "rendered sprites" + ", continuous factors" * p["continuous"]
    return replace(shell, train=data[0], val=data[1], source=source, settings=replace(settings, log_every=max(1, steps // 60)),
                   train_probe=images.at_most(data[0], p["probe_images"], 0), val_probe=data[1])


def options(family: str, temperature: float) -> dict:
    """The settings of a family that this experiment changes."""
    return {"temperature": temperature} if family == "entropy" else {}


def vary(setup: Setup, **changes) -> Setup:
    """The same experiment with some parameters changed, its data shared: groups, sizes, strength, family, lambdas, paired, separate_style,
    epochs, adaptive, epsilon."""
    c = setup.chosen | {k: v for k, v in changes.items()}
    groups = tuple(g.strip() for g in c["groups"].split(",") if g.strip())
    if "family" in changes:
        c["options"] = options(c["family"], c["temperature"])
    views = Views(STRENGTHS[c["strength"]].pipeline(), None, groups, c["paired"])
    epochs = c["epochs"]
    settings = replace(setup.settings, epochs=epochs, warmup_epochs=epochs * c["warmup"], dual_warmup_epochs=epochs / 10,
                       adaptive=c.get("adaptive", False), epsilon=c.get("epsilon", setup.settings.epsilon))
    return replace(setup, views=views, spaces=Spaces.of(groups, numbers("sizes", c["sizes"], int)), settings=settings, chosen=c)


# ------------------------------------------------------------------------------------------------------------ probes

def probe(setup: Setup, run: Run) -> dict[str, dict[str, float]]:
    """{space: {shape, color: top-1 accuracy (`probes.classify`); scale, orientation, x, y: R² (`probes.many`)}} on held-out plain
    sprites, also kept in run.table."""
    features = [setup.embed(run, split) for split in (setup.train_probe, setup.val_probe)]
    run.table = {space: factors(features[0][space], setup.train_probe, features[1][space], setup.val_probe) for space in features[0]}
    return run.table


def factors(z, split: Images, z_test, test: Images) -> dict[str, float]:
    """One space's row: classes by nonlinear classification, the others by `probes.many`."""
    row = {name: probes.classify(z, y.numpy(), z_test, test.labels[name].numpy()) for name, y in split.labels.items()}
    y, y_test = ({k: v.numpy() for k, v in side.factors.items()} for side in (split, test))
    return row | probes.many(z, y, z_test, y_test)


def dci_es(setup: Setup, run: Run) -> dict[str, float]:
    """DCI-ES of the joined code against shape and color (one column per class), scale, orientation (sine and cosine), x and y."""
    def columns(split):
        hot = [torch.nn.functional.one_hot(y, len(split.classes[name])).float() for name, y in split.labels.items()]
        return torch.cat([*hot, *(v.reshape(len(v), -1).float() for v in split.factors.values())], dim=1).numpy()
    z, z_test = (setup.embed(run, split)["joined"] for split in (setup.train_probe, setup.val_probe))
    return dci.scores(z, columns(setup.train_probe), z_test, columns(setup.val_probe), run.seed)


def summary(table: dict) -> dict[str, float]:
    """A table in five numbers: what each space should tell, and what content should not. Colour is accuracy, or the R² of a continuous hue."""
    def place(space):
        return (table[space]["x"] + table[space]["y"]) / 2
    tint = "color" if "color" in table["content"] else "hue"
    return {"shape": table["content"]["shape"], "color": table["appearance"][tint], "position": place("spatial"),
            "color_in_content": table["content"][tint], "position_in_content": place("content")}


# -------------------------------------------------------------------------------------------------------------- swap

POSE = ("scale", "orientation", "x", "y")


@dataclass
class Swap:
    """A task: from sprites A, B and C retrieve, among a gallery, the one with A's shape, B's color and C's pose."""

    gallery: Images
    gallery_key: torch.Tensor                                 # long [G, 3]: shape, color, number of the pose
    queries: tuple[Images, Images, Images]                    # A, B, C, each [Q]
    wanted: torch.Tensor                                      # long [Q, 3]


def swap_task(n: int, seed: int, poses: int = 300, size: int = 64) -> Swap:
    """n triples. The gallery: every test sprite of `poses` random poses in all shapes and colors, so nearly right ones are in it.

    A and B differ from the wanted sprite in pose and in the factor that they do not give; C in shape and color. All on the test side.
    """
    generator = torch.Generator().manual_seed(probes.STREAM + seed)
    pose = {name: torch.randint(sprites.RADIX[name] - (name == "orientation"), (poses,), generator=generator) for name in POSE}
    grid = torch.cartesian_prod(torch.arange(10), torch.arange(3), torch.arange(poses))       # color, shape, pose
    classes = {"color": grid[:, 0], "shape": grid[:, 1]} | {name: pose[name][grid[:, 2]] for name in POSE}
    index = sprites.index_of(classes)
    test = sprites.is_test(index)
    index, key = index[test], grid[test][:, [1, 0, 2]]
    triples = []
    for t in torch.randperm(len(index), generator=generator).tolist():
        shape, color, number = (key[:, i] == key[t, i] for i in range(3))
        pools = (shape & ~color & ~number, color & ~shape & ~number, number & ~shape & ~color)
        if all(pool.any() for pool in pools):
            picks = [pool.nonzero()[:, 0] for pool in pools]
            triples.append([t, *(int(p[torch.randint(len(p), (1,), generator=generator)]) for p in picks)])
        if len(triples) == n:
            break
    if len(triples) < n:
        raise ValueError(f"{poses} poses give only {len(triples)} triples, not {n}; give more poses")
    values = sprites.values_of(sprites.classes_of(index))
    gallery = sprites.images(values, values["orientation"], None, size)
    chosen = torch.tensor(triples)
    return Swap(gallery, key, tuple(gallery.pick(chosen[:, i]) for i in (1, 2, 3)), key[chosen[:, 0]])


def swap(setup: Setup, run: Run, task: Swap, parts: tuple[str, str, str] = ("content", "appearance", "spatial")) -> tuple[dict[str, float], torch.Tensor]:
    """(share of triples whose retrieved sprite is right in shape, color, pose and all three, the retrieved gallery rows [Q]).

    Distance = Σ over A, B, C of the squared distance in that query's space, over its mean in the gallery. parts: the spaces to take from
    A, B and C; ("h", "h", "h") for an embedding that cannot be told which part to match.
    """
    gallery = setup.embed(run, task.gallery)
    total = 0.0
    for space, query in zip(parts, task.queries):
        q, g = (torch.from_numpy(np.asarray(z)) for z in (setup.embed(run, query)[space], gallery[space]))
        scale = g.std(dim=0) + 1e-8                           # every dimension counts alike
        distance = torch.cdist(q / scale, g / scale).square()
        total = total + distance / distance.mean()
    found = total.argmin(dim=1)
    right = task.gallery_key[found] == task.wanted
    return {**{name: float(right[:, i].float().mean()) for i, name in enumerate(("shape", "color", "pose"))},
            "all": float(right.all(dim=1).float().mean())}, found


def targets(setup: Setup) -> list[str]:
    """The columns of a table: labels, then factors; with continuous factors hue takes the place of color."""
    return [name for name in ("shape", "color", "hue", *POSE) if name in setup.val.labels or name in setup.val.factors]


def study(setup: Setup, seed: int, folder: str, **changes) -> dict[str, dict[str, float]]:
    """Train and probe one setting that differs from `setup` by `changes`; its table."""
    cell = vary(setup, **changes, out_dir=str(Path(setup.chosen["out_dir"]) / folder))
    return probe(cell, cell.fit(seed))

"""One image experiment from plain parameters: checked first, then data, views, models, training and probes on demand."""
from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from . import models, presets, probes, train
from .config import Train, known, numbers, one_of, whole, words, yes_or_no
from .data import images
from .data.images import Images
from .objective import FAMILIES, Objective
from .spaces import Spaces
from .views import Views

PARAMETERS = ("data_dir", "image_size", "epochs", "seeds", "seed", "groups", "family", "sizes", "lambdas", "adaptive", "epsilon", "paired",
              "separate_style", "backbone", "batch_size", "optimizer", "lr", "augmentation", "vanilla", "max_images", "probe_images", "precision", "device",
              "num_workers", "out_dir")

# What a parameter left empty becomes. `dim`: the joint embedding's, half of it content; `width`: of the
# cnn's first layer.
SHAPES = dict(family="entropy", sizes="8,4,4", dim=16, backbone="cnn", width=32, batch_size=128, optimizer="adamw", lr=1e-3, augmentation="shapes",
              hidden=(512,), warmup_epochs=2)
SMALL = dict(family="simclr", sizes="64,32,32", dim=128, backbone="cnn", width=64, batch_size=128, optimizer="adamw", lr=1e-3, augmentation="small",
             hidden=(512,), warmup_epochs=1)
PAPER = dict(family="simclr", sizes="1024,512,512", dim=2048, width=64, backbone="resnet50", batch_size=512, optimizer="lars", lr=0.5, augmentation="medium",
             hidden=(8192, 8192), warmup_epochs=10)
N_SHAPES, N_VAL, MIN_VAL = 2000, 1000, 20                     # rendered images; the fewest to probe with


@dataclass
class Run:
    """One trained model with what its probes need."""

    model: models.MultiSpace
    objective: Objective
    views: Views
    seed: int
    log: list[dict]
    table: dict = field(default_factory=dict)                 # filled by Setup.probe


@dataclass
class Setup:
    """Everything that the parameters decide, seed aside."""

    train: Images
    val: Images
    views: Views
    spaces: Spaces
    settings: Train
    chosen: dict                                              # the parameters as they came out
    device: torch.device
    source: str                                               # what the images are, in words
    train_probe: Images
    val_probe: Images

    def build(self, seed: int, vanilla=False) -> tuple[models.MultiSpace, Objective]:
        """A fresh network and objective; `vanilla`: one space of the same joint width."""
        c = self.chosen
        spaces = Spaces(("content",), (self.spaces.dim,)) if vanilla else self.spaces
        torch.manual_seed(seed)
        net, features = models.backbone(c["backbone"], c["image_size"], width=c["width"])
        model = models.MultiSpace(net, features, spaces, c["hidden"], c["separate_style"]).to(self.device)
        weights = numbers("lambdas", c["lambdas"], float)
        weights = None if vanilla or not weights else weights * len(spaces.sizes) if len(weights) == 1 else weights
        return model, Objective(c["family"], spaces, weights, self.views.paired and not vanilla, **c.get("options", {})).to(self.device)

    def fit(self, seed: int, vanilla=False, progress=True) -> Run:
        """Train one model; logs and weights under out_dir. Vanilla sees as many views: two per image, so more epochs."""
        model, objective = self.build(seed, vanilla)
        views, settings, name = self.views, replace(self.settings, seed=seed), "spaces"
        if vanilla:
            settings = replace(settings, epochs=math.ceil(settings.epochs * views.n_views / 2), adaptive=False)
            views, name = Views(views.query, views.key), "vanilla"
        batches = images.Batches(self.train, settings.batch_size, seed, self.device, self.chosen["num_workers"])
        folder = Path(self.chosen["out_dir"]) / f"{name}_seed{seed}"
        log = train.fit(model, objective, views, batches, settings, folder, f"{name}, seed {seed}", progress)
        described = self.chosen | {"spaces": dict(zip(model.spaces.names, model.spaces.sizes))}
        (folder / "experiment.json").write_text(json.dumps(described, indent=1, default=str))
        return Run(model, objective, views, seed, log)

    def embed(self, run: Run, split: Images) -> probes.Features:
        """Features of the plain images of a split that is in memory."""
        return probes.embed(run.model, split.pixels, run.views.query, normalise=run.objective.frozen_normalise)

    def probe(self, run: Run) -> dict[str, dict[str, float]]:
        """Label, factor and style probes of every space, also kept in run.table."""
        features = [self.embed(run, split) for split in (self.train_probe, self.val_probe)]
        labels = probes.label_probes(*features, self.train_probe, self.val_probe)
        styles = probes.style_probes(run.model, run.views, self.train_probe.pixels, self.val_probe.pixels,
                                     run.objective.frozen_normalise, run.seed)
        run.table = {space: labels[space] | styles[space] for space in labels}
        return run.table

    def sensitivity(self, run: Run) -> dict[str, dict[str, float]]:
        """Of every space to each group that has a style space; without any, to appearance and spatial."""
        groups = self.views.groups or ("appearance", "spatial")
        return probes.sensitivity(run.model, run.views, self.val_probe.pixels, groups, run.objective.frozen_normalise,
                                  self.chosen["family"] in ("entropy", "barlow"), run.seed)


def prepare(**params) -> Setup:
    """Check every parameter, fill in what was left empty, load the data. Raises ValueError, one line, before any work."""
    p = checked(params)
    device = train.pick_device(p["device"])
    p["data_dir"] = str(p["data_dir"] or os.environ.get("IMAGENET_DIR", ""))
    p["image_size"] = p["image_size"] or native_size(p["data_dir"], device)
    default = PAPER if p["image_size"] >= 224 else SMALL if p["data_dir"] else SHAPES
    default = default if p["data_dir"] else default | {"augmentation": "shapes"}
    for name, value in default.items():
        p[name] = p.get(name) or value
    if not params["lr"] and (p["optimizer"], p["family"]) != (default["optimizer"], "simclr"):
        p["lr"] = 1e-3 if p["optimizer"] == "adamw" else 0.3
    groups = words(p["groups"])
    if not params["sizes"] and len(groups) != 2:
        p["sizes"] = ",".join(map(str, even_sizes(p["dim"], len(groups))))
    spaces = Spaces.of(groups, numbers("sizes", p["sizes"], int))
    views = Views(*presets.preset(p["augmentation"]).pipelines(p["image_size"]), groups, p["paired"])
    settings = Train(epochs=p["epochs"], batch_size=p["batch_size"], optimizer=p["optimizer"], lr=p["lr"], precision=p["precision"],
                     warmup_epochs=p["warmup_epochs"], adaptive=p["adaptive"], epsilon=p["epsilon"])
    if p["paired"] and p["batch_size"] < len(groups) + 1:
        raise ValueError(f"batch_size {p['batch_size']} is too small for paired views with {len(groups)} groups; give {len(groups) + 1} or more")
    shell = Setup(None, None, views, spaces, settings, p, device, "", None, None)
    shell.build(0)                                            # a wrong backbone, weight or size is found before the data is read

    if p["data_dir"]:
        data = images.load(p["data_dir"], p["image_size"], num_workers=p["num_workers"], max_images=p["max_images"],
                           max_val=p["probe_images"], at_least=p["batch_size"])
        source = f"the images in `{Path(p['data_dir']).name}`"
    else:
        data = images.embedded(p["max_images"] or N_SHAPES, N_VAL, p["image_size"], device=device)
        source = "rendered shapes (ten shapes × ten textures × ten colours)"
    if len(data[1]) < MIN_VAL:
        raise ValueError(f"only {len(data[1])} held-out images: too few to probe with; give {MIN_VAL} or more")
    steps = settings.epochs * len(images.Batches(data[0], settings.batch_size))
    settings = replace(settings, warmup_epochs=min(settings.warmup_epochs, settings.epochs / 10), log_every=max(1, min(50, steps // 30)))
    some = [images.at_most(split, p["probe_images"], 0).decoded(p["num_workers"]) for split in data]
    return replace(shell, settings=settings, train=data[0], val=data[1], source=source, train_probe=some[0], val_probe=some[1])


def checked(params: dict) -> dict:
    """Names, types and ranges of the parameters; the command line's `true` and `false` become yes and no."""
    known(params, PARAMETERS)
    p = dict(params)
    yes_or_no(p, "adaptive", "paired", "separate_style", "vanilla")
    whole(p, image_size=16 if p["image_size"] else 0, seeds=1, seed=0, probe_images=50, num_workers=0, max_images=0, batch_size=0)
    if not isinstance(p["lr"], (int, float)) or not 0 <= p["lr"] < math.inf:
        raise ValueError(f"lr = {p['lr']!r}; give a number, such as 0.001, or 0 for the default")
    if p["family"]:
        one_of(p, family=FAMILIES)
    p["lambdas"] = str(p["lambdas"])
    numbers("lambdas", p["lambdas"], float)
    return p


def native_size(data_dir: str, device: torch.device) -> int:
    """The side of a view when none is given: 48 for shapes, a torchvision set's own, else 224 on a GPU and 64 on a CPU."""
    if not data_dir:
        return 48
    name = images.torchvision_name(data_dir)
    return images.TORCHVISION[name][1] if name else 224 if device.type == "cuda" else 64


def even_sizes(width: int, styles: int) -> list[int]:
    """Half of the width for content, the rest split evenly; all of it without styles."""
    return [width - styles * (width // (2 * styles)), *[width // (2 * styles)] * styles] if styles else [width]

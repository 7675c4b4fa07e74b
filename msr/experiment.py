"""One image experiment from plain parameters: checked first, then data, views, models, training and probes on demand."""
from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from . import checkpoint, dist, models, presets, probes, train, weights
from .config import Train, known, numbers, one_of, whole, words, yes_or_no
from .data import images
from .data.images import Images
from .log import lines_of
from .objective import FAMILIES, Objective
from .spaces import Spaces
from .views import Views

# What run.json leaves out; the notebook's own defaults (a test compares them), where each has its comment.
DEFAULTS = dict(data_dir="", val_dir="", max_bad=0.1, image_size=0, epochs=100, seeds=3, seed=0, groups="appearance,spatial", family="", sizes="", lambdas="",
                adaptive=False, epsilon=0.1, paired=False, separate_style=False, backbone="", init="", backbone_rate=1.0, batch_size=0, optimizer="", lr=0.0,
                augmentation="", vanilla=True, max_images=0, probe_images=4000, precision="auto", device="auto", devices=1, sync_batchnorm=True, save_every=0,
                num_workers=2, fresh=False, out_dir="runs/imagenet")
PARAMETERS = tuple(DEFAULTS)
# Parameters that do not change what a training run computes: it may be gone on with under others.
BESIDE = ("seeds", "seed", "probe_images", "device", "devices", "num_workers", "out_dir", "vanilla", "fresh", "max_bad", "profile", "study_epochs",
          "epochs", "save_every", "precision", "sync_batchnorm")

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
    asked: dict = field(default_factory=dict)                 # the parameters as they were given

    def network(self, vanilla=False) -> dict:
        """What `models.build` makes the network from; `vanilla`: one space of the same joint width."""
        c, spaces = self.chosen, Spaces(("content",), (self.spaces.dim,)) if vanilla else self.spaces
        return {"backbone": c["backbone"], "image_size": c["image_size"], "width": c["width"], "stem": c.get("stem", "auto"), "hidden": list(c["hidden"]),
                "separate_style": c["separate_style"], "spaces": dict(zip(spaces.names, spaces.sizes))}

    def build(self, seed: int, vanilla=False) -> tuple[models.MultiSpace, Objective]:
        """A fresh network, begun from `init` where that is given, and its objective."""
        c = self.chosen
        torch.manual_seed(seed)
        model = models.build(**self.network(vanilla))
        if c.get("init"):
            weights.begin_from(model, c["init"])
        given = numbers("lambdas", c["lambdas"], float)
        given = None if vanilla or not given else given * len(model.spaces.sizes) if len(given) == 1 else given
        objective = Objective(c["family"], model.spaces, given, self.views.paired and not vanilla, **c.get("options", {}))
        return model.to(self.device), objective.to(self.device)

    def fit(self, seed: int, vanilla=False, progress=True) -> Run:
        """Train one model; logs and weights under out_dir, on `devices` processes where these are more than one. Vanilla sees as many
        views: two per image, so more epochs. A run that out_dir holds already is gone on with, or loaded (`train.fit`)."""
        model, objective = self.build(seed, vanilla)
        views, settings, name = self.views, replace(self.settings, seed=seed), "spaces"
        if vanilla:
            settings = replace(settings, epochs=math.ceil(settings.epochs * views.n_views / 2), adaptive=False)
            views, name = Views(views.query, views.key), "vanilla"
        folder, title = Path(self.chosen["out_dir"]) / f"{name}_seed{seed}", f"{name}, seed {seed}"
        if self.chosen.get("devices", 1) > 1 and dist.world_size() == 1:
            self.spread(seed, name, folder, title, settings, progress)
            state = checkpoint.latest(folder)
            model.load_state_dict(state["model"])
            objective.load_state_dict(state["objective"])
            return Run(model.eval(), objective, views, seed, lines_of(folder, state["step"]))
        batches = images.Batches(self.train, settings.batch_size, seed, self.device, self.chosen["num_workers"])
        asked = {k: v for k, v in self.chosen.items() if k not in BESIDE} | {"images": len(self.train)}
        config = {"network": self.network(vanilla), "experiment": asked}
        log = train.fit(model, objective, views, batches, settings, folder, title, progress, config, self.chosen.get("fresh", False))
        if self.train.report:
            report = self.train.report.merge(dist.everyone(self.train.report))
            if dist.rank() == 0:
                report.write(folder / "files.json")
                if self.train.pixels is None and report.skipped:
                    print(f"{title}: {report.summary()}; all named in {folder / 'files.json'}", flush=True)
        return Run(model, objective, views, seed, log)

    def spread(self, seed: int, name: str, folder: Path, title: str, settings: Train, progress: bool) -> None:
        """Train one model by `devices` processes of `python -m msr.train`, and follow their log. Raises, in one line, what stopped them."""
        out = Path(self.chosen["out_dir"])
        out.mkdir(parents=True, exist_ok=True)
        run, printed = out / f"{name}_seed{seed}.json", out / f"{name}_seed{seed}.txt"
        run.write_text(json.dumps(self.asked | {"seeds": 1, "seed": seed, "only": name}, indent=1))
        total = settings.epochs * (len(self.train) // settings.batch_size)
        with open(printed, "w") as text, train.Progress(total, title, progress) as bar:
            process = dist.launch("msr.train", str(run), self.chosen["devices"], stdout=text, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    time.sleep(0.5)
                    for line in lines_of(folder, total)[-1:]:
                        bar.update(line["step"], f"{self.chosen['devices']} processes, loss {line['loss']:.3f}, {line['images_per_second']:.0f} images/s")
            finally:
                if process.poll() is None:                    # interrupted: they save and stop
                    process.terminate()
                    process.wait(60)
        said = printed.read_text().splitlines()
        for line in said:
            if line.startswith((f"{name}, seed {seed}: complete", f"{name}, seed {seed}: going on", f"{name}, seed {seed}: {folder}")):
                print(line)
        if process.returncode:
            kind, _, message = next((line[5:].partition(": ") for line in said if line.startswith("msr: ")), ("", "", ""))
            raise ERRORS.get(kind, RuntimeError)(message or f"the training processes failed with status {process.returncode}; what they printed is in {printed}")

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
    if p["devices"] > 1 and (device.index is not None or (device.type == "cuda" and p["devices"] > torch.cuda.device_count())):
        raise ValueError(f"devices {p['devices']} with device '{p['device']}': there are {torch.cuda.device_count()} GPUs; give at most so many, and device cuda or cpu")
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
    p["stem"] = weights.stem_of(p["init"])
    spaces = Spaces.of(groups, numbers("sizes", p["sizes"], int))
    views = Views(*presets.preset(p["augmentation"]).pipelines(p["image_size"]), groups, p["paired"])
    settings = Train(epochs=p["epochs"], batch_size=p["batch_size"], optimizer=p["optimizer"], lr=p["lr"], precision=p["precision"],
                     warmup_epochs=p["warmup_epochs"], adaptive=p["adaptive"], epsilon=p["epsilon"], backbone_rate=float(p["backbone_rate"]),
                     sync_batchnorm=p["sync_batchnorm"], save_every=p["save_every"])
    if p["batch_size"] % p["devices"]:
        raise ValueError(f"batch_size {p['batch_size']} does not divide over {p['devices']} devices; give a multiple")
    if p["paired"] and p["batch_size"] < len(groups) + 1:
        raise ValueError(f"batch_size {p['batch_size']} is too small for paired views with {len(groups)} groups; give {len(groups) + 1} or more")
    shell = Setup(None, None, views, spaces, settings, p, device, "", None, None, dict(params))
    shell.build(0)                                            # a wrong backbone, weight or size is found before the data is read

    if p["data_dir"]:
        data = images.load(p["data_dir"], p["image_size"], num_workers=p["num_workers"], max_images=p["max_images"],
                           max_val=p["probe_images"], at_least=p["batch_size"], val_dir=p["val_dir"], max_bad=p["max_bad"])
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
    yes_or_no(p, "adaptive", "paired", "separate_style", "vanilla", "fresh", "sync_batchnorm")
    whole(p, devices=1, save_every=0, image_size=16 if p["image_size"] else 0, seeds=1, seed=0, probe_images=50, num_workers=0, max_images=0, batch_size=0)
    if not isinstance(p["lr"], (int, float)) or not 0 <= p["lr"] < math.inf:
        raise ValueError(f"lr = {p['lr']!r}; give a number, such as 0.001, or 0 for the default")
    for name, high in (("backbone_rate", math.inf), ("max_bad", 1)):
        if not isinstance(p[name], (int, float)) or isinstance(p[name], bool) or not 0 <= p[name] <= high:
            raise ValueError(f"{name} = {p[name]!r}; give a number from 0" + (" to 1" if high == 1 else " on"))
    if p["backbone_rate"] != 1 and not p["init"]:
        raise ValueError(f"backbone_rate {p['backbone_rate']} without init: the backbone's own rate is for one that begins from trained weights; give init, or 1")
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


ERRORS = {kind.__name__: kind for kind in (ValueError, TypeError, train.NonFiniteLoss, train.Stopped)}
STATUS = {"Stopped": 143}                                     # as of a process that SIGTERM ended


def main() -> None:
    """`python -m msr.train run.json`, alone or under torchrun: train what the notebook of the same parameters trains, where it finds it.

    run.json: parameters of book/imagenet.ipynb by name; one left out has the notebook's default. Its `only` ("spaces" or "vanilla") leaves
    the other out. Ends with 0; with 143 after a SIGTERM, all saved; with 2 and one line for what is wrong.
    """
    try:
        if len(sys.argv) != 2:
            raise ValueError("give one file: python -m msr.train run.json")
        try:
            params = json.loads(Path(sys.argv[1]).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"{sys.argv[1]} cannot be read as JSON: {error}") from None
        only = params.pop("only", "")
        known(DEFAULTS | params, PARAMETERS)
        dist.start()
        setup = prepare(**DEFAULTS | params | {"devices": dist.world_size()})
        for seed in range(setup.chosen["seed"], setup.chosen["seed"] + setup.chosen["seeds"]):
            for name in ("spaces", "vanilla"):
                if only == name or not only and (name == "spaces" or setup.chosen["vanilla"]):
                    setup.fit(seed, vanilla=name == "vanilla")
    except tuple(ERRORS.values()) as error:
        if dist.rank() == 0 or not isinstance(error, train.NonFiniteLoss | train.Stopped):
            print(f"msr: {type(error).__name__}: {error}", flush=True)
        sys.exit(STATUS.get(type(error).__name__, 2))
    finally:
        dist.stop()

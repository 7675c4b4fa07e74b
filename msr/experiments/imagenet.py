"""The experiment on any images: photographs in a folder, a named set, or rendered shapes.

It is named after its notebook, `book/imagenet.ipynb`. Parameters that are left empty get values
that suit the images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from msr.augment import pipelines
from msr.config import Number, Place, Whole
from msr.data import RENDERED, Batches, Images, load
from msr.data.images import at_most
from msr.data.torchvision_sets import TORCHVISION, torchvision_name
from msr.experiments import limits
from msr.experiments.image_parameters import ImageParameters
from msr.experiments.parameters import parameter
from msr.experiments.plan import Plan
from msr.experiments.setup import Setup
from msr.report.names import code
from msr.spaces import Spaces
from msr.train import pick_device
from msr.views import Views

# Values of the parameters that are left empty, for each kind of images. `dim` is the width of the
# joint embedding where the number of groups is not two; half of it is content.
SHAPES: dict[str, Any] = {
    "family": "entropy",
    "content_spread": 1.0,
    "sizes": (16, 4, 4),
    "lambdas": (1.0, 2.0, 2.0),
    "dim": 24,
    "backbone": "alexnet",
    "width": 32,
    "hidden": (512,),
    "batch_size": 64,
    "optimizer": "adamw",
    "lr": 4e-3,
    "warmup_epochs": 2.0,
    "augmentation": "shapes",
}
PHOTOGRAPHS = SHAPES | {
    "family": "simclr",
    "sizes": (64, 32, 32),
    "lambdas": (),
    "dim": 128,
    "lr": 2e-3,
    "warmup_epochs": 1.0,
    "augmentation": "small",
}
PAPER = PHOTOGRAPHS | {
    "content_spread": 0.0,
    "sizes": (1024, 512, 512),
    "dim": 2048,
    "backbone": "resnet50",
    "hidden": (8192, 8192),
    "batch_size": 512,
    "optimizer": "lars",
    "lr": 0.5,
    "warmup_epochs": 10.0,
    "augmentation": "medium",
}
LARGE = 224  # images of at least so many pixels a side have the paper's setting by default
LR = {"adamw": 1e-3, "lars": 0.3, "sgd": 0.3}  # where family or optimizer is not the preset's
# numbers of rendered images for training and held out; fewest held-out images to score a probe on
N_SHAPES, N_VAL, MIN_VAL = 2000, 1000, 20


class FolderParameters(ImageParameters):
    """Parameters of experiments on a user's images: where these are and how they are read."""

    data_dir: Place = parameter("", "folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes")
    val_dir: Place = parameter("", "held-out images; empty: val/ in data_dir, else a tenth of it")
    max_bad: Number = parameter(
        0.1, "share of files that may be unreadable; those are skipped", decides=False, ge=0, le=1
    )
    augmentation: str = parameter(
        "", "weak, medium, strong, small or shapes; empty: follows the images"
    )
    num_workers: Whole = parameter(
        2, "processes that decode image files, for each device", decides=False, ge=0, le=256
    )


class Parameters(FolderParameters):
    """The parameters of book/imagenet.ipynb."""

    NAME: ClassVar[str] = "imagenet"
    FIRST: ClassVar[tuple[str, ...]] = (
        "data_dir",
        "image_size",
        "epochs",
        "seeds",
        "groups",
        "family",
        "sizes",
        "out_dir",
    )

    out_dir: Place = parameter(
        "runs/imagenet", "weights, logs and metrics.json go here", decides=False
    )
    vanilla: bool = parameter(
        True, "also train plain self-supervision, for comparison", decides=False
    )
    probe_images: Whole = parameter(
        4000,
        "largest number of images to fit probes on, and to score them on",
        decides=False,
        ge=50,
        le=10**6,
    )
    linear_probe: bool = parameter(
        False, "also the field's linear probe: all images, top-1 and top-5", decides=False
    )


def prepare(config: Parameters) -> Setup:
    """Fill in what was left empty, check that the parameters fit together, and load the images.

    Raises ValueError, one line, before any training.
    """
    limits.writable(config.out_dir)
    return load_data(plan(config), config, config.probe_images)


def plan(asked: FolderParameters) -> Plan:
    """Return everything that the parameters decide before any image is read.

    Raises ValueError, one line, for parameters that do not fit together.
    """
    device = pick_device(asked.device)
    config = filled(asked, device)
    groups, size = config.groups, config.image_size
    spaces = Spaces.of(groups, config.sizes)
    views = Views(*pipelines(config.augmentation, size), groups, config.paired)
    found = Plan(config, views, spaces, config.training(), device)
    found.check()
    return found


def filled(asked: FolderParameters, device: torch.device) -> Any:
    """Return the parameters with everything filled in that was left empty.

    Raises ValueError, one line, for images of less than 16 pixels a side.
    """
    data_dir = asked.data_dir or os.environ.get("IMAGENET_DIR", "")
    size = asked.image_size or native_size(data_dir, device)
    if size < 16:
        raise ValueError(f"image_size = {size}; give 16 or more, or 0 for the images' own")
    rendered = not data_dir or data_dir in RENDERED
    if rendered and asked.val_dir:
        raise ValueError(f"val_dir '{asked.val_dir}' without data_dir; give both, or neither")
    preset = PAPER if size >= LARGE else SHAPES if rendered else PHOTOGRAPHS
    preset = preset | ({"augmentation": "shapes"} if rendered else {})
    if len(asked.groups) != 2 or asked.family not in ("", preset["family"]):
        preset = preset | {"lambdas": ()}  # chosen for this family and two styles
    preset = preset | {"warmup_epochs": min(preset["warmup_epochs"], asked.epochs / 10)}
    empty = {name: value for name, value in preset.items() if is_empty(asked, name)}
    config = asked.change(**empty, data_dir=data_dir, image_size=size)
    usual = (config.optimizer, config.family) == (preset["optimizer"], preset["family"])
    if not asked.lr and not usual:
        config = config.change(lr=LR[config.optimizer])
    if not asked.sizes and len(config.groups) != 2:
        config = config.change(sizes=even_sizes(preset["dim"], len(config.groups)))
    return config


def is_empty(asked: FolderParameters, name: str) -> bool:
    """Return whether a parameter of this name was left empty; False if there is none.

    Where None stands for empty, 0 is a value.
    """
    known = type(asked).model_fields
    if name not in known:
        return False
    value = getattr(asked, name)
    return value is None if known[name].default is None else not value


def load_data(plan: Plan, asked: FolderParameters, probe_images: int) -> Setup:
    """Return the plan with its images, which are read or rendered here.

    asked: the parameters as they were given. probe_images: the most images to fit probes on, and to
    score them on; files are chosen here, and decoded when a probe first needs them. Raises
    ValueError, one line, if there are too few images.
    """
    config: Any = plan.config
    on_all = getattr(config, "linear_probe", False)
    train, val, source = read_images(config, 0 if on_all else probe_images, plan.device)
    if on_all and not train.labels:
        raise ValueError("linear_probe needs images in class folders; these have no classes")
    if len(val) < MIN_VAL:
        raise ValueError(
            f"only {len(val)} held-out images: too few to probe with; give {MIN_VAL} or more"
        )
    if val.pixels is None:  # a few are enough to find a folder of which nothing can be read
        at_most(val, MIN_VAL, 0).decoded()
    steps = config.epochs * len(Batches(train, config.batch_size))
    log_every = config.log_every or max(1, min(50, steps // 30))
    training = plan.training.change(log_every=log_every)
    return Setup(
        **vars(plan) | {"training": training},
        train=train,
        val=val,
        train_probe=at_most(train, probe_images, 0),
        val_probe=at_most(val, probe_images, 0),
        source=source,
        asked=asked,
    )


def read_images(config: Any, max_val: int, device: torch.device) -> tuple[Images, Images, str]:
    """Return (training images, held-out images, what they are in words).

    max_val: the largest number of held-out images read from files. device: where images are
    rendered. Raises ValueError, one line, for images that cannot be read.
    """
    if config.data_dir and config.data_dir not in RENDERED:
        train, val = load(
            config.data_dir,
            config.image_size,
            num_workers=config.num_workers,
            max_images=config.max_images,
            max_val=max_val,
            at_least=config.batch_size,
            val_dir=config.val_dir,
            max_bad=config.max_bad,
            decode_val=False,
        )
        return train, val, f"the images in {code(Path(config.data_dir).name)}"
    name = config.data_dir or "shapes"
    n = config.max_images or N_SHAPES
    if config.batch_size > n:
        raise ValueError(
            f"batch_size {config.batch_size} is larger than the {n} training images; "
            f"give {n} or less, or more max_images"
        )
    limits.rendered(n + N_VAL, config.image_size, "max_images")
    train, val = RENDERED[name](
        n_train=n, n_val=N_VAL, size=config.image_size, seed=0, device=device
    )
    train, val = replace(train, listing=name), replace(val, listing=name)
    what = {"shapes": "rendered shapes (ten shapes × ten textures × ten colours)"}
    return train, val, what.get(name, f"rendered images, `{name}`")


def native_size(data_dir: str, device: torch.device) -> int:
    """Return the side of a view, in pixels, for an `image_size` of 0.

    It is 48 for rendered images, and that of its images for a torchvision set; for other images it
    is 224 on a GPU and 64 on a CPU.
    """
    if not data_dir or data_dir in RENDERED:
        return 48
    name = torchvision_name(data_dir)
    return TORCHVISION[name].side if name else LARGE if device.type == "cuda" else 64


def even_sizes(width: int, styles: int) -> Sequence[int]:
    """Return sizes of content and of each style space that add up to `width`.

    Content gets half of it, or all if there are no styles; the styles share the rest evenly.
    """
    if not styles:
        return [width]
    style = width // (2 * styles)
    return [width - styles * style, *[style] * styles]

"""The sprites experiment: images whose factors are known, each predicted from every space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import field_validator

from msr.augment.presets import SPRITE_PRESETS, pipelines
from msr.config import Number, Numbers, Place, Whole, Wholes, choose
from msr.data import Images, dsprites
from msr.data.images import at_most
from msr.evaluate import dci, probes
from msr.experiments import limits
from msr.experiments.image_parameters import ImageParameters
from msr.experiments.parameters import Seed, parameter
from msr.experiments.plan import Plan
from msr.experiments.remembered import of_images, remembered
from msr.experiments.setup import ImageRun, Row, Setup
from msr.spaces import Spaces
from msr.train import pick_device
from msr.views import Views

FACTORS = ("shape", "color", "hue", "scale", "orientation", "x", "y")


class Parameters(ImageParameters):
    """The parameters of book/sprites.ipynb."""

    NAME: ClassVar[str] = "sprites"
    FIRST: ClassVar[tuple[str, ...]] = (
        "epochs",
        "seeds",
        "max_images",
        "strength",
        "groups",
        "family",
        "sizes",
        "out_dir",
    )

    epochs: Whole = parameter(20, "passes over the training images", decides=False, ge=1)
    seed: Seed = parameter(
        20, "seed of the first run; the others take the next ones", decides=False
    )
    max_images: Whole = parameter(20000, "training images, drawn from 7,372,800 sprites", ge=2)
    image_size: Whole = parameter(32, "pixels a side; the original dSprites has 64", ge=16, le=4096)
    family: str = parameter("entropy", "simclr, vicreg, barlow, entropy")
    sizes: Wholes = parameter((4, 3, 5), "dimensions of content and of each style space")
    lambdas: Numbers = parameter((1.0,), "λ: weight of each space's alignment, or one for all")
    content_spread: Number | None = parameter(
        0.0, "weight of a further spread, of the content space alone; 0: none", ge=0
    )
    backbone: str = parameter("vgg", "cnn, vgg, alexnet, resnet18, resnet34, resnet50")
    width: Whole = parameter(16, "channels of the first layer of a small network", ge=1)
    hidden: Wholes = parameter((512,), "widths of the projector's hidden layers")
    batch_size: Whole = parameter(128, "images per step, over all devices", ge=2)
    optimizer: Literal["adamw", "lars", "sgd"] = parameter("adamw", "adamw, lars or sgd")
    lr: Number = parameter(4e-3, "peak learning rate (lars and sgd: per 256 images)", gt=0)
    warmup_epochs: Number | None = parameter(
        None, "epochs in which lr rises; None: a tenth of all", ge=0
    )
    dual_warmup_epochs: Number | None = parameter(
        None, "epochs before the dual ascent begins; None: a tenth of all", ge=0
    )
    out_dir: Place = parameter(
        "runs/sprites", "weights, logs and metrics.json go here", decides=False
    )

    strength: str = parameter("strong", "augmentations: weak, medium, strong, shifted, full_circle")
    continuous: bool = parameter(
        False, "draw factors and hue from continuous ranges, not from a grid"
    )
    npz: Place = parameter("", "path of the original dSprites file; empty: sprites are rendered")
    probe_images: Whole = parameter(
        4000,
        "sprites to fit probes on, and as many held-out ones to score on",
        decides=False,
        ge=50,
        le=10**6,
    )
    study_epochs: Whole = parameter(
        0, "epochs of each run in a study; 0: a quarter of epochs", decides=False, ge=0
    )
    kept_studies: bool = parameter(
        False, "in a short run: show the studies of the kept run, train none", decides=False
    )

    @field_validator("strength")
    @classmethod
    def _known_strength(cls, strength: str) -> str:
        choose("strength", strength, SPRITE_PRESETS)
        return strength


# ------------------------------------------------------------------------------------- settings


def prepare(config: Parameters) -> Setup:
    """Check that the parameters fit together, and render the sprites.

    Raises ValueError, one line, before any training.
    """
    if config.batch_size > config.max_images:
        raise ValueError(
            f"batch_size {config.batch_size} is larger than the {config.max_images} training "
            f"images; give {config.max_images} or less"
        )
    limits.writable(config.out_dir)
    plan = planned(config)
    plan.check()
    limits.rendered(config.max_images + config.probe_images, config.image_size, "max_images")
    train, val = dsprites.load(
        n_train=config.max_images,
        n_val=config.probe_images,
        size=config.image_size,
        seed=config.seed,
        continuous=config.continuous,
        npz=config.npz,
        device=plan.device,
    )
    source = "rendered sprites" + ", continuous factors" * config.continuous
    if config.npz:
        source = f"the pixels of `{Path(config.npz).name}`, coloured"
    return Setup(
        **vars(plan),
        train=train,
        val=val,
        train_probe=at_most(train, config.probe_images, 0),
        val_probe=val,
        source=source,
        asked=config,
    )


def planned(config: Parameters) -> Plan:
    """Return everything that the parameters decide without the data.

    Raises ValueError, one line, for a device that cannot be used, and for groups or sizes that do
    not fit.
    """
    device = pick_device(config.device)
    query, key = pipelines(SPRITE_PRESETS[config.strength], config.image_size)
    steps = config.epochs * (config.max_images // config.batch_size)
    a_tenth = config.epochs / 10
    warm = {
        name: a_tenth if getattr(config, name) is None else getattr(config, name)
        for name in ("warmup_epochs", "dual_warmup_epochs")
    }
    training = config.training(**warm, log_every=config.log_every or max(1, steps // 60))
    spaces = Spaces.of(config.groups, config.sizes)
    views = Views(query, key, config.groups, config.paired)
    return Plan(config, views, spaces, training, device)


def vary(setup: Setup, **changes: Any) -> Setup:
    """Return the same experiment with some parameters changed; the data are shared.

    Do not change the parameters that decide the data (max_images, image_size, continuous, npz):
    the sprites are not rendered again.
    """
    return setup.vary(planned, **changes)


def study(
    setup: Setup, seed: int, folder: str, changes: Mapping[str, Any] | None = None
) -> dict[str, Row]:
    """Train one setting that differs from `setup` by `changes`, and return its table.

    changes: {parameter: value}. folder: where it is saved, inside out_dir. The table is that of
    `probe`, without h and joined. No progress bar is shown.
    """
    cell = vary(setup, **(changes or {}), out_dir=str(Path(setup.config.out_dir) / folder))
    return probe(cell, cell.fit(seed, progress=False), cell.spaces.names)


# --------------------------------------------------------------------------------------- probes


def probe(setup: Setup, run: ImageRun, spaces: Sequence[str] = ()) -> dict[str, Row]:
    """Return {space: {factor: score}} on held-out sprites without augmentation.

    The score of shape and color is top-1 accuracy (`probes.classify`), that of the other factors R²
    (`probes.many`). spaces: those to probe; empty: h, every space and joined. The table is also
    kept in `run.table`, and beside the run's weights (see `remembered`).
    """
    train, val = setup.train_probe, setup.val_probe

    def measure() -> dict[str, Row]:
        z, z_val = setup.embed(run, train), setup.embed(run, val)
        found = {
            space: factors(z[space], train, z_val[space], val, probes.side_by_side(z, space))
            for space in spaces or z
        }
        return probes.nested(found)

    about = [repr(run.objective.spaces), repr(spaces), *map(of_images, (train, val))]
    run.table = remembered(run.folder, about, measure)
    return run.table


def factors(
    z: Any, split: Images, z_test: Any, test: Images, sizes: Sequence[int] = ()
) -> dict[str, probes.Reading]:
    """Return {factor: held-out score} of one space.

    z [N, d]: its features of `split`, to fit on; z_test: those of `test`, to score on. sizes as in
    `readers.lift`.
    """
    row = {
        name: probes.classify(z, y.numpy(), z_test, test.labels[name].numpy(), sizes=sizes)
        for name, y in split.labels.items()
    }
    y, y_test = ({k: v.numpy() for k, v in side.factors.items()} for side in (split, test))
    return row | probes.many(z, y, z_test, y_test, sizes)


def dci_es(setup: Setup, run: ImageRun) -> Row:
    """Return DCI-ES of all spaces joined against all factors (see `evaluate.dci.scores`).

    Shape and color have one column per class, orientation (and hue) those of sine and cosine;
    scale, x and y are taken as they are.
    """

    def columns(split: Images) -> Any:
        hot = [
            torch.nn.functional.one_hot(y, len(split.classes[name])).float()
            for name, y in split.labels.items()
        ]
        others = [v.reshape(len(v), -1).float() for v in split.factors.values()]
        return torch.cat([*hot, *others], dim=1).numpy()

    sides = (setup.train_probe, setup.val_probe)
    z, z_val = (setup.embed(run, split)["joined"] for split in sides)
    return dci.scores(z, columns(sides[0]), z_val, columns(sides[1]), run.seed)


def targets(setup: Setup) -> list[str]:
    """Return the columns of a table, in the order of `FACTORS`.

    A continuous hue takes the place of color.
    """
    there = setup.val.labels.keys() | setup.val.factors.keys()
    return [name for name in FACTORS if name in there]


def summary(table: dict[str, Row], homes: dict[str, str]) -> Row:
    """Return a table as five numbers: what each space should predict, and content should not.

    homes: {factor: its space}, as `homes` returns it. Colour is an accuracy, or the R² of a
    continuous hue; position is the mean R² of x and y.
    """

    def place(space: str) -> float:
        return (table[space]["x"] + table[space]["y"]) / 2

    tint = "color" if "color" in table["content"] else "hue"
    return {
        "shape": table["content"]["shape"],
        "color": table[homes[tint]][tint],
        "position": place(homes["x"]),
        "color_in_content": table["content"][tint],
        "position_in_content": place("content"),
    }


def homes(setup: Setup) -> dict[str, str]:
    """Return {factor: the space that should encode it}.

    This is the space of the group that changes the factor, or content if none does. In contrast to
    `Views.homes`, the change need not be wide enough to hide the factor.
    """
    found = dict.fromkeys(FACTORS, "content")
    for group, names in setup.views.members.items():
        for name in names:
            changed = setup.views.query.transforms[name].changes
            found |= {factor: group for factor in changed if factor in found}
    return found

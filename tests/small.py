"""Experiments small enough for tests; lists are written as text, as papermill's -p gives them."""

from typing import Any

import pytest

from msr.experiments import imagenet, price, sprites, transfer
from msr.experiments.setup import Setup

IMAGENET = dict(
    image_size=16,
    epochs=1,
    seeds=1,
    batch_size=16,
    max_images=64,
    probe_images=60,
    precision="float32",
    device="cpu",
    num_workers=0,
    out_dir="",
)

SPRITES = dict(
    epochs=1,
    max_images=64,
    probe_images=60,
    seeds=1,
    seed=0,
    sizes="3,3,5",
    lambdas="1",
    temperature=1.0,
    backbone="cnn",
    width=4,
    hidden="16",
    batch_size=32,
    lr=1e-3,
    precision="float32",
    device="cpu",
    out_dir="",
    profile="",
)

TRANSFER = {name: value for name, value in IMAGENET.items() if name != "probe_images"} | dict(
    seed=0, task_images=120, n_l2=2, profile="smoke"
)


def few_shapes(patch: pytest.MonkeyPatch) -> None:
    """Let experiments on images render shapes, whatever the environment says, and hold out 60."""
    patch.delenv("IMAGENET_DIR", raising=False)
    patch.setattr(imagenet, "N_VAL", 60)


def imagenet_setup(**changes: Any) -> Setup:
    """The experiment on images, with some parameters changed."""
    return imagenet.prepare(imagenet.Parameters(**IMAGENET | changes))


def price_setup(out_dir: object, **changes: Any) -> Setup:
    """The experiment of the price page, with a tiny network and some parameters changed."""
    given = IMAGENET | {"width": 4, "hidden": "8", "out_dir": str(out_dir)}
    return price.prepare(price.Parameters(**given | changes))


def sprites_setup(**changes: Any) -> Setup:
    """The experiment on sprites, with some parameters changed."""
    return sprites.prepare(sprites.Parameters(**SPRITES | changes))


def transfer_setup(**changes: Any) -> tuple[Setup, list[transfer.Task]]:
    """The transfer experiment, with some parameters changed, and its tasks."""
    config = transfer.Parameters(**TRANSFER | changes)
    setup = transfer.prepare(config)
    return setup, transfer.downstream(config, setup)

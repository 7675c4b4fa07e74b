"""The price of style: what changes when one choice of the method changes at a time.

Each variation is the experiment on images with one change; plain self-supervision stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from msr.config import Place, Whole, Words, choose
from msr.experiments import imagenet
from msr.experiments.parameters import Seed, parameter
from msr.experiments.setup import Setup
from msr.losses import FAMILIES
from msr.models import RESNETS
from msr.report.price_sentences import LITTLE, OURS

Changes = dict[str, Any]  # {parameter: value}
PLAIN, BOUND, APART = "plain SSL", "trained on labels", "flips apart"
LIGHT = f"{PLAIN}, no further spread"


class Cell(NamedTuple):
    """One variation of the experiment: the parameters that it changes, and what is trained.

    kind: the spaces, plain self-supervision, or the same network on labels (`supervised`).
    """

    changes: Changes
    kind: Literal["spaces", "plain", "labels"] = "spaces"


class Parameters(imagenet.Parameters):
    """The parameters of book/price.ipynb: those of book/imagenet.ipynb, with other defaults."""

    NAME: ClassVar[str] = "price"
    FIRST: ClassVar[tuple[str, ...]] = ("data_dir", "image_size", "epochs", "seeds", "studies")

    epochs: Whole = parameter(8, "passes over the training images", decides=False, ge=1)
    seed: Seed = parameter(
        40, "seed of the first run; the others take the next ones", decides=False
    )
    out_dir: str = parameter("runs/price", "weights, logs and metrics.json go here", decides=False)
    studies: Words = parameter(
        (), 'studies to run, such as ["objective"]; empty: all', decides=False
    )
    reference: Place = parameter(
        "", "metrics.json to show where data_dir is empty; empty: train", decides=False
    )


prepare = imagenet.prepare


def vary(setup: Setup, folder: str, **changes: Any) -> Setup:
    """Return the same experiment with some parameters changed; the data are shared.

    folder: where it is saved, inside out_dir. Do not change the parameters that decide the data.
    """
    return setup.vary(imagenet.plan, **changes, out_dir=str(Path(setup.asked.out_dir) / folder))


def studies(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, dict[str, Changes]]:
    """Return {study: {variation: the parameters that it changes}}; "default" changes nothing.

    wanted: names of studies, among them PLAIN for more forms of plain self-supervision (see
    `rivals`); empty: all. Raises ValueError, one line, for an unknown name.
    """
    c = setup.config
    content, *styles = c.sizes
    weights = weights_of(setup)
    hidden, other = list(c.hidden), "alexnet" if c.backbone == "cnn" else "cnn"

    def weighted(factor: float) -> Changes:
        return {"lambdas": [weights[0] * factor, *weights[1:]]}

    def wide(size: int) -> Changes:
        return {"sizes": [size, *styles]}

    found: dict[str, dict[str, Changes]] = {
        "objective": {
            "default": {},
            "content: query and key 0": {"content_pairs": "query"},
            "no content spread": {"content_spread": 0.0},
            "separate spreads": {"joint": False, "content_spread": 0.0},
        },
        "steps": {"default": {}} | larger_batches(setup),
        "content width": {"default": {}}
        | {f"{size} dimensions": wide(size) for size in (content // 2, 2 * content) if size},
        "weight of content": {"default": {}} | {"λ × ⅓": weighted(1 / 3), "λ × 3": weighted(3)},
        "projector": {"default": {}, "one layer more": {"hidden": [*hidden, hidden[-1]]}},
        "backbone": {"default": {}, other: {"backbone": other}} | half_as_wide(setup),
        "epochs": {"default": {}} | {f"epochs × {n}": {"epochs": n * c.epochs} for n in (2, 4)},
    }
    if c.family == "entropy":
        found["objective"]["entropy of two views"] = {"loss_settings": {"views": 2}}
    found["denominator"] = {"default": {}}
    if c.family == "simclr" and "denominator" not in c.loss_settings:
        changed = {"loss_settings": c.loss_settings | {"denominator": "ntxent"}}
        found["denominator"]["views of an image apart"] = changed
    found["sharing"] = {"default": {}} | sharing(setup)
    for name in wanted:
        choose("study", name, [*found, PLAIN])
    return {name: some for name, some in found.items() if name in (wanted or found)}


def larger_batches(setup: Setup) -> dict[str, Changes]:
    """Return the variation with batches twice as large, if there are so many images."""
    twice = 2 * setup.config.batch_size
    fits = twice <= len(setup.train)
    return {"batches twice as large": {"batch_size": twice}} if fits else {}


def half_as_wide(setup: Setup) -> dict[str, Changes]:
    """Return the variation with a backbone half as wide, if its width can be chosen."""
    c = setup.config
    chosen = c.backbone not in RESNETS and c.width > 1
    return {"half as wide": {"width": c.width // 2}} if chosen else {}


def sharing(setup: Setup) -> dict[str, Changes]:
    """Return variations of what views share: one key per image, and flips as a group of their own.

    A single key makes as many views of more passes over the images.
    """
    c, views = setup.config, setup.views
    found: dict[str, Changes] = {}
    if not c.paired:
        longer = setup.epochs(vanilla=True)  # it has two views per image as well
        found["one key per image"] = {"paired": True, "epochs": longer}
    if {"crop", "flip"} == set(views.members.get("spatial", ())):
        groups = [
            g for name in c.groups for g in (["crop", "flip"] if name == "spatial" else [name])
        ]
        at = c.groups.index("spatial") + 1  # of its size and its weight
        flips = max(1, c.sizes[at] // 4)
        weights = weights_of(setup)
        found[APART] = {
            "groups": groups,
            "sizes": [*c.sizes[: at + 1], flips, *c.sizes[at + 1 :]],
            "lambdas": [*weights[: at + 1], weights[at], *weights[at + 1 :]],
        }
    return found


def rivals(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, Changes]:
    """Return the forms of plain self-supervision to compare with, {name: what it changes}.

    The first is that of book/imagenet.ipynb, the second has no further spread of content, if ours
    has one. Others change the first: as wide as the content space, with batches of as many views
    instead of as many images, with a backbone half as wide, or four times as long. wanted: names of
    studies; only the first two are left if PLAIN is not among them; empty: all.
    """
    c = setup.config
    groups, width, content = len(c.groups), sum(c.sizes), c.sizes[0]
    light: Changes = {"content_spread": 0.0}
    found: dict[str, Changes] = {PLAIN: {}} | ({LIGHT: light} if c.content_spread else {})
    if wanted and PLAIN not in wanted:
        return found
    narrow = [content - groups * max(1, content // 4), *[max(1, content // 4)] * groups]
    if content != width and min(narrow) > 0:
        found[f"{PLAIN}, {content} dimensions"] = {"sizes": narrow}
    longer = {"epochs × 4": {"epochs": 4 * c.epochs}}
    more = larger_batches(setup) | half_as_wide(setup) | longer
    return found | {f"{PLAIN}, {name}": changes for name, changes in more.items()}


def cells(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, Cell]:
    """Return all that is trained, {name: cell}: the default, its variations, its rivals, the bound.

    The bound by labels is left out where the images have none of content. wanted: as in `studies`.
    """
    found = {"default": Cell({})}
    for variations in studies(setup, wanted).values():
        found |= {name: Cell(changes) for name, changes in variations.items()}
    found |= {name: Cell(changes, "plain") for name, changes in rivals(setup, wanted).items()}
    return found | ({BOUND: Cell({}, "labels")} if content_of(setup) else {})


def lengths(tables: Mapping[str, Any], epochs: int) -> dict[str, dict[int, Any]]:
    """Return {method: {epochs of ours: table}} of the networks that differ in their length alone.

    The methods are ours and PLAIN, which makes as many views as ours does in so many epochs, and
    therefore more passes. tables: {cell: table}. epochs: those of the default. Left out is what was
    not trained, and a method without a longer run.
    """
    runs = {
        OURS: {1: "default", 2: "epochs × 2", 4: "epochs × 4"},
        PLAIN: {1: PLAIN, 4: f"{PLAIN}, epochs × 4"},
    }
    found = {
        method: {n * epochs: tables[name] for n, name in some.items() if name in tables}
        for method, some in runs.items()
    }
    return {method: some for method, some in found.items() if len(some) > 1}


def known(row: Mapping[str, Mapping[str, Any]], targets: Sequence[str]) -> list[str]:
    """Return the targets that a space predicts at all, of {target: cell}: with R² above LITTLE."""
    return [name for name in targets if name in row and row[name]["value"] > LITTLE]


def weights_of(setup: Setup) -> list[float]:
    """Return the weight λ of each space, content first; the family's own unless they are given."""
    given = list(setup.config.lambdas) or [FAMILIES[setup.config.family].weight]
    return given if len(given) > 1 else given * len(setup.config.sizes)


def content_of(setup: Setup) -> list[str]:
    """Return the columns of linear probes whose label is content (see `Setup.content`)."""
    return [f"{name}_linear" for name in setup.content]

"""The price of style: what changes when one choice of the method changes at a time.

Each variation is the experiment on images with one change; plain self-supervision stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from msr.config import Whole, Words, choose
from msr.experiments import imagenet, supervised
from msr.experiments.parameters import Seed, parameter
from msr.experiments.setup import Row, Setup
from msr.losses import FAMILIES
from msr.report.verdict import Verdict, paired
from msr.train import Progress

Changes = dict[str, Any]  # {parameter: value}
Table = dict[str, Row]  # {space: {target: score}}
PLAIN, HEAVY, BOUND = "plain SSL", "plain SSL, equal spread", "trained on labels"
NUMBERS = ("h", "content", "style", "leak")  # the columns of `summary`


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
    hidden, batch = list(c.hidden), c.batch_size
    other, half = "alexnet" if c.backbone == "cnn" else "cnn", "half as wide"
    thin = max(1, c.width // 2)

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
        "steps": {"default": {}, "batches twice as large": {"batch_size": 2 * batch}},
        "content width": {"default": {}}
        | {f"{size} dimensions": wide(size) for size in (content // 2, 2 * content)},
        "weight of content": {"default": {}}
        | {f"λ × {factor:g}": weighted(factor) for factor in (1 / 3, 3)},
        "projector": {"default": {}, "one layer more": {"hidden": [*hidden, hidden[-1]]}},
        "backbone": {"default": {}, other: {"backbone": other}, half: {"width": thin}},
        "epochs": {"default": {}} | {f"× {n}": {"epochs": n * c.epochs} for n in (2, 4)},
    }
    if c.family == "entropy":
        found["objective"]["entropy of two views"] = {"loss_settings": {"views": 2}}
    if c.family == "simclr" and "denominator" not in c.loss_settings:
        changed = {"loss_settings": c.loss_settings | {"denominator": "ntxent"}}
        found["denominator"] = {"default": {}, "views of an image apart": changed}
    found["sharing"] = {"default": {}} | sharing(setup)
    for name in wanted:
        choose("study", name, [*found, PLAIN])
    return {name: some for name, some in found.items() if name in (wanted or found)}


def sharing(setup: Setup) -> dict[str, Changes]:
    """Return variations of what views share: one key per image, and flips as a group of their own.

    A single key makes as many views of more passes over the images.
    """
    c, views = setup.config, setup.views
    found: dict[str, Changes] = {}
    if not c.paired:
        longer = math.ceil(c.epochs * views.n_views / 2)
        found["one key per image"] = {"paired": True, "epochs": longer}
    if {"crop", "flip"} == set(views.members.get("spatial", ())):
        groups = [
            g for name in c.groups for g in (["crop", "flip"] if name == "spatial" else [name])
        ]
        at = c.groups.index("spatial") + 1  # of its size and its weight
        flips = max(1, c.sizes[at] // 4)
        weights = weights_of(setup)
        found["flips apart"] = {
            "groups": groups,
            "sizes": [*c.sizes[: at + 1], flips, *c.sizes[at + 1 :]],
            "lambdas": [*weights[: at + 1], weights[at], *weights[at + 1 :]],
        }
    return found


def rivals(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, Changes]:
    """Return the forms of plain self-supervision to compare with, {name: what it changes}.

    The first is that of book/imagenet.ipynb. Ours may have a further spread of content; the second
    form has as much spread. It is the one to compare with: as long as ours, four times as long, and
    with a backbone half as wide. Others change the first: as wide as the content space, or with
    batches of as many views instead of as many images. wanted: names of studies; only the first two
    are left if PLAIN is not among them; empty: all.
    """
    c = setup.config
    groups, width, content = len(c.groups), sum(c.sizes), c.sizes[0]
    heavy = {"lambdas": [weights_of(setup)[0] / (1 + (c.content_spread or 0))]}
    found: dict[str, Changes] = {PLAIN: {}, HEAVY: heavy}
    if wanted and PLAIN not in wanted:
        return found
    narrow = [content - groups * max(1, content // 4), *[max(1, content // 4)] * groups]
    if content != width and min(narrow) > 0:
        found[f"{PLAIN}, {content} dimensions"] = {"sizes": narrow}
    return found | {
        f"{PLAIN}, batches twice as large": {"batch_size": 2 * c.batch_size},
        f"{HEAVY}, half as wide": heavy | {"width": max(1, c.width // 2)},
        f"{HEAVY}, epochs × 4": heavy | {"epochs": 4 * c.epochs},
    }


def cells(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, Cell]:
    """Return all that is trained, {name: cell}: the default, its variations, its rivals, the bound.

    The bound by labels is left out where the images have none of content. wanted: as in `studies`.
    """
    found = {"default": Cell({})}
    for variations in studies(setup, wanted).values():
        found |= {name: Cell(changes) for name, changes in variations.items()}
    found |= {name: Cell(changes, "plain") for name, changes in rivals(setup, wanted).items()}
    return found | ({BOUND: Cell({}, "labels")} if content_of(setup) else {})


def weights_of(setup: Setup) -> list[float]:
    """Return the weight λ of each space, content first; the family's own unless they are given."""
    given = list(setup.config.lambdas) or [FAMILIES[setup.config.family].weight]
    return given if len(given) > 1 else given * len(setup.config.sizes)


# ------------------------------------------------------------------------------------- measures


def content_of(setup: Setup) -> list[str]:
    """Return the columns of label probes whose label is content: no augmentation changes it.

    Labels that some augmentation changes, such as colour, are style. A user's classes count as
    content.
    """
    homes = setup.views.homes(setup.val.labels)
    return [f"{name}_linear" for name in setup.val.labels if homes.get(name) == "content"]


def summary(setup: Setup, table: Table) -> Row:
    """Return the table of a run as four numbers: h, content, style, leak.

    `h`, `content`: mean accuracy of the labels of content (see `content_of`), by a linear probe of
    the backbone's features and of the content space. `style`: mean R² of the style probes, each
    from h. `leak`: their mean R² from the content space; a negative R² counts as 0.
    What the table lacks is nan.
    """
    labels, styles = content_of(setup), list(setup.views.homes())

    def mean(space: str, columns: Sequence[str]) -> float:
        if space not in table:
            return math.nan
        return float(np.mean([max(0.0, table[space][name]) for name in columns]))

    return {
        "h": mean("h", labels),
        "content": mean("content", labels),
        "style": mean("h", styles),
        "leak": mean("content", styles),
    }


def measured(
    setup: Setup, cells: Mapping[str, Cell], seeds: Sequence[int]
) -> dict[str, list[tuple[Table, Row]]]:
    """Train and probe every cell for every seed; return the table and the summary of each.

    On a CPU, as many cells as there are cores are trained at once, each in a process of its own
    with one thread. Networks and scores that out_dir holds are used again.
    """
    jobs = [(name, seed) for name in cells for seed in seeds]
    alone = setup.device.type != "cpu" or setup.config.devices > 1
    workers = Parallel(n_jobs=1 if alone else -1, return_as="generator")
    done = workers(delayed(one)(setup, name, cells[name], seed) for name, seed in jobs)
    found: dict[str, list[tuple[Table, Row]]] = {name: [] for name in cells}
    with Progress(len(jobs), "networks") as bar:
        for count, ((name, seed), result) in enumerate(zip(jobs, done), start=1):
            found[name].append(result)
            bar.update(count, f"{name}, seed {seed}", end_of_epoch=True)
    return found


def one(setup: Setup, name: str, cell: Cell, seed: int) -> tuple[Table, Row]:
    """Train and probe one cell for one seed; return its table and summary.

    Of a network that is trained on labels only h is scored. name: of its folder in out_dir.
    """
    varied = vary(setup, name, **cell.changes)
    if cell.kind == "labels":
        run = supervised.fit(varied, seed)
        table = {"h": varied.probe(run)["h"]}
    else:
        run = varied.fit(seed, vanilla=cell.kind == "plain", progress=False)
        table = varied.probe(run)
    return table, summary(varied, table)


def by_seed(rows: Mapping[str, Sequence[Row]]) -> list[dict[str, Row]]:
    """Return [{variation: its numbers}], one entry per seed, from {variation: one Row per seed}."""
    return [dict(zip(rows, some)) for some in zip(*rows.values(), strict=True)]


def effects(
    default: Sequence[Row], changed: Mapping[str, Sequence[Row]]
) -> dict[str, dict[str, Verdict]]:
    """Return {number: {variation: verdict}} on each variation minus the default.

    The differences are paired by seed, and corrected over the variations (see `verdict.paired`).
    """
    return {
        number: paired(
            {
                name: [ours[number] - base[number] for ours, base in zip(rows, default)]
                for name, rows in changed.items()
            }
        )
        for number in NUMBERS
    }


def prices(numbers: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Verdict]]:
    """Return {number: {setting: verdict}} on ours minus plain self-supervision in that setting.

    Plain has as much spread as ours, but in the first setting. A price that vanishes with epochs
    was one of compute, one that grows as the backbone narrows one of capacity. Left out is what was
    not trained. numbers: {cell: one Row per seed}.
    """
    both = {
        "default": ("default", PLAIN),
        "equal spread": ("default", HEAVY),
        "equal spread, epochs × 4": ("× 4", f"{HEAVY}, epochs × 4"),
        "equal spread, half as wide": ("half as wide", f"{HEAVY}, half as wide"),
    }
    trained = {name: pair for name, pair in both.items() if set(pair) <= set(numbers)}
    return {
        number: paired(
            {
                name: [a[number] - b[number] for a, b in zip(numbers[ours], numbers[plain])]
                for name, (ours, plain) in trained.items()
            }
        )
        for number in NUMBERS
    }

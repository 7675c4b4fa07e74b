"""The price of style: what changes when one choice of the method changes at a time.

Each variation is the experiment on images with one change; plain self-supervision stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from msr.config import Whole, Words, choose
from msr.experiments import imagenet
from msr.experiments.parameters import Seed, parameter
from msr.experiments.setup import ImageRun, Row, Setup
from msr.losses import FAMILIES
from msr.report.verdict import Verdict, paired

Changes = dict[str, Any]  # {parameter: value}
PLAIN = "plain SSL"
NUMBERS = ("h", "content", "style", "leak")  # the columns of `summary`


class Parameters(imagenet.Parameters):
    """The parameters of book/price.ipynb: those of book/imagenet.ipynb, with other defaults."""

    NAME: ClassVar[str] = "price"
    FIRST: ClassVar[tuple[str, ...]] = ("data_dir", "image_size", "epochs", "seeds", "studies")

    epochs: Whole = parameter(15, "passes over the training images", decides=False, ge=1)
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
        "backbone": {"default": {}}
        | {name: {"backbone": name} for name in ("cnn", "vgg") if name != c.backbone},
        "epochs": {"default": {}} | {f"× {n}": {"epochs": n * c.epochs} for n in (2, 4)},
    }
    if c.family == "entropy":
        found["objective"]["entropy of two views"] = {"loss_settings": {"views": 2}}
    for name in wanted:
        choose("study", name, [*found, PLAIN])
    return {name: some for name, some in found.items() if name in (wanted or found)}


def rivals(setup: Setup, wanted: Sequence[str] = ()) -> dict[str, Changes]:
    """Return the forms of plain self-supervision to compare with, {name: what it changes}.

    They are as wide as all our spaces together, or as the content space; with batches of as many
    images, so half as many views, or of as many views; and with the weight of the spread doubled,
    as ours has a further spread of content. wanted: names of studies; only the first form is left
    if PLAIN is not among them; empty: all.
    """
    if wanted and PLAIN not in wanted:
        return {PLAIN: {}}
    c = setup.config
    width, content = sum(c.sizes), c.sizes[0]
    groups = len(c.groups)
    narrow = [content - groups * max(1, content // 4), *[max(1, content // 4)] * groups]
    found: dict[str, Changes] = {PLAIN: {}}
    if content != width and min(narrow) > 0:
        found[f"{PLAIN}, {content} dimensions"] = {"sizes": narrow}
    return found | {
        f"{PLAIN}, batches twice as large": {"batch_size": 2 * c.batch_size},
        f"{PLAIN}, spread twice as heavy": {"lambdas": [weights_of(setup)[0] / 2]},
    }


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


def summary(setup: Setup, run: ImageRun) -> Row:
    """Return the table of a run as four numbers: h, content, style, leak.

    `h`, `content`: mean accuracy of the labels of content (see `content_of`), by a linear probe of
    the backbone's features and of the content space. `style`: mean R² of the style probes, each
    from h. `leak`: their mean R² from the content space; a negative R² counts as 0.
    """
    table, labels, styles = run.table, content_of(setup), list(setup.views.homes())

    def mean(space: str, columns: Sequence[str]) -> float:
        return float(np.mean([max(0.0, table[space][name]) for name in columns]))

    return {
        "h": mean("h", labels),
        "content": mean("content", labels),
        "style": mean("h", styles),
        "leak": mean("content", styles),
    }


def measured(
    setup: Setup, name: str, changes: Mapping[str, Any], seeds: Sequence[int], plain: bool = False
) -> list[tuple[dict[str, Row], Row]]:
    """Train one variation for every seed; return the table and the summary of each.

    plain: train plain self-supervision.
    """
    cell = vary(setup, name, **changes)
    found = []
    for seed in seeds:
        run = cell.fit(seed, vanilla=plain, progress=False)
        table = cell.probe(run)
        found.append((table, summary(cell, run)))
    return found


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

"""Photographs: the method, its rivals and single changes on a set of images that you bring.

The book has no photographs to train on. Without a folder its page shows the numbers of an earlier
run of the same notebook, which are kept with the book.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from msr.augment import pipelines
from msr.config import Place, Whole, Words
from msr.experiments import compared, price, relative, transfer
from msr.experiments.parameters import Seed, parameter
from msr.experiments.setup import Row, Setup
from msr.report import Metrics, kept, sentences
from msr.report.metrics import Table
from msr.views import Views

MAIN, PLAIN, LIGHT, BOUND = "default", price.PLAIN, price.LIGHT, price.BOUND  # tables
APART = price.APART
PAIRED = (MAIN, APART, PLAIN)  # cells that are also read from two views of an image …
OF_TWO = ", two views"  # … and what is added to the names of their tables
prepare = price.prepare
# what the page reads of a record
KEYS = ("tables", "about", "content", "styles", "studies", "tasks", "params", "seconds", "commit")


class Parameters(price.Parameters, transfer.TaskParameters):
    """The parameters of book/photographs.ipynb: those of book/price.ipynb, and tasks."""

    NAME: ClassVar[str] = "photographs"
    FIRST: ClassVar[tuple[str, ...]] = (
        "data_dir",
        "image_size",
        "epochs",
        "seeds",
        "studies",
        "tasks",
        "out_dir",
    )

    data_dir: Place = parameter("", "folder, shards, cifar10, …; empty: show the reference")
    epochs: Whole = parameter(10, "passes over the training images", decides=False, ge=1)
    seed: Seed = parameter(
        60, "seed of the first run; the others take the next ones", decides=False
    )
    out_dir: str = parameter(
        "runs/photographs", "weights, logs and metrics.json go here", decides=False
    )
    studies: Words = parameter(
        ("denominator", "sharing"), "studies to run, as in book/price.ipynb", decides=False
    )
    tasks: Words = parameter(
        (), 'other images to judge on, ["spatial:FOLDER", …], as in transfer', decides=False
    )
    reference: Place = parameter(
        "results/photographs.json",
        "metrics to show where data_dir is empty",
        decides=False,
    )


def record(config: Parameters) -> dict[str, Any]:
    """Return the content of metrics.json: of a run on `data_dir`, else of the reference.

    Beside its tables it has "about", the lines on what was run, "content" and "styles", the targets
    of either kind, and "tasks", {task: kind}. Raises ValueError, one line, for images without
    classes, and for a reference that cannot be read.
    """
    if config.data_dir:
        return run(config)
    try:
        found = json.loads(kept.located(config.reference).read_text())
        shown = {name: found[name] for name in KEYS}
        return shown | {"about": shown["about"].replace("This page ran", "The kept run was", 1)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"reference '{config.reference}' cannot be read ({error}); give the metrics.json of a "
            "run of this notebook, or data_dir, to make one"
        ) from None


def overview(record: dict[str, Any]) -> tuple[Table, list[str]]:
    """Return the spaces of our network, of the plain and of the one trained on labels, by target.

    record: as `record` returns it. The targets are the classes, linear and by nearest neighbours,
    and what the augmentation drew; they are returned beside, in this order.
    """
    found, content = record["tables"], record["content"]
    near = [name.replace("_linear", "_knn") for name in content]
    plain = {f"plain {space}": found[PLAIN][space] for space in ("h", "content")}
    rows = found[MAIN] | plain | {BOUND: found[BOUND]["h"]}
    return rows, [*content, *near, *record["styles"]]


def of_two_views(record: dict[str, Any]) -> tuple[Table, list[str]]:
    """Return what spaces tell of two views' difference, by target, and the targets.

    The rows are h and the spaces of our network, then the crop space of the one with flips apart,
    and all its spaces together, then h of the plain network; none where the record has no such
    table.
    """
    found = record["tables"]
    rows = dict(found.get(f"{MAIN}{OF_TWO}", {}))
    for cell, spaces in ((APART, ("crop", "joined")), (PLAIN, ("h",))):
        table = found.get(f"{cell}{OF_TWO}", {})
        rows |= {f"{cell}: {space}": table[space] for space in spaces if space in table}
    return rows, [name for name in record["styles"] if all(name in row for row in rows.values())]


def homes(record: dict[str, Any]) -> dict[str, str]:
    """Return {target: the space that should encode it} of a record: classes, and what was drawn."""
    params = record["params"]
    pipes = pipelines(params["augmentation"], params["image_size"])
    drawn = Views(*pipes, tuple(params["groups"])).homes()
    labels = [name.removesuffix("_linear") for name in record["content"]]
    return dict.fromkeys(labels, "content") | drawn


def run(config: Parameters) -> dict[str, Any]:
    """Train every cell on the images in `data_dir`; return what is written to metrics.json."""
    transfer.check(config.tasks)
    setup = price.prepare(config)
    if not price.content_of(setup):
        raise ValueError(f"the images in '{config.data_dir}' have no classes; give class folders")
    cells, seeds = price.cells(setup, config.studies), config.all_seeds
    metrics = Metrics(config.NAME, setup.config.model_dump(), setup.device, config.out_dir)
    found = compared.measured(setup, cells, seeds)
    for name, some in found.items():
        metrics.add(name, [table for table, _ in some])
    numbers = {name: [row for _, row in some] for name, some in found.items()}
    metrics.add("beside", compared.by_seed(numbers))
    metrics.add("inputs", [setup.inputs(config.seed)])
    pairs = relative.measured(setup, {name: cells[name] for name in PAIRED if name in cells}, seeds)
    for name, of_two in pairs.items():
        metrics.add(f"{name}{OF_TWO}", of_two)
    kinds = judged(setup, config, metrics)
    metrics.record |= {
        "about": sentences.made_by(config.NAME, config.profile, setup.facts()),
        "content": price.content_of(setup),
        "styles": list(setup.views.homes()),
        "studies": {k: list(v) for k, v in price.studies(setup, config.studies).items()},
        "tasks": kinds,
    }
    return json.loads(metrics.write().read_text())  # as it would be read: lists, no tuples


def judged(setup: Setup, config: Parameters, metrics: Metrics) -> dict[str, str]:
    """Judge our default and plain networks on the tasks, into metrics; return {task: its kind}.

    The tables are "tasks" and "plain tasks", as those of `transfer.evaluate`.
    """
    side, n, workers = setup.config.image_size, config.task_images, setup.workers
    wanted = transfer.parse(config.tasks)
    tasks = [t for kind, where in wanted for t in transfer.folders(kind, where, side, n, workers)]
    for name, cell, plain in (("tasks", MAIN, False), ("plain tasks", PLAIN, True)):
        if tasks:
            metrics.add(
                name, [scores(setup, cell, seed, plain, tasks) for seed in config.all_seeds]
            )
    return {task.name: task.kind for task in tasks}


def scores(
    setup: Setup, cell: str, seed: int, plain: bool, tasks: Sequence[transfer.Task]
) -> dict[str, Row]:
    """Return {space: {task: accuracy}} of one trained network, which out_dir holds."""
    trained = price.vary(setup, cell, fresh=False)
    network = trained.fit(seed, vanilla=plain, progress=False)
    return transfer.evaluate(trained, network, tasks)

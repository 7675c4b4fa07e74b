"""Train the cells of the price page side by side, sum each up in four numbers, and compare them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from msr import report
from msr.data.images import enough
from msr.experiments import several, supervised
from msr.experiments.price import LIGHT, PLAIN, Cell, content_of, vary
from msr.experiments.setup import Row, Setup
from msr.report import kept
from msr.report.verdict import Verdict, paired

Table = dict[str, Row]  # {space: {target: score}}
CHECKED = ("epochs", "seed", "seeds", "probe_images")  # of an earlier run, beside what decides it
NUMBERS = ("h", "content", "style", "leak")  # the columns of `summary`


def summary(setup: Setup, table: Table) -> Row:
    """Return the table of a run as four numbers: h, content, style, leak.

    `h`, `content`: mean accuracy of the labels of content (see `content_of`), by a linear probe of
    the backbone's features and of the content space. `style`: mean R² of the style probes, each
    from h. `leak`: their mean R² from the content space; a negative R² counts as 0.
    What the table lacks is nan.
    """
    labels, styles = content_of(setup), list(setup.views.homes())

    def mean(space: str, columns: Sequence[str]) -> float:
        if space not in table or not columns:
            return math.nan
        return float(np.mean(np.maximum(0.0, [table[space][name] for name in columns])))

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

    On a CPU, as many cells as there are cores are trained at once (`several`). Networks and scores
    that out_dir holds are used again, but for those trained on labels, which are not saved. Raises
    ValueError, one line, if a cell does not fit the parameters or the images, before any is
    trained.
    """
    for name, cell in cells.items():
        enough(setup.train, vary(setup, name, **cell.changes).config.batch_size)
    return of_cells(setup, one, cells, seeds)


def of_cells(
    setup: Setup,
    function: Callable[..., Any],
    cells: Mapping[str, Cell],
    seeds: Sequence[int],
    what: str = "",
) -> dict[str, list[Any]]:
    """Return {cell: the result of `function(setup, name, cell, seed)` for each seed}.

    As many at once as `several.mapped` says. what: comes before the names in the display.
    """
    jobs = [(name, cell, seed) for name, cell in cells.items() for seed in seeds]
    names = [f"{what}{name}, seed {seed}" for name, _, seed in jobs]
    done = iter(several.mapped(setup, function, jobs, names))
    return {name: [next(done) for _ in seeds] for name in cells}


def earlier(setup: Setup, cells: Mapping[str, Cell], path: str) -> dict[str, report.Table]:
    """Return the tables of a metrics.json that an earlier run of the same experiment wrote.

    path: of the file. Raises ValueError, one line, if it cannot be read, lacks one of the cells, or
    has other parameters than `setup`.
    """
    found, here = kept.content(kept.located(path)), setup.config
    tables, params = found.get("tables", {}), found.get("params", {})
    lacking = [name for name in (*cells, "everything") if name not in tables]
    if lacking:
        raise ValueError(
            f"reference '{path}' has no table '{lacking[0]}'; give the metrics.json of a run of "
            "this notebook with the same studies, or '' to make one"
        )
    own = here.deciding | {name: getattr(here, name) for name in CHECKED}
    for name, value in kept.differing(own, params).items():
        raise ValueError(
            f"reference '{path}' has {name} = {params.get(name)}, and this run {value}; give "
            "both the same, or '' to train"
        )
    return tables


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


def of_each_seed(table: report.Table) -> dict[str, list[Row]]:
    """Return {variation: its numbers, one Row per seed} from their table over seeds."""
    return {
        name: [
            {number: cell["values"][i] for number, cell in row.items()}
            for i in range(next(iter(row.values()))["n"])
        ]
        for name, row in table.items()
    }


def effects(
    default: Sequence[Row], changed: Mapping[str, Sequence[Row]]
) -> dict[str, dict[str, Verdict]]:
    """Return {number: {variation: verdict}} on each variation minus the default.

    The differences are paired by seed, and corrected over the variations (see `verdict.paired`).
    """
    return _differences({name: (rows, default) for name, rows in changed.items()})


def prices(numbers: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Verdict]]:
    """Return {number: {setting: verdict}} on ours minus plain self-supervision in that setting.

    Plain has the further spread of content that ours has, except in the last setting. A price that
    vanishes with epochs was one of compute, one that grows as the backbone narrows one of capacity.
    Left out is what was not trained. numbers: {cell: one Row per seed}.
    """
    both = {
        "default": ("default", PLAIN),
        "epochs × 4": ("epochs × 4", f"{PLAIN}, epochs × 4"),
        "half as wide": ("half as wide", f"{PLAIN}, half as wide"),
        "against plain SSL without the further spread": ("default", LIGHT),
    }
    trained = {name: pair for name, pair in both.items() if set(pair) <= set(numbers)}
    return _differences(
        {name: (numbers[ours], numbers[plain]) for name, (ours, plain) in trained.items()}
    )


def _differences(
    sides: Mapping[str, tuple[Sequence[Row], Sequence[Row]]],
) -> dict[str, dict[str, Verdict]]:
    """Return {number: {name: verdict}} on one side minus the other, paired by seed."""
    return {
        number: paired(
            {name: [a[number] - b[number] for a, b in zip(*both)] for name, both in sides.items()}
        )
        for number in NUMBERS
    }

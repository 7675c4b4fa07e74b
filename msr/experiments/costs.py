"""What keeping style costs and gains, on each page that compares it with plain self-supervision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msr.experiments import price
from msr.experiments.reproduction import TITLES
from msr.report import claims, kept
from msr.report.metrics import Table
from msr.report.tables import difference, grid
from msr.report.verdict import NO_SCORE, NOTE, compared, paired

NUMBERS = {"h": "content from h", "content": "content from its space", "style": "style from h"}


@dataclass(frozen=True)
class Compared:
    """Cells of a kept run to compare: ours with those of plain self-supervision.

    what: the targets, in words. ours, theirs: {number of `NUMBERS`: cells, whose mean counts}.
    """

    page: str
    what: str
    ours: dict[str, list[claims.Place]]
    theirs: dict[str, list[claims.Place]]

    def differences(self, tables: dict[str, Table]) -> dict[str, list[float]]:
        """Return {number: ours minus theirs, one for each seed}.

        Raises KeyError where a cell is missing, or the seeds of both differ in number.
        """
        found = {}
        for n in NUMBERS:
            ours, theirs = mean(tables, self.ours[n]), mean(tables, self.theirs[n])
            if ours.shape != theirs.shape:
                raise KeyError(n)
            found[n] = list(ours - theirs)
        return found


def mean(tables: dict[str, Table], cells: Sequence[claims.Place]) -> np.ndarray:
    """Return the mean of cells in each seed, [seeds]."""
    return np.mean([claims.at(tables, cell) for cell in cells], axis=0)


def by_target(page: str, what: str, ours: str, theirs: str, labels: str, styles: str) -> Compared:
    """Return a comparison of tables {space: {target}}; labels, styles: targets, with spaces."""
    names = {"h": ("h", labels), "content": ("content", labels), "style": ("h", styles)}
    cells = [
        {n: [(table, row, target) for target in some.split()] for n, (row, some) in names.items()}
        for table in (ours, theirs)
    ]
    return Compared(page, what, *cells)


def by_number(page: str, what: str, table: str, ours: str, theirs: str) -> Compared:
    """Return a comparison of two rows of a table {network: {number}}."""
    cells = [{n: [(table, row, n)] for n in NUMBERS} for row in (ours, theirs)]
    return Compared(page, what, *cells)


ALL = (
    by_target("sprites", "shape; colour", "strong", "vanilla", "shape", "color"),
    by_target(
        "imagenet",
        "shape, texture; colour",
        "main",
        "vanilla",
        "shape_linear texture_linear",
        "color_linear",
    ),
    by_number("price", "shape, texture; what was drawn", "beside", "default", price.PLAIN),
    by_number(
        "price",
        "the same, four times the epochs",
        "everything",
        "epochs × 4",
        f"{price.PLAIN}, epochs × 4",
    ),
    by_number("photographs", "class; what was drawn", "beside", "default", price.PLAIN),
    by_target("transfer", "other images", "kinds", "vanilla_kinds", "content", "appearance"),
)


def costs(some: Sequence[Compared] = ALL) -> str:
    """Return a Markdown table: on each page, ours minus plain self-supervision, by the kept runs.

    The verdicts of a line are corrected over its three numbers.
    """
    rows = []
    for one in some:
        tables = kept.content(kept.RESULTS / f"{one.page}.json").get("tables", {})
        try:
            verdicts = paired(one.differences(tables))
            cells = [f"{difference(v)}, {compared(v)}" for v in verdicts.values()]
        except KeyError:
            cells = [NO_SCORE] * len(NUMBERS)
        rows.append([f"[{TITLES[one.page]}]({one.page}.ipynb): {one.what}", *cells])
    return f"{grid(['', *NUMBERS.values()], rows)}\n\n{NOTE}"

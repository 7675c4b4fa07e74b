"""Claims: statements of the book that the numbers of a run bear out, contradict, or leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msr.report.metrics import Table
from msr.report.tables import around, grid, number
from msr.report.verdict import Verdict, paired

Place = tuple[str, str, str]  # a cell of a metrics file: table, row, column
REPRODUCED, DIFFERS, OPEN = "reproduced", "**differs**", "cannot say"
SHORT, MISSING = "short run, cannot say", "not run"
LENGTH = ("epochs", "steps", "max_images", "seeds", "width", "image_size")


@dataclass(frozen=True)
class Claim:
    """A statement about the tables of a notebook.

    text: what is claimed; source: who claims it, as Markdown. cells: what it speaks of; in each
    seed the cell counts that bears it out least. more: whether the values are claimed to be more
    than the bound `than`, or less. against: cells to subtract, one for each of `cells`, by seed.
    """

    text: str
    source: str
    cells: tuple[Place, ...]
    more: bool
    than: float
    against: tuple[Place, ...] = ()

    def values(self, tables: Mapping[str, Table]) -> list[float]:
        """Return the number that counts, one for each seed; none if a cell is missing."""
        try:
            found = np.array([at(tables, cell) for cell in self.cells])
            if self.against:
                found = found - np.array([at(tables, cell) for cell in self.against])
        except KeyError:
            return []
        return [float(v) for v in (found.min(axis=0) if self.more else found.max(axis=0))]


def at(tables: Mapping[str, Table], cell: Place) -> list[float]:
    """Return the values over seeds of a cell. Raises KeyError if it is missing."""
    table, row, column = cell
    return tables[table][row][column]["values"]


@dataclass(frozen=True)
class Judged:
    """A claim with what a run says of it.

    values: one per seed; none if it was not run. short: whether the run trained for less than the
    reference did, so that a claim that it does not bear out is left open.
    """

    claim: Claim
    values: list[float]
    verdict: Verdict
    short: bool = False

    @property
    def reproduced(self) -> bool:
        """Whether the run bears the claim out."""
        return self.verdict.sign > 0

    @property
    def words(self) -> str:
        """What the run says of the claim."""
        if not self.values:
            return MISSING
        if self.reproduced:
            return REPRODUCED
        return SHORT if self.short else DIFFERS if self.verdict.sign < 0 else OPEN

    @property
    def number(self) -> str:
        """The mean of the number that counts, ± the half-width of its interval, if it has one.

        "–" if it was not run.
        """
        if not self.values:
            return "–"
        return number(float(np.mean(self.values))) + around(self.verdict)


def judged(
    some: Sequence[Claim],
    record: Mapping[str, Any],
    reference: Mapping[str, Any] | None = None,
) -> list[Judged]:
    """Return what a run says of claims about it.

    record: the content of its metrics.json, empty if it was not run; reference: of the run that it
    is compared with in length. How far the numbers are on the claimed side of their bounds is
    judged by `verdict.paired`, corrected over the claims.
    """
    tables, params = record.get("tables", {}), record.get("params", {})
    long = (reference or {}).get("params", {})
    short = any(params[n] < long[n] for n in LENGTH if n in params and n in long)
    values = [claim.values(tables) for claim in some]
    signed = {
        claim.text: [(v - claim.than) * (1 if claim.more else -1) for v in own]
        for claim, own in zip(some, values, strict=True)
    }
    verdicts = paired(signed)
    return [Judged(c, own, verdicts[c.text], short) for c, own in zip(some, values)]


def bound(claim: Claim) -> str:
    """Return what the number of a claim should be, such as "> 0.95"."""
    return f"{'>' if claim.more else '<'} {number(claim.than)}"


def table(reference: Sequence[Judged], here: Sequence[Judged]) -> str:
    """Return a Markdown table of claims: what the reference and this book's own run say."""
    head = ["claim", "stated by", "should be", "reference", "", "this book", ""]
    rows = []
    for long, own in zip(reference, here, strict=True):
        c = long.claim
        cells = (c.text, c.source, bound(c), long.number, long.words, own.number, own.words)
        rows.append(cells)
    return grid(head, rows)

"""Markdown tables of a page, each built from the metrics that it shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from msr.report.metrics import Cell, Table
from msr.report.verdict import NOTE, Verdict, between, compared

# ------------------------------------------------------------------------------ numbers and names


def number(value: float, digits: int = 2, plus: bool = False) -> str:
    """Return a rounded number with a true minus sign; `plus` shows a plus sign as well."""
    rounded = round(value, digits) + 0  # + 0: no minus before a zero
    return f"{rounded:{'+' if plus else ''}.{digits}f}".replace("-", "−")


def show(cell: Cell) -> str:
    """Return a cell's mean, with ± one standard deviation where there are several seeds."""
    return number(cell["value"]) + ("" if cell["std"] is None else f" ± {cell['std']:.2f}")


def difference(verdict: Verdict) -> str:
    """Return a signed mean difference, with ± the half-width of its interval if it has one."""
    half = "" if math.isinf(verdict.half) else f" ± {verdict.half:.2f}"
    return number(verdict.mean, plus=True) + half


def words(target: str) -> str:
    """Return a column's name as it is shown to a reader."""
    return target.replace("_linear", " (linear)").replace("_knn", " (kNN)").replace("_", " ")


def columns(
    table: Table, styles: Collection[str], hidden: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Return a table's label and factor columns, and its style columns, in order of appearance.

    styles: the targets of the style probes. hidden: columns to leave out of the first list, such
    as x and y beside their mean; those of style probes on the view alone are always left out.
    """
    names = list(next(iter(table.values())))
    labels = [
        name
        for name in names
        if name not in styles and name not in hidden and not name.endswith("_alone")
    ]
    return labels, [name for name in names if name in styles]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ----------------------------------------------------------------------------------------- tables


def table(metrics: Table, names: Mapping[str, str] | None = None) -> str:
    """Return any table of metrics; names: labels to show in place of the rows' keys."""
    targets = list(next(iter(metrics.values())))
    rows = [
        [(names or {}).get(row, row), *(show(cells[target]) for target in targets)]
        for row, cells in metrics.items()
    ]
    return _markdown(["", *(words(target) for target in targets)], rows)


def best_spaces(metrics: Table, targets: Sequence[str], spaces: Sequence[str]) -> str:
    """Return for each target the space that predicts it best, and how far ahead it is.

    A description of the means, not a verdict. Empty without targets or a second space.
    """
    if not targets or len(spaces) < 2:
        return ""
    rows = []
    for target in targets:
        first, second = sorted(spaces, key=lambda space: -metrics[space][target]["value"])[:2]
        a, b = metrics[first][target], metrics[second][target]
        ahead = number(a["value"] - b["value"])
        rows.append([words(target), f"**{first}**", show(a), second, show(b), ahead])
    return _markdown(["target", "highest in", "score", "next", "score", "ahead by"], rows)


def listed(tasks: Sequence[tuple[str, str, int, int, int, float]]) -> str:
    """Return the list of downstream tasks.

    tasks: name, kind, number of classes, images to fit on, images to score on, and chance, the
    share of the most frequent class among the scored images.
    """
    rows = [
        [name, kind, str(classes), f"{fit:,}, {score:,}", f"{chance:.2f}"]
        for name, kind, classes, fit, score, chance in tasks
    ]
    return _markdown(["task", "kind", "classes", "images to fit, to score", "chance"], rows)


# -------------------------------------------------------------------------- tables with verdicts


def compare(ours: Table, theirs: Table, targets: Sequence[str]) -> str:
    """Compare the backbone's h, trained with style spaces (ours) and without (theirs).

    Difference: ours minus theirs, the same seeds paired. The embedding of all our spaces joined
    stands beside it. Corrected over `targets`.
    """
    rows = []
    for target, verdict in between(ours, "h", theirs, "h", targets).items():
        scores = (ours["h"][target], theirs["h"][target], ours["joined"][target])
        means = [number(cell["value"]) for cell in scores]
        rows.append([words(target), *means, difference(verdict), compared(verdict)])
    head = ["target", "h, with spaces", "h, plain", "joined spaces", "difference of h", "verdict"]
    return f"{_markdown(head, rows)}\n\nDifference: with spaces minus plain. {NOTE}"


def verdicts(found: Mapping[str, Mapping[str, Verdict]]) -> str:
    """Return a table of differences with their verdicts: {comparison: {target: verdict}}.

    One column per comparison, one row per target; all comparisons have the same targets.
    """
    rows = [
        [target, *(f"{difference(v[target])}, {compared(v[target])}" for v in found.values())]
        for target in next(iter(found.values()))
    ]
    return f"{_markdown(['', *found], rows)}\n\n{NOTE}"

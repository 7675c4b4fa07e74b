"""The Markdown tables of a page, each made from the numbers that it shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from msr.report.metrics import Cell, Table
from msr.report.names import markdown
from msr.report.verdict import NOTE, Verdict, between, compared, lower

# ------------------------------------------------------------------------------ numbers and names

ENDS = {"_linear": "linear", "_knn": "kNN", "_top1": "top-1", "_top5": "top-5"}


def number(value: float, digits: int = 2, plus: bool = False) -> str:
    """Return a number as text, rounded to `digits` decimals, with a true minus sign.

    plus: also show the plus sign of a number that is not negative. nan, which means that there is
    no score, is shown as "–".
    """
    if math.isnan(value):
        return "–"
    rounded = round(value, digits) + 0  # + 0: no minus before a zero
    return f"{rounded:{'+' if plus else ''}.{digits}f}".replace("-", "−")


def show(cell: Cell, digits: int = 2) -> str:
    """Return a cell's mean as text, with ± one standard deviation if there are several seeds."""
    alone = cell["std"] is None or math.isnan(cell["value"])
    return number(cell["value"], digits) + ("" if alone else f" ± {cell['std']:.{digits}f}")


def difference(verdict: Verdict) -> str:
    """Return a signed mean difference as text, with ± the half-width of its interval, if any."""
    return number(verdict.mean, plus=True) + around(verdict)


def around(verdict: Verdict) -> str:
    """Return the half-width of a verdict's interval as text, with ±; empty if it has none.

    Accuracies differ by 1 at most, so of an interval that is wider and contains zero, as two seeds
    give, no more is said.
    """
    if math.isinf(verdict.half):
        return ""
    wide = verdict.half > 1 and not verdict.sign
    return " ± over 1" if wide else f" ± {verdict.half:.2f}"


def words(target: str) -> str:
    """Return a target's name in Markdown, as it is shown to a reader: "crop x" for "crop_x"."""
    for end, shown in ENDS.items():
        target = target.replace(end, f" ({shown})")
    return markdown(target.replace("_", " "))


def columns(
    table: Table, styles: Collection[str], hidden: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Return a table's columns in two lists: labels and factors, and the targets of style probes.

    Each is in the order of the table. styles: the targets of the style probes. hidden: columns to
    leave out of the first list, such as x and y beside their mean. Columns of style probes on the
    augmented view alone are always left out.
    """
    names = list(next(iter(table.values()), {}))
    labels = [
        name
        for name in names
        if name not in styles and name not in hidden and not name.endswith("_alone")
    ]
    return labels, [name for name in names if name in styles]


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with this head and these rows."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ----------------------------------------------------------------------------------------- tables


def table(metrics: Table, names: Mapping[str, str] | None = None) -> str:
    """Return a whole table of metrics in Markdown; names: {row: label to show instead}."""
    targets = list(next(iter(metrics.values()), {}))
    rows = [
        [(names or {}).get(row, markdown(row)), *(show(cells[target]) for target in targets)]
        for row, cells in metrics.items()
    ]
    return grid(["", *(words(target) for target in targets)], rows)


def best_spaces(metrics: Table, targets: Sequence[str], spaces: Sequence[str]) -> str:
    """Return a table that names for each target the space that predicts it best, and its lead.

    It describes the means and gives no verdict; "–" stands for a target without a score. Empty
    without targets or without a second space.
    """
    if not targets or len(spaces) < 2:
        return ""
    rows = []
    for target in targets:
        values = {space: metrics[space][target]["value"] for space in spaces}
        first, second = sorted(
            spaces, key=lambda space: (math.isnan(values[space]), -values[space])
        )[:2]
        a, b = metrics[first][target], metrics[second][target]
        ahead = number(a["value"] - b["value"])
        best = "–" if math.isnan(a["value"]) else f"**{first}**"
        rows.append([words(target), best, show(a), second, show(b), ahead])
    return grid(["target", "highest in", "score", "next", "score", "ahead by"], rows)


def listed(tasks: Sequence[tuple[str, str, int, int, int, float]]) -> str:
    """Return a table of the downstream tasks.

    tasks: for each task its name, its kind, the numbers of classes, of images to fit on and of
    images to score on, and the share of the commonest class among the scored images.
    """
    rows = [
        [markdown(name), kind, str(classes), f"{fit:,}, {score:,}", f"{commonest:.2f}"]
        for name, kind, classes, fit, score, commonest in tasks
    ]
    head = ["task", "kind", "classes", "images to fit, to score", "commonest class"]
    return grid(head, rows)


# -------------------------------------------------------------------------- tables with verdicts


def compare(ours: Table, theirs: Table, targets: Sequence[str]) -> str:
    """Return a table that compares h of a network with style spaces (ours) and without (theirs).

    One row per target. The difference is ours minus theirs, paired by seed, and the verdicts are
    corrected over `targets`. A column also gives the score of all our spaces joined. Raises
    ValueError if the two have different numbers of seeds.
    """
    rows = []
    for target, verdict in between(ours, "h", theirs, "h", targets).items():
        scores = (ours["h"][target], theirs["h"][target], ours["joined"][target])
        means = [number(cell["value"]) for cell in scores]
        rows.append([words(target), *means, difference(verdict), compared(verdict)])
    head = ["target", "h, with spaces", "h, plain", "joined spaces", "difference of h", "verdict"]
    return f"{grid(head, rows)}\n\nDifference: with spaces minus plain.\n\n{NOTE}"


def verdicts(found: Mapping[str, Mapping[str, Verdict]], less: Sequence[str] = ()) -> str:
    """Return a table of differences with their verdicts.

    found: {comparison: {target: verdict}}, one column per comparison and one row per target; all
    comparisons have the same targets. less: the comparisons in which less is better, such as of
    leaks. Empty without comparisons.
    """
    if not found:
        return ""
    say = {name: lower if name in less else compared for name in found}
    rows = [
        [
            markdown(row),
            *(f"{difference(v[row])}, {say[name](v[row])}" for name, v in found.items()),
        ]
        for row in next(iter(found.values()))
    ]
    return f"{grid(['', *found], rows)}\n\n{NOTE}"

"""The figure of the price page that no other page has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from msr.report.metrics import Table
from msr.report.plots import COLORS, GRID, TINTS, figure

Kinds = Mapping[str, Sequence[str]]  # {what the networks have in common: their rows in the table}


def front(table: Table, x: str, y: Sequence[str], kinds: Kinds, named: Sequence[str]) -> Figure:
    """Draw one panel per column in `y` against column `x`, with a point per row of the table.

    kinds: {what some rows have in common: these rows}; each kind has a colour. named: rows whose
    names stand beside their points. Bars are ± 1 standard deviation over seeds. Rows without a
    score are left out of a panel.
    """
    fig, axes = figure(1, max(1, len(y)), width=4.0, height=3.2)
    for axis, quantity in zip(axes[0], y):
        for (kind, rows), tint in zip(kinds.items(), [COLORS["joined"], *TINTS]):
            cells = [(table[row][x], table[row][quantity]) for row in rows]
            axis.errorbar(
                [across["value"] for across, _ in cells],
                [up["value"] for _, up in cells],
                xerr=[across["std"] or 0.0 for across, _ in cells],
                yerr=[up["std"] or 0.0 for _, up in cells],
                **{"fmt": "o", "ms": 5, "lw": 1, "color": tint, "label": kind},
            )
        for row in named:
            at = table[row][x]["value"], table[row][quantity]["value"]
            if at[0] == at[0] and at[1] == at[1]:  # neither is nan
                place = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": 9}
                axis.annotate(row, at, **place)
        axis.set(xlabel=f"{x}: R², from h", ylabel="accuracy")
        axis.set_title(quantity, loc="left")
        axis.margins(x=0.35, y=0.2)
        axis.grid(color=GRID, lw=0.6)
    if y and kinds:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig

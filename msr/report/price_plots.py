"""The figure of the price page that no other page has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msr.report.metrics import Table
from msr.report.plots import COLORS, GRID, TINTS, figure

Kinds = Mapping[str, Sequence[str]]  # {what the networks have in common: their rows in the table}


def front(table: Table, x: str, y: Sequence[str], kinds: Kinds, named: Sequence[str]) -> Figure:
    """Draw one panel per column in `y` against column `x`, with a point per row of the table.

    kinds: {what some rows have in common: these rows}; each kind has a colour. named: rows whose
    names stand right of the panel, with a line to their points. Bars are ± 1 standard deviation
    over seeds. Rows without a score are left out of a panel.
    """
    fig, axes = figure(1, max(1, len(y)), width=5.2, height=3.4)
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
        points = {row: (table[row][x]["value"], table[row][quantity]["value"]) for row in named}
        _name(axis, {row: at for row, at in points.items() if not np.isnan(at).any()})
        axis.set(xlabel=f"{x}: R², from h", ylabel="accuracy")
        axis.set_title(quantity, loc="left")
        axis.margins(x=0.1, y=0.1)
        axis.grid(color=GRID, lw=0.6)
    if y and kinds:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig


def _name(axis: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write names right of a panel, in the order of their points' heights, with lines to these."""
    order = sorted(points, key=lambda row: points[row][1])
    for row, height in zip(order, np.linspace(0.05, 0.95, max(2, len(order)))):
        axis.annotate(
            row,
            points[row],
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.7},
        )

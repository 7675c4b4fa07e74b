"""The figures of the price page that no other page has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msr.report.metrics import Cell, Table
from msr.report.names import drawn
from msr.report.plots import COLORS, GRID, TINTS, figure

Lengths = Mapping[str, Mapping[int, Table]]  # {method: {epochs of ours: table}}
Kinds = Mapping[str, Sequence[str]]  # {what the networks have in common: their rows in the table}


def front(
    table: Table,
    x: str,
    y: Sequence[str],
    kinds: Kinds,
    named: Sequence[str],
    axes_say: tuple[str, str],
) -> Figure:
    """Draw one panel per column in `y` against column `x`, with a point per row of the table.

    kinds: {what some rows have in common: these rows}; each kind has a colour. named: rows whose
    names stand right of the panel, with a line to their points. axes_say: what is written along
    both axes. Bars are ± 1 standard deviation over seeds. Rows without a score are left out of a
    panel.
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
        axis.set(xlabel=axes_say[0], ylabel=axes_say[1])
        axis.set_title(quantity, loc="left")
        axis.margins(x=0.1, y=0.1)
        axis.grid(color=GRID, lw=0.6)
    if y and kinds:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig


def over_epochs(lengths: Lengths, space: str, panels: Mapping[str, Sequence[str]]) -> Figure:
    """Draw what one space predicts after trainings of several lengths, a line for each target.

    lengths: {method: {epochs of ours: table}}; the lines of the first method are solid, those of
    others dashed. panels: {title: targets}, a panel each; names stand right of it. Bands are ± 1
    standard deviation over seeds. The horizontal axis is logarithmic.
    """
    fig, axes = figure(1, max(1, len(panels)), width=4.9, height=3.2)
    for axis, (title, targets) in zip(axes[0], panels.items()):
        tints = dict(zip(targets, cycle(TINTS)))
        for (method, tables), dash in zip(lengths.items(), ("-", "--", ":")):
            axis.plot([], [], color="#444444", ls=dash, label=method)
            for target, tint in tints.items():
                _line(axis, {n: table[space][target] for n, table in tables.items()}, tint, dash)
        first = next(iter(lengths.values()), {})
        ends = [(max(first), first[max(first)][space][t]["value"]) for t in targets if first]
        names = [drawn(target.replace("_", " ")) for target in targets]
        shown = {name: at for name, at in zip(names, ends) if not np.isnan(at).any()}
        _name(axis, shown, dict(zip(names, tints.values())))
        ticks = sorted({epochs for tables in lengths.values() for epochs in tables})
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [str(n) for n in ticks])
        axis.set(xlabel="epochs of ours", ylim=(-0.03, 1.03))
        axis.set_title(title, loc="left")
        axis.grid(color=GRID, lw=0.6)
    if panels and lengths:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return fig


def _line(axis: Axes, cells: Mapping[int, Cell], tint: str, dash: str) -> None:
    """Draw a line through the means of cells, {position: cell}, with a band of ± 1 deviation."""
    mean = np.array([cell["value"] for cell in cells.values()])
    std = np.array([cell["std"] or 0.0 for cell in cells.values()])
    axis.plot([*cells], mean, color=tint, ls=dash, marker="o", ms=4)
    axis.fill_between([*cells], mean - std, mean + std, color=tint, alpha=0.15, lw=0)


def _name(
    axis: Axes, points: Mapping[str, tuple[float, float]], tints: Mapping[str, str] | None = None
) -> None:
    """Write names right of a panel, in the order of their points' heights, with lines to these.

    tints: {name: colour}; else black.
    """
    order = sorted(points, key=lambda row: points[row][1])
    for row, height in zip(order, np.linspace(0.05, 0.95, max(2, len(order)))):
        axis.annotate(
            row,
            points[row],
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            color=(tints or {}).get(row, "black"),
            arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.7},
        )

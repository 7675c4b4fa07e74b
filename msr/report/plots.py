"""Figures of numbers; a function that draws returns a matplotlib Figure, which it makes itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msr.report.metrics import Table
from msr.report.names import drawn
from msr.report.verdict import Verdict

# One colour per kind of space, the same on every page (Okabe & Ito: distinct for colour-blind
# readers).
COLORS = {
    "h": "#444444",
    "content": "#0072B2",
    "appearance": "#D55E00",
    "spatial": "#009E73",
    "joined": "#999999",
}
SPARE = ("#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
TINTS = (COLORS["content"], COLORS["appearance"], COLORS["spatial"], *SPARE)  # if not of spaces
# the numbers that sum up a network, the same colour in every figure
MEASURES = {"h": COLORS["h"], "content": COLORS["content"], "style": SPARE[0], "leak": SPARE[1]}
GRID = "#dddddd"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def color(name: str, among: Sequence[str] = ()) -> str:
    """Return the colour of a space, as a hexadecimal code.

    Spaces without a colour of their own get the spare ones, in the order of `among`, the names of
    all spaces in the figure.
    """
    if name in COLORS:
        return COLORS[name]
    others = [n for n in among if n not in COLORS]
    return SPARE[others.index(name) % len(SPARE)] if name in others else SPARE[0]


def figure(
    rows: int = 1, columns: int = 1, width: float = 3.2, height: float = 2.6
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [rows, columns]; each panel is width × height inches."""
    with plt.rc_context(STYLE):
        rows, columns = max(1, rows), max(1, columns)  # of nothing: one empty panel
        fig, axes = plt.subplots(
            rows, columns, figsize=(columns * width, rows * height), squeeze=False
        )
    plt.close(fig)  # so that only the notebook cell that returns the figure shows it
    return fig, axes


# -------------------------------------------------------------------------------------- heat maps


def heatmap(
    table: Table,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
    cmap: str = "Blues",
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a table as a heat map; each cell shows its mean and, over seeds, ± 1 deviation.

    rows, columns: which ones to show, in this order; empty: all. Values outside [0, 1] have the
    colour of 0 or 1. names: {row or column: label to show instead}.
    """
    return heatmaps({title: table}, rows, columns, cmap, names)


def heatmaps(
    tables: Mapping[str, Table],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    cmap: str = "Blues",
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw heat maps as `heatmap` does, one below the other, {title: table}.

    Rows and columns are by default those of the first table; what a table lacks is left out. A
    missing score, nan, is shown as "–".
    """
    first = next(iter(tables.values()), {})
    rows, columns = rows or list(first), columns or list(next(iter(first.values()), {}))
    width, height = max(2.6, 1.5 + 0.82 * len(columns)), max(1.8, 0.9 + 0.46 * len(rows))
    fig, axes = figure(len(tables), 1, width=width, height=height)
    for axis, (title, table) in zip(axes[:, 0], tables.items()):
        present = [row for row in rows if row in table]
        _shade(axis, table, present, columns, cmap)
        _frame(axis, present, columns, names or {})
        if title:
            axis.set_title(title, loc="left")
    return fig


def _shade(
    axis: Axes, table: Table, rows: Sequence[str], columns: Sequence[str], cmap: str
) -> None:
    """Draw the cells of one heat map and the numbers in them."""
    value = np.array(
        [[table[r][c]["value"] if c in table[r] else np.nan for c in columns] for r in rows]
    ).reshape(len(rows), len(columns))
    if not value.size:
        return
    shade = axis.imshow(value, cmap=cmap, vmin=0.0, vmax=1.0, aspect="auto")
    held = np.array([[c in table[r] for c in columns] for r in rows])
    for i, j in np.argwhere(held):
        cell = table[rows[i]][columns[j]]
        text = f"{cell['value']:.2f}".replace("-0.00", "0.00").replace("-", "−")
        if cell.get("n", 1) > 1:
            text += f"\n±{cell['std']:.2f}"
        text = "–" if np.isnan(value[i, j]) else text
        red, green, blue = shade.cmap(shade.norm(value[i, j]))[:3]
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55  # luminance
        style: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 0.95}
        style |= {"fontsize": 8.5 if "\n" in text else 9.5, "color": "white" if dark else "black"}
        axis.text(j, i, text, **style)


def _frame(
    axis: Axes, rows: Sequence[str], columns: Sequence[str], names: Mapping[str, str]
) -> None:
    """Label the rows and columns of a heat map, and separate its cells by white lines."""
    below = [drawn(names.get(column, column.replace("_", " "))) for column in columns]
    beside = [drawn(names.get(row, row.replace("_", " "))) for row in rows]
    axis.set_xticks(range(len(columns)), below, rotation=35, ha="right")
    axis.set_yticks(range(len(rows)), beside)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", lw=1.5)
    axis.tick_params(which="minor", length=0)


# ------------------------------------------------------------------------------ points with bars


def dots(tables: Mapping[str, Table], targets: Sequence[str], less: Collection[str] = ()) -> Figure:
    """Draw one panel per study, {title: table}: a line of points per table row, one per target.

    A target has the same colour everywhere. less: targets of which less is better; their points
    are hollow. Bars are ± 1 standard deviation over seeds; the horizontal axis is for scores from 0
    to 1.
    """
    columns = max(1, min(3, len(tables)))
    fig, axes = figure(-(-len(tables) // columns), columns, width=3.3, height=2.5)
    for axis, (title, table) in zip(axes.flat, tables.items()):
        for k, (target, spare) in enumerate(zip(targets, cycle(TINTS))):
            cells, tint = [row[target] for row in table.values()], MEASURES.get(target, spare)
            axis.errorbar(
                [cell["value"] for cell in cells],
                np.arange(len(cells)) + (k - (len(targets) - 1) / 2) * 0.18,
                xerr=[cell["std"] or 0.0 for cell in cells],
                fmt="s" if target in less else "o",
                mfc="white" if target in less else tint,
                ms=5,
                lw=1.4,
                color=tint,
                label=target.replace("_", " ") + " (less is better)" * (target in less),
            )
        for row in range(1, len(table), 2):  # shaded, so that no point is read in another row
            axis.axhspan(row - 0.5, row + 0.5, color="#f2f2f2", lw=0, zorder=0)
        axis.set_xlim(-0.03, 1.03)
        _rows(axis, title, [row.replace("_", " ") for row in table])
    for axis in axes.flat[len(tables) :]:
        axis.set_visible(False)
    _legend_below(fig, axes[0, 0])
    return fig


def _rows(axis: Axes, title: str, labels: Sequence[str], shown: bool = True) -> None:
    """Give a panel its title and one line per label, the first on top."""
    axis.set_yticks(range(len(labels)), [drawn(label) if shown else "" for label in labels])
    axis.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axis.grid(axis="x", color=GRID, lw=0.6)
    axis.set_title(title, loc="left")


def _legend_below(fig: Figure, axis: Axes) -> None:
    """Draw the legend of a panel below the figure, with each label once."""
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": max(1, len(unique))}
    fig.legend(unique.values(), unique.keys(), **place)


def differences(panels: Mapping[str, Mapping[str, Verdict]], kinds: Mapping[str, str]) -> Figure:
    """Draw one panel per comparison, {title: {task: verdict}}: a point per task with its interval.

    kinds: {task: space whose colour its point has}. The point is filled if the interval excludes
    zero. With one seed the interval spans the panel.
    """
    fig, axes = figure(1, len(panels), width=3.6, height=0.9 + 0.3 * len(kinds))
    shown = [panel[name] for panel in panels.values() for name in kinds]
    reaches = [min(verdict.half, 0.5) + abs(verdict.mean) for verdict in shown]
    reach = 1.15 * max(filter(np.isfinite, reaches), default=0) or 0.1  # 0.1: none but zeros
    for axis, (title, panel) in zip(axes[0], panels.items()):
        axis.axvline(0, color="#888888", lw=1)
        for row, (name, kind) in enumerate(kinds.items()):
            verdict, tint = panel[name], color(kind)
            axis.errorbar(
                verdict.mean,
                row,
                xerr=min(verdict.half, 9),  # infinite for one seed
                fmt="o",
                ms=6,
                lw=1.6,
                color=tint,
                mfc=tint if verdict.sign else "white",
                label=kind,
            )
        axis.set(xlim=(-reach, reach), xlabel="difference in accuracy")
        _rows(axis, title, list(kinds), shown=axis is axes[0, 0])
    _legend_below(fig, axes[0, 0])
    return fig


def tradeoff(table: Table, x: str, y: Sequence[str]) -> Figure:
    """Draw one panel per column in `y` against column `x`, with a point per row of the table.

    A legend names the rows. Bars are ± 1 standard deviation over seeds.
    """
    fig, axes = figure(1, len(y), width=3.3, height=2.7)
    for axis, quantity in zip(axes[0], y):
        for (name, row), tint in zip(table.items(), cycle(TINTS)):
            across, up = row[x], row[quantity]
            bars = {"xerr": across["std"] or 0, "yerr": up["std"] or 0}
            style = {"fmt": "o", "ms": 6, "color": tint, "label": name}
            axis.errorbar(across["value"], up["value"], **bars, **style)
        axis.set_xlabel(x)
        axis.set_title(quantity, loc="left")
        axis.margins(0.15)
        axis.grid(color=GRID, lw=0.6)
    if table and y:
        _legend_below(fig, axes[0, 0])
    return fig

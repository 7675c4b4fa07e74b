"""The figures of the numerical page that no other page has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from msr.report.metrics import Table
from msr.report.plots import COLORS, GRID, color, figure
from msr.report.price_plots import front
from msr.report.tables import number


def known(rows: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]]) -> Figure:
    """Draw scatter plots, {row title: {panel title: (x [N], y [N])}}, a row of panels for each.

    y is a style space. Each panel says how much of it x explains, the squared correlation.
    """
    columns = max((len(panels) for panels in rows.values()), default=0)
    fig, axes = figure(len(rows), columns, width=2.9, height=2.3)
    for line, (name, panels) in zip(axes, rows.items()):
        for axis, (title, (x, y)) in zip(line, panels.items()):
            axis.scatter(x, y, s=4, linewidths=0, alpha=0.5, color=COLORS["content"])
            axis.set(xticks=[], yticks=[], xlabel=title)
            both = np.asarray([x, y], float)  # [2, N]
            if both.shape[1] > 1 and both.std(axis=1).all():
                share = number(float(np.corrcoef(both)[0, 1] ** 2))
                axis.set_title(f"explains {share}", fontsize=9, loc="right")
        line[0].set_ylabel(f"style space\n({name})", fontweight="bold")
    return fig


def spectra(values: Mapping[str, ArrayLike], counts: Mapping[str, int]) -> Figure:
    """Draw the singular values of each space's derivative, and where they are cut.

    values: {space: singular values [d], falling}, of a style space those of content and it
    together. counts: {space: how many of them count}, at most d; a dashed line is drawn behind
    them.
    """
    fig, axes = figure(1, len(values), width=2.3, height=2.3)
    for axis, (space, found) in zip(axes[0], values.items()):
        found = np.maximum(np.asarray(found), 1e-4)
        axis.semilogy(range(1, len(found) + 1), found, "o-", color=color(space, list(values)))
        axis.axvline(counts[space] + 0.5, color="black", lw=1, ls="--")
        together = "" if space == "content" else "content and "
        axis.set_title(together + space.replace("_", " "), loc="left", fontsize=10)
        axis.set(xlabel="number", xticks=range(1, len(found) + 1))
        axis.grid(axis="y", color=GRID, lw=0.6)
    axes[0, 0].set_ylabel("singular value")
    return fig


def minimum(table: Table, kinds: Mapping[str, Sequence[str]], named: Sequence[str]) -> Figure:
    """Draw what the spaces of each setting know against how far its loss is above the latents'.

    table: a row per setting, with the columns `above`, `content` and `lowest style`. kinds, named:
    as in `front`.
    """
    along = ("loss minus that of the latents", "R²")
    return front(table, "above", ["content", "lowest style"], kinds, named, along)

"""Figures of the benchmarks: ratios with their spread, and what a step spends its time on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from msr.report.plots import COLORS, GRID, figure

SHARES = (COLORS["joined"], COLORS["appearance"], "#dddddd", COLORS["content"])
Rows = Mapping[str, Mapping[str, Any]]  # {case: its ratio, low, high, ours, theirs, unit}


def ratios(panels: Mapping[str, Rows]) -> Figure:
    """Draw one panel per title, {title: {case: row}}: the ratio of each case with its quartiles.

    The axis is logarithmic, with a line at 1; to the right of it ours is faster. A point is grey
    where its quartiles enclose 1.
    """
    most = max([1, *map(len, panels.values())])
    fig, axes = figure(1, len(panels), width=3.9, height=0.9 + 0.3 * most)
    for axis, (title, rows) in zip(axes[0], panels.items()):
        middle = np.array([row["ratio"] for row in rows.values()])
        low, high = (np.array([row[end] for row in rows.values()]) for end in ("low", "high"))
        tints = [_tint(a, b) for a, b in zip(low, high)]
        at = np.arange(len(rows))
        axis.axvline(1, color="#888888", lw=1)
        axis.hlines(at, low, high, color=tints, lw=2)
        axis.scatter(middle, at, color=tints, s=36, zorder=3)
        for y, value in zip(at, middle):
            place = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 8, "ha": "center"}
            axis.annotate(times(value), (value, y), **place)
        axis.set_xscale("log")
        axis.set_xlim(min([0.5, *low]) / 1.4, max([2, *high]) * 1.4)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_yticks(at, list(rows))
        axis.set_ylim(len(rows) - 0.4, -0.7)
        axis.grid(axis="x", color=GRID, lw=0.6)
        axis.set_title(title, loc="left")
    return fig


def _tint(low: float, high: float) -> str:
    """Return the colour of a ratio with these quartiles: faster, slower, or neither."""
    if low <= 1 <= high:
        return COLORS["joined"]
    return COLORS["content" if low > 1 else "appearance"]


def times(ratio: float) -> str:
    """Return a ratio as a text with two digits or more: "1.8 ×", "127 ×"."""
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"


def shares(parts: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw one bar per step, {step: {part: its share of the time}}; what is left is "the rest".

    At most three parts have a colour. Parts that were measured one by one may sum to more than 1.
    """
    fig, axes = figure(1, 1, width=7.2, height=0.9 + 0.45 * len(parts))
    axis, left = axes[0, 0], np.zeros(len(parts))
    names = list(next(iter(parts.values()), {}))
    tints = dict(zip([*names, "the rest"], SHARES))
    for name, tint in tints.items():
        widths = np.array(
            [row.get(name, max(0.0, 1 - sum(row.values()))) for row in parts.values()]
        )
        axis.barh(np.arange(len(parts)), widths, left=left, color=tint, label=name, height=0.6)
        for y, (start, width) in enumerate(zip(left, widths)):
            if width > 0.02:
                axis.text(
                    start + width / 2, y, f"{width:.0%}", ha="center", va="center", fontsize=9
                )
        left = left + widths
    axis.set_yticks(range(len(parts)), list(parts))
    axis.invert_yaxis()
    axis.set_xlim(0, 1.02 * max([1, *left]))
    axis.set_xticks([])
    axis.spines["bottom"].set_visible(False)
    fig.legend(loc="outside lower center", ncols=3)
    return fig

"""Figures, from arrays only. Every function returns a matplotlib Figure and draws on nothing global."""
from __future__ import annotations

from typing import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

# One colour per kind of space, the same on every page (Okabe & Ito: distinct for colour-blind readers).
COLORS = {"h": "#444444", "content": "#0072B2", "appearance": "#D55E00", "spatial": "#009E73", "joined": "#999999"}
SPARE = ("#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10.5, "axes.titleweight": "bold",
         "figure.dpi": 110, "savefig.dpi": 160, "savefig.bbox": "tight", "legend.frameon": False, "figure.constrained_layout.use": True}


def color(name: str, among: Sequence[str] = ()) -> str:
    """The colour of a space; spaces without one of their own take the spare colours in order."""
    if name in COLORS:
        return COLORS[name]
    others = [n for n in among if n not in COLORS]
    return SPARE[others.index(name) % len(SPARE)] if name in others else "#CC79A7"


def figure(rows=1, columns=1, width=3.2, height=2.6, **options) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels, each width × height inches, and its axes [rows, columns]."""
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False, **options)
    plt.close(fig)                                            # shown once, by the cell that returns it
    return fig, axes


def to_image(x) -> np.ndarray:
    """[3, S, S], uint8 or float in [0, 1] -> [S, S, 3] in [0, 1]."""
    x = np.asarray(x)
    x = x / 255 if x.dtype == np.uint8 else x
    return np.clip(x.astype(np.float32).transpose(1, 2, 0), 0, 1)


def views(originals, views, titles: Sequence[str], shared: Sequence[str]) -> Figure:
    """One row per image: the original, then its views, each under its title and what it shares with the query.

    originals [B, 3, S, S], views [V, B, 3, S, S], in [0, 1]; titles and shared: one text per view, `shared` in the
    colour of the last space it names.
    """
    V, B = len(views), len(originals)
    fig, axes = figure(B, V + 1, width=1.5, height=1.5)
    for b in range(B):
        for axis, image in zip(axes[b], [originals[b], *(view[b] for view in views)]):
            axis.imshow(to_image(image))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, title, share in zip(axes[0], ["image", *titles], ["", *shared]):
        axis.set_title(share, fontsize=9, fontweight="normal", color=COLORS.get(share.split()[-1] if share else "", "#444444"))
        axis.text(0.5, 1.2, title, transform=axis.transAxes, ha="center", va="bottom", fontsize=10.5, fontweight="bold")
    return fig


def curves(logs: Sequence[list[dict]], spaces: Sequence[str]) -> Figure:
    """Alignment and λ of each space and the spread over training; one line per space: the mean over runs, a band of ± 1
    standard deviation where there are several."""
    fig, axes = figure(1, 3, width=3.3, height=2.7)
    epochs = np.array([line["epoch"] for line in logs[0]])

    def draw(axis, key, tint, label=None):
        values = np.array([[line[key] for line in log] for log in logs])                      # [runs, lines]
        mean, std = values.mean(axis=0), values.std(axis=0)
        axis.plot(epochs, mean, color=tint, label=label, lw=1.8, marker="o" if len(epochs) < 5 else None)
        axis.fill_between(epochs, mean - std, mean + std, color=tint, alpha=0.2, lw=0)

    for space in spaces:
        draw(axes[0, 0], f"violation/{space}", color(space, spaces), space)
        draw(axes[0, 2], f"lambda/{space}", color(space, spaces), space)
    draw(axes[0, 1], "spread", "black")
    for axis, title in zip(axes[0], ("misalignment $c_m$ per space", "spread (− joint entropy)", r"weight $\lambda_m$")):
        axis.set_title(title, loc="left")
        axis.set_xlabel("epoch")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 2].set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=9)
    return fig


def heatmap(table: dict[str, dict[str, dict]], rows: Sequence[str] = (), columns: Sequence[str] = (), title="", low=0.0, high=1.0,
            cmap="Blues", names: dict[str, str] | None = None) -> Figure:
    """table[row][column] = {"value", "std", "n"} as in metrics.json; the spread is printed where n > 1. Values outside
    [low, high] keep the end's colour. names: labels to show in place of the keys."""
    return heatmaps({title: table}, rows, columns, low, high, cmap, names)


def heatmaps(tables: dict[str, dict[str, dict[str, dict]]], rows: Sequence[str] = (), columns: Sequence[str] = (), low=0.0, high=1.0,
             cmap="Blues", names: dict[str, str] | None = None) -> Figure:
    """One `heatmap` under the other per title; rows and columns that a table lacks are left out."""
    first = next(iter(tables.values()))
    rows, columns, names = list(rows or first), list(columns or next(iter(first.values()))), names or {}
    width, height = max(2.6, 1.5 + 0.82 * len(columns)), max(1.8, 0.9 + 0.46 * len(rows))
    fig, axes = figure(len(tables), 1, width=width, height=height)
    for axis, (title, table) in zip(axes[:, 0], tables.items()):
        draw_heat(axis, table, [r for r in rows if r in table], columns, low, high, cmap, names)
        if title:
            axis.set_title(title, loc="left")
    return fig


def draw_heat(axis, table, rows, columns, low, high, cmap, names) -> None:
    """One heat map with its numbers, on one axis."""
    value = np.array([[table[r][c]["value"] if c in table[r] else np.nan for c in columns] for r in rows])
    shade = axis.imshow(value, cmap=cmap, vmin=low, vmax=high, aspect="auto")
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            if np.isnan(value[i, j]):
                continue
            cell = table[r][c]
            dark = sum(w * v for w, v in zip((0.3, 0.59, 0.11), shade.cmap(shade.norm(value[i, j]))[:3])) < 0.55
            text = f"{cell['value']:.2f}".replace("-0.00", "0.00").replace("-", "−")
            if cell.get("n", 1) > 1:
                text += f"\n±{cell['std']:.2f}"
            axis.text(j, i, text, ha="center", va="center", fontsize=8.5 if "\n" in text else 9.5, linespacing=0.95,
                      color="white" if dark else "black")
    axis.set_xticks(range(len(columns)), [names.get(c, c.replace("_", " ")) for c in columns], rotation=35, ha="right")
    axis.set_yticks(range(len(rows)), [names.get(r, r.replace("_", " ")) for r in rows])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", lw=1.5)
    axis.tick_params(which="minor", length=0)


def dots(tables: dict[str, dict[str, dict[str, dict]]], targets: Sequence[str], low=-0.03, high=1.03) -> Figure:
    """One panel per study, {title: table}: a row of points per setting, one colour per target, a bar of ± 1 standard deviation."""
    columns = min(3, len(tables))
    fig, axes = figure(-(-len(tables) // columns), columns, width=3.3, height=2.5)
    tints = dict(zip(targets, (COLORS["content"], COLORS["appearance"], COLORS["spatial"], *SPARE)))
    for axis, (title, table) in zip(axes.flat, tables.items()):
        rows = list(table)
        for k, target in enumerate(targets):
            value, std = ([table[r][target][key] or 0.0 for r in rows] for key in ("value", "std"))
            shift = (k - (len(targets) - 1) / 2) * 0.18
            axis.errorbar(value, np.arange(len(rows)) + shift, xerr=std, fmt="o", ms=5, lw=1.4, color=tints[target], label=target.replace("_", " "))
        axis.set(xlim=(low, high), yticks=range(len(rows)), yticklabels=[row.replace("_", " ") for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
        axis.set_title(title, loc="left")
    for axis in axes.flat[len(tables):]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(targets))
    return fig


def differences(panels: dict[str, dict[str, tuple[float, float]]], kinds: dict[str, str]) -> Figure:
    """One panel per comparison, {title: {task: (mean difference, half-width of its interval)}}: a point with its interval per task, coloured
    by kinds[task], filled where the interval excludes zero."""
    names = list(kinds)
    fig, axes = figure(1, len(panels), width=3.6, height=0.9 + 0.3 * len(names))
    reach = 1.15 * max(min(half, 0.5) + abs(d) for panel in panels.values() for d, half in (panel[n] for n in names))
    for axis, (title, panel) in zip(axes[0], panels.items()):
        axis.axvline(0, color="#888888", lw=1)
        for row, name in enumerate(names):
            d, half = panel[name]
            tint = color(kinds[name])
            axis.errorbar(d, row, xerr=min(half, 9), fmt="o", ms=6, lw=1.6, color=tint, mfc=tint if abs(d) > half else "white", label=kinds[name])
        axis.set(xlim=(-reach, reach), yticks=range(len(names)), yticklabels=names if axis is axes[0, 0] else [], xlabel="difference in accuracy")
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
        axis.set_title(title, loc="left")
    handles = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels())))
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


def tradeoff(table: dict[str, dict[str, dict]], x: str, y: Sequence[str]) -> Figure:
    """One panel per quantity of `y` against `x`, a named point with bars of ± 1 standard deviation per row of the table."""
    fig, axes = figure(1, len(y), width=3.3, height=2.7)
    tints = (COLORS["content"], COLORS["appearance"], COLORS["spatial"], *SPARE)
    for axis, quantity in zip(axes[0], y):
        for (name, row), tint in zip(table.items(), tints):
            axis.errorbar(row[x]["value"], row[quantity]["value"], xerr=row[x]["std"] or 0, yerr=row[quantity]["std"] or 0, fmt="o", ms=6, color=tint, label=name)
        axis.set_xlabel(x)
        axis.set_title(quantity, loc="left")
        axis.margins(0.15)
        axis.grid(color="#dddddd", lw=0.6)
    axes[0, 0].legend(fontsize=9)
    return fig


def hue(angle) -> np.ndarray:
    """A colour [N, 4] per angle in radians, going round the circle."""
    return plt.get_cmap("twilight_shifted")(np.mod(angle, 2 * np.pi) / (2 * np.pi))


def planes(panels: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Scatter plots side by side: {title: (points [N, 2], colours [N, 4])}."""
    fig, axes = figure(1, len(panels), width=2.5, height=2.6)
    for axis, (title, (points, colours)) in zip(axes[0], panels.items()):
        axis.scatter(*points.T, c=colours, s=5, linewidths=0)
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontweight="normal")
    return fig


def neighbours(images, features: dict[str, np.ndarray], queries: Sequence[int], k: int = 6) -> Figure:
    """For each query image a block of rows, one per space: the query, then its k nearest images in that space.

    images [N, 3, S, S], uint8 or in [0, 1]; features {space: [N, d]}, compared by Euclidean distance after standardising.
    """
    spaces = list(features)
    fig, axes = figure(len(spaces), len(queries) * (k + 2) - 1, width=0.78, height=0.82)
    for i, space in enumerate(spaces):
        f = (features[space] - features[space].mean(0)) / (features[space].std(0) + 1e-6)
        for q, query in enumerate(queries):
            distance = ((f - f[query])**2).sum(axis=1)
            distance[query] = -1
            for j, n in enumerate(np.argsort(distance)[: k + 1]):
                axis = axes[i, q * (k + 2) + j]
                axis.imshow(to_image(images[n]))
                if j == 0:
                    axis.spines[:].set(visible=True, linewidth=2.5, color=color(space, spaces))
        axes[i, 0].set_ylabel(space, rotation=0, ha="right", va="center", color=color(space, spaces), fontweight="bold", fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        if not axis.images:
            axis.set_visible(False)
        elif axis.spines["left"].get_linewidth() < 2:
            axis.spines[:].set_visible(False)
    return fig


def sheet(rows: dict[str, Sequence], size=0.62) -> Figure:
    """A contact sheet: one labelled row of images [n, 3, S, S] each, rows of any length."""
    fig, axes = figure(len(rows), max(len(r) for r in rows.values()), width=size, height=size)
    for line, (name, images) in zip(axes, rows.items()):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, image in zip(line, images):
            axis.imshow(to_image(image))
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return fig


def columns_of(images: dict[str, Sequence], right: dict[str, Sequence[bool]] | None = None, size=0.95) -> Figure:
    """One titled column of images [n, 3, S, S] each; a frame, green or red, where `right` says whether an image is the right one."""
    right = right or {}
    n = max(len(column) for column in images.values())
    fig, axes = figure(n, len(images), width=size, height=size)
    for j, (name, column) in enumerate(images.items()):
        axes[0, j].set_title(name, fontsize=9, fontweight="bold")
        for i, axis in enumerate(axes[:, j]):
            axis.set(xticks=[], yticks=[])
            axis.imshow(to_image(column[i]))
            axis.spines[:].set(visible=name in right, linewidth=2.5, color=COLORS["spatial"] if name in right and right[name][i] else COLORS["appearance"])
    return fig

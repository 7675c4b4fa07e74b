"""Figures of images, and of points in a plane.

Images are [3, S, S], uint8 or float in [0, 1], as NumPy arrays or as tensors on the CPU. A function
that draws returns a matplotlib Figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from msr.report.names import drawn
from msr.report.plots import COLORS, color, figure

Images = Any  # [n, 3, S, S], an array, a tensor or a list of images


def to_image(x: ArrayLike) -> np.ndarray:
    """Convert an image [3, S, S], uint8 or float in [0, 1], to float [S, S, 3] in [0, 1]."""
    x = np.asarray(x)
    x = x / 255 if x.dtype == np.uint8 else x
    return np.clip(x.astype(np.float32).transpose(1, 2, 0), 0, 1)


def _picture(axis: Axes, image: ArrayLike | None) -> None:
    """Show one image without ticks, or an empty panel for None."""
    if image is not None:
        axis.imshow(to_image(image))
    axis.set(xticks=[], yticks=[])


def views(originals: Images, views: Images, titles: Sequence[str], shared: Sequence[str]) -> Figure:
    """Draw one row per image: the original, then its V views.

    originals: [B, 3, S, S]. views: [V, B, 3, S, S]. titles, shared: one text per view; both stand
    above it. `shared` says what the view shares with the query; if its last word is the name of a
    space, the text has the colour of that space.
    """
    V, B = len(views), len(originals)
    fig, axes = figure(B, V + 1, width=1.5, height=1.5)
    for b in range(B):
        for axis, image in zip(axes[b], [originals[b], *(view[b] for view in views)]):
            _picture(axis, image)
            axis.spines[:].set_visible(False)
    for axis, title, share in zip(axes[0], ["image", *titles], ["", *shared]):
        tint = COLORS.get(share.split()[-1] if share else "", "#444444")
        axis.set_title(share, fontsize=9, fontweight="normal", color=tint)
        axis.text(
            0.5,
            1.2,
            title,
            transform=axis.transAxes,
            ha="center",
            va="bottom",
            fontsize=10.5,
            fontweight="bold",
        )
    return fig


def neighbours(images: Images, nearest: Mapping[str, np.ndarray]) -> Figure:
    """Draw the nearest images of Q queries: one row per space, one block of columns per query.

    images: [N, 3, S, S], or {row: image} of those shown. nearest: {space: rows of images, int [Q, 1
    + k]}, each query itself and then its k nearest images, as `evaluate.retrieval.nearest_images`
    returns them. The query has a frame.
    """
    spaces = list(nearest)
    queries, block = np.asarray(nearest[spaces[0]]).shape if spaces else (0, 0)
    fig, axes = figure(len(spaces), queries * (block + 1) - 1, width=0.78, height=0.82)
    for axis in axes.flat:
        _picture(axis, None)
        axis.spines[:].set_visible(False)
    for line, space in zip(axes, spaces):
        tint = color(space, spaces)
        for q, rows in enumerate(nearest[space]):
            start = q * (block + 1)  # one empty panel between the blocks
            for axis, row in zip(line[start : start + block], rows):
                _picture(axis, images[int(row)])
            line[start].spines[:].set(visible=True, linewidth=2.5, color=tint)
        label = line[0].set_ylabel(space, rotation=0, ha="right", va="center", color=tint)
        label.set(fontweight="bold", fontsize=10)
    for axis in axes.flat:
        axis.set_visible(bool(axis.images))
    return fig


def sheet(rows: Mapping[str, Images]) -> Figure:
    """Draw a contact sheet: one row per entry {label: images [n, 3, S, S]}, n may differ."""
    most = max((len(images) for images in rows.values()), default=0)
    fig, axes = figure(len(rows), most, width=0.62, height=0.62)
    for line, (name, images) in zip(axes, rows.items()):
        for axis in line:
            _picture(axis, None)
            axis.spines[:].set_visible(False)
        for axis, image in zip(line, images):
            _picture(axis, image)
        line[0].set_ylabel(drawn(name), rotation=0, ha="right", va="center", fontsize=10)
    return fig


def columns_of(
    images: Mapping[str, Images], right: Mapping[str, Sequence[bool]] | None = None
) -> Figure:
    """Draw one column per entry {title: images [n, 3, S, S]}; all columns have n images.

    right: {title: for each image, whether it is the right one}, for some of the columns. Their
    images have a green frame if right, else an orange-red one.
    """
    n = len(next(iter(images.values()), ()))
    fig, axes = figure(n, len(images), width=0.95, height=0.95)
    for line, (name, column) in zip(axes.T, images.items()):
        line[0].set_title(drawn(name), fontsize=9, fontweight="bold")
        verdicts = (right or {}).get(name)
        for i, (axis, image) in enumerate(zip(line, column)):
            _picture(axis, image)
            tint = COLORS["spatial" if verdicts and verdicts[i] else "appearance"]
            axis.spines[:].set(visible=verdicts is not None, linewidth=2.5, color=tint)
    return fig


# ---------------------------------------------------------------------------- points in a plane


def hue(angle: ArrayLike) -> np.ndarray:
    """Return a colour (RGBA in [0, 1], [N, 4]) for each angle [N] in radians; equal at 0 and 2π."""
    return plt.get_cmap("twilight_shifted")(np.mod(angle, 2 * np.pi) / (2 * np.pi))


def planes(panels: Mapping[str, tuple[ArrayLike, np.ndarray]]) -> Figure:
    """Draw scatter plots side by side: {title: (points [N, 2], RGBA colours [N, 4])}."""
    fig, axes = figure(1, len(panels), width=2.5, height=2.6)
    for axis, (title, (points, colours)) in zip(axes[0], panels.items()):
        axis.scatter(*np.asarray(points).T, c=colours, s=5, linewidths=0)
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontweight="normal")
    return fig

"""Draws the pictures of the introduction, in four steps:  python book/images/idea.py

They are idea-1.png … idea-4.png; the README shows the third. The numbers of the last are those of
results/numerical.json.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from msr.augment import ColorJitter, Normalise, Pipeline, ResizedCrop
from msr.data import trifeature
from msr.report import galleries, kept, plots, tables
from msr.views import Views

SIZE, SEED, KEYS = 96, 1, ("content", "appearance", "spatial")
CAPTIONS = (
    "query\nall parameters drawn: $t$",
    "key 0\nall drawn afresh",
    "appearance key\nafresh, but the colours of $t$",
    "spatial key\nafresh, but the crop of $t$",
)
FREE = {
    0: [(0.4, 0.22), (0.6, 0.22)],
    1: [(0.14, 0.12), (0.86, 0.88)],
    2: [(0.14, 0.12), (0.86, 0.88)],
}


def star():
    """The query and its three keys, [4, 3, S, S]."""
    crop = ResizedCrop(SIZE, scale=(0.55, 0.8), ratio=(1.0, 1.0), overhang=0.12)
    jitter = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.5, p=1.0)
    views = Views(Pipeline([crop, jitter, Normalise()]), None, KEYS[1:])
    factors = trifeature.sample(1, 0) | {
        "shape": torch.tensor([8]),
        "texture": torch.tensor([5]),
        "color": torch.tensor([1]),
        "x": torch.tensor([0.5]),
        "y": torch.tensor([0.5]),
        "size": torch.tensor([0.27]),
        "angle": torch.tensor([0.3]),
    }
    original = trifeature.render(factors, 2 * SIZE)
    return Normalise().undo(views(original, torch.Generator().manual_seed(SEED)))[:, 0]


def sheet():
    """A figure of two rows and four columns, all axes off."""
    with plt.rc_context(plots.STYLE | {"font.size": 12}):
        fig, axes = plt.subplots(2, 4, figsize=(12, 6.4), height_ratios=(1, 1.25))
    for axis in axes.flat:
        axis.axis("off")
    return fig, axes


def show_views(axes, images, n):
    """The first n views with their captions."""
    for axis, image, caption in zip(axes[:n], images, CAPTIONS):
        axis.imshow(galleries.to_image(image))
        axis.set_title(caption, fontsize=12, fontweight="normal")


def show_space(axis, images, m, title, tint):
    """A space in which key m is pulled to the query; the other views are elsewhere."""
    place = {0: (0.29, 0.5), m + 1: (0.71, 0.5)}
    others = [k for k in range(1, len(images)) if k not in place]
    place |= dict(zip(others, FREE[m]))
    axis.axis("on")
    axis.plot(*zip(place[0], place[m + 1]), color=tint, lw=7, solid_capstyle="round", zorder=1)
    for k, at in place.items():
        near = k in (0, m + 1)
        picture = OffsetImage(
            galleries.to_image(images[k]), zoom=0.56 if near else 0.28, alpha=1 if near else 0.45
        )
        edge = {"edgecolor": tint if near else "#bbbbbb", "linewidth": 2.2 if near else 0.8}
        axis.add_artist(AnnotationBbox(picture, at, pad=0.15, bboxprops=edge))
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], facecolor=tint + "12")
    axis.spines[:].set(visible=True, color=tint, linewidth=1.6)
    axis.set_xlabel(title, color=tint, fontweight="bold", fontsize=13)


def say(axis, *parts):
    """Lines of text in an empty panel, from the top down."""
    for i, part in enumerate(parts):
        axis.text(0, 0.9 - 0.42 * i, part, va="top", fontsize=13)


def plain(images):
    """Step 1: self-supervision as it is."""
    fig, axes = sheet()
    show_views(axes[0], images, 2)
    below = fig.add_subplot(axes[1, 0].get_gridspec()[1, :2])
    show_space(below, images[:2], 0, "the embedding", "#666666")
    say(axes[0, 2], "Plain self-supervision:\ntwo views of an image\nare pulled together.")
    say(axes[1, 2], "So the embedding forgets\nwhatever differs between\nthem: colour and place.")
    return fig


def keys(images):
    """Step 2: keys that share a part of what was drawn."""
    fig, axes = sheet()
    show_views(axes[0], images, 4)
    say(axes[1, 0], "We draw the parameters\nourselves, so a key can\nrepeat some of them.")
    lines = dict(zip(("shape, texture", "colour", "place"), (0.48, 0.3, 0.12)))
    axes[1, 0].text(0, 0.6, "Same as the query’s:", fontsize=13, fontweight="bold")
    for m, (name, height) in enumerate(lines.items()):
        axes[1, 0].text(0.06, height, name, va="center", fontsize=13)
        for k, (axis, tint) in enumerate(zip(axes[1, 1:], tints())):
            fill = tint if m in (0, k) else "white"
            axis.plot(0.5, height, "o", ms=22, mec=tint, mew=2, mfc=fill)
    for axis in axes[1]:
        axis.set(xlim=(0, 1), ylim=(0, 1))
    return fig


def tints():
    """The colours of the three spaces."""
    return [plots.COLORS[name] for name in KEYS]


def spaces(images):
    """Step 3: a space for each key."""
    fig, axes = sheet()
    show_views(axes[0], images, 4)
    for m, (axis, name, tint) in enumerate(zip(axes[1, 1:], KEYS, tints())):
        show_space(axis, images, m, f"{name} space $z^{m}$", tint)
    say(
        axes[1, 0],
        "In each space,\none key is pulled\nto the query.",
        "All spaces together\nare spread out, so that\nno style space merely\nrepeats the content.",
    )
    return fig


def spread():
    """Step 4: what a style space knows with one spread for all, and with one for each."""
    record = json.loads((kept.RESULTS / "numerical.json").read_text())
    found, content = record["tables"], record["params"]["content"]
    with plt.rc_context(plots.STYLE | {"font.size": 13}):
        fig, axes = plt.subplots(1, 2, figsize=(12, 6.4), sharey=True)
    titles = {"separate": "each space spread by itself", "joint": "all spaces spread together"}
    for axis, (name, title) in zip(axes, titles.items()):
        row = found[name]["scalar styles"]
        cells = {"its style": row["style"], "the content": row["leak"]}
        tints = [plots.COLORS[space] for space in ("appearance", "content")]
        for (what, cell), tint in zip(cells.items(), tints):
            value = cell["value"]
            axis.bar(what, value, yerr=cell["std"], color=tint, width=0.6, capsize=4)
            tall = value > 0.1
            where = value / 2 if tall else 0.03
            tone = {"color": "white" if tall else "black", "ha": "center", "va": "center"}
            axis.text(what, where, tables.number(value), fontsize=15, **tone)
        axis.hlines(1 / content, 0.6, 1.4, color="#555555", lw=1.5, ls=":")
        axis.set_title(title, fontsize=15)
        axis.set_ylim(-0.02, 1.12)
    axes[0].set_ylabel("R² of what a style space predicts")
    room = f"all that one dimension can hold\nof {content} dimensions of content"
    axes[0].text(1, 1 / content + 0.02, room, color="#555555", fontsize=11, ha="center")
    return fig


if __name__ == "__main__":
    images, here = star(), Path(__file__)
    steps = plain(images), keys(images), spaces(images), spread()
    for i, fig in enumerate(steps):
        fig.savefig(here.with_name(f"idea-{i + 1}.png"), dpi=110)

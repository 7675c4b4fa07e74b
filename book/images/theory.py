"""Draws the pictures of the chapter on the theory:  python book/images/theory.py"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from msr.data.counterexamples import folded, turned_by, wound
from msr.report import galleries, plots

HERE = Path(__file__).parent
STYLE = plots.STYLE | {"font.size": 12}
DRAWN = torch.Generator().manual_seed(0)


def square(axis, points, tints, title: str, below: str = "", size: float = 5) -> None:
    """Draw points of the unit square."""
    axis.scatter(*points.T, s=size, c=tints, lw=0, rasterized=True)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 1], yticks=[0, 1], aspect="equal")
    axis.set_title(title, fontsize=13)
    axis.text(0.5, -0.2, below, ha="center", va="top", transform=axis.transAxes, fontsize=11)


def example() -> Figure:
    """Draw the embeddings of five encoders of one content and one style."""
    c, s = torch.rand(2, 1500, generator=DRAWN)
    encoders = {
        "right": ((c, s), "0", "0"),
        "exchanged": ((s, c), "0.17", "0.17"),
        "mixed": ((c, (c + s) / 2), "0.69", "0.19"),
        "copied": ((c, c), "∞", "0"),
        "collapsed": ((torch.full_like(c, 0.5), s), "∞", "∞"),
    }
    fig, axes = plt.subplots(1, 5, figsize=(14, 3.9), layout="constrained")
    for axis, (name, (z, joint, separate)) in zip(axes, encoders.items()):
        below = f"joint: {joint}\nseparate: {separate}"
        square(axis, torch.stack(z, 1).numpy(), plt.cm.viridis(c.numpy()), name, below)
    axes[0].set_xlabel("content space", labelpad=-8)
    axes[0].set_ylabel("style space", labelpad=-8)
    return fig


def winding() -> Figure:
    """Draw content before it is wound, around the disc, and after."""
    c = torch.rand(3500, 2, generator=DRAWN)
    right = c[:, 1] > 0.5  # the second time around
    shade = 0.25 + 0.75 * (2 * c[:, 1] % 1)
    blue, red = torch.tensor([0, 0.36, 0.66]), torch.tensor([0.85, 0.33, 0.1])
    tints = torch.where(right[:, None], red, blue)
    tints = (1 - shade[:, None] * (1 - tints)).numpy()
    radius, angle = c[:, 0].sqrt(), 4 * torch.pi * c[:, 1]
    disc = torch.stack([radius * angle.cos(), radius * angle.sin()], 1) / 2 + 0.5
    fig, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    square(axes[0], c.flip(1).numpy(), tints, "content: $c_2$ across, $c_1$ up")
    square(axes[1], disc.numpy(), tints, "twice around the disc")
    square(axes[2], wound(c).numpy(), tints, "the content space")
    axes[1].axis("off")
    return fig


def fold() -> Figure:
    """Draw the graph of a fold, and the three preimages of one value."""
    c, level = torch.linspace(0, 1, 901), 0.55
    fig, axis = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    axis.axhspan(1 / 3, 2 / 3, color="#eeeeee", lw=0)
    axis.plot(c, folded(c), color=plots.COLORS["content"], lw=3)
    up = (level - 1 / 3) / 3
    crossings = [1 / 3 + up, 5 / 9 - up, 5 / 9 + up]
    axis.hlines(level, 0, max(crossings), color="#888888", ls=":")
    axis.vlines(crossings, 0, level, color="#888888", ls=":")
    axis.scatter(crossings, [level] * 3, color=plots.COLORS["appearance"], zorder=3)
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 1], yticks=[0, 1], aspect="equal")
    axis.set_xlabel("content $c$", labelpad=-8)
    axis.set_ylabel(r"content space $\psi_0(c)$", labelpad=-8)
    return fig


def turn() -> Figure:
    """Draw a style, the style turned by content, and that where content is nearly constant."""
    style, content = torch.randn(2, 60000, 2, generator=DRAWN)
    turned, tints = turned_by(style, content), galleries.hue(torch.atan2(*style.T.flip(0)).numpy())
    few, band = slice(0, 2500), ((content[:, 0] - 0.5).abs() < 0.06).nonzero()[:2500, 0]
    panels = {
        "the style $s$": (style[few], tints[few]),
        "turned by content": (turned[few], tints[few]),
        "the same, content near one value": (turned[band], tints[band]),
    }
    fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    for axis, (title, (points, shades)) in zip(axes, panels.items()):
        axis.scatter(*points.T, s=5, c=shades, lw=0)
        axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal")
        axis.axis("off")
        axis.set_title(title, fontsize=13)
    return fig


with plt.rc_context(STYLE):
    for draw in (example, winding, fold, turn):
        draw().savefig(HERE / f"{draw.__name__}.png", dpi=90)

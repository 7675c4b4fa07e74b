"""Draws idea.png, the picture of the introduction and of the README:  python book/images/idea.py"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from msr.augment import ColorJitter, Normalise, Pipeline, ResizedCrop
from msr.data import trifeature
from msr.report import galleries, plots
from msr.views import Views

SIZE, SEED, KEYS = 96, 1, ("content", "appearance", "spatial")
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
images = Normalise().undo(views(original, torch.Generator().manual_seed(SEED)))[:, 0]

with plt.rc_context(plots.STYLE | {"font.size": 12}):
    fig, axes = plt.subplots(2, 4, figsize=(12, 6.4), height_ratios=(1, 1.25))
captions = (
    "query\nall parameters drawn: $t$",
    "key 0\nall drawn afresh",
    "appearance key\nafresh, but the colours of $t$",
    "spatial key\nafresh, but the crop of $t$",
)
for axis, image, caption in zip(axes[0], images, captions):
    axis.imshow(galleries.to_image(image))
    axis.set_title(caption, fontsize=12, fontweight="normal")
    axis.axis("off")
for m, (axis, name) in enumerate(zip(axes[1, 1:], KEYS)):
    tint, place = plots.COLORS[name], [(0.29, 0.5), None, None, None]
    place[m + 1] = (0.71, 0.5)
    free = iter(
        [(0.4, 0.22), (0.6, 0.22)] if name == "content" else [(0.14, 0.12), (0.86, 0.88)]
    )  # content: the others agree too
    for k in range(1, 4):
        if k != m + 1:
            place[k] = next(free)
    axis.plot(*zip(place[0], place[m + 1]), color=tint, lw=7, solid_capstyle="round", zorder=1)
    for k, image in enumerate(images):
        near = k in (0, m + 1)
        axis.add_artist(
            AnnotationBbox(
                OffsetImage(
                    galleries.to_image(image),
                    zoom=0.56 if near else 0.28,
                    alpha=1 if near else 0.45,
                ),
                place[k],
                pad=0.15,
                bboxprops={
                    "edgecolor": tint if near else "#bbbbbb",
                    "linewidth": 2.2 if near else 0.8,
                },
            )
        )
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], facecolor=tint + "12")
    axis.spines[:].set(visible=True, color=tint, linewidth=1.6)
    axis.set_xlabel(f"{name} space $z^{m}$", color=tint, fontweight="bold", fontsize=13)
words = axes[1, 0]
words.axis("off")
words.text(0, 0.86, "In each space,\none key is pulled\nto the query.", va="top", fontsize=13)
words.text(
    0,
    0.38,
    "All spaces together\nare spread out, so that\nno style space merely\nrepeats the content.",
    va="top",
    fontsize=13,
)
fig.savefig(Path(__file__).with_suffix(".png"), dpi=110)

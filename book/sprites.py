# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sprites
#
# A sprite has a shape, a colour, a size, an angle and a place, and we drew it: every factor is known. Augmentations change colour, size and
# place, the angle by little, the shape not at all. So the theory says where each factor must go, colour to `appearance`, place to
# `spatial`, shape to `content`, and this page looks. Then it takes the content of one sprite, the colour of a second and the place of a third, and retrieves the image that has all three.

# %% tags=["parameters", "hide-input"]
epochs = 20  # passes over the training images
study_epochs = 0  # the same in the studies below; 0: a quarter of epochs
max_images = 20000  # training images, drawn from 7,372,800
probe_images = 4000  # that the probes are fitted on, and as many held-out ones that they are scored on
seeds = 3  # independent runs of the headline; numbers are mean ± standard deviation
seed = 20  # the first of them
groups = "appearance,spatial"  # augmentation groups that get a style space
strength = "strong"  # of the augmentations: weak, medium, strong, shifted, full_circle
family = "entropy"  # simclr, vicreg, barlow, entropy
sizes = "4,3,5"  # dimensions of content and of each style space
lambdas = "1"  # weight of the alignments, one for all or one per space
temperature = 1.0  # τ of the family entropy
paired = False  # one key per image, in turn
separate_style = False  # one projector for content and another for the styles
backbone = "vgg"  # cnn, vgg, resnet18, resnet34, resnet50
width = 16  # channels of the first layer of cnn and vgg
hidden = "512"  # widths of the projector's hidden layers
batch_size = 128  # images per step
optimizer = "adamw"  # adamw, lars or sgd
lr = 4e-3  # peak learning rate (lars and sgd: per 256 images)
warmup = 0.1  # share of the training in which it rises
image_size = 32  # pixels; the original has 64
continuous = False  # factors and hue drawn from their ranges, not from the grid
npz = ""  # the original dSprites file, whose pixels then take the place of ours
precision = "auto"  # bf16, float32, or what the processor does best
device = "auto"  # cpu, cuda, cuda:1
fresh = False  # set aside what out_dir holds, rather than go on with it
out_dir = "runs/sprites"  # weights, logs and metrics.json go here
profile = "standard"  # a label: which set of parameters made this page

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr import plots, report, sprites
from msr.data import sprites as data
from msr.experiment import even_sizes
from msr.metrics import Metrics

params = {name: globals()[name] for name in sprites.PARAMETERS}
setup = sprites.prepare(**params)
metrics = Metrics("sprites", params, setup.device, out_dir)
names = setup.spaces.names
display(Markdown(report.made_by("sprites", profile, setup)))

# %% [markdown]
# ## The images
#
# The factors of dSprites {cite:p}`dsprites17`, rendered by signed distance, in the ten colours of Tableau's palette. Each row changes one.

# %%
plots.sheet(data.contact_sheet(image_size))

# %% [markdown]
# Beside the original's published description: the same counts and ranges (3 shapes, scale 0.5 to 1 in 6 steps, orientation 0 to 2π in 40, x and y in 32;
# 737,280 white images of 64 × 64) and the same order. What differs: edges are one pixel soft where the original's pixels are 0 or 1; the outlines
# are our own, of about its sizes; colour, a factor more. With the original's file, `-p npz FILE` uses its pixels.
#
# ## What each view shares
#
# Zoom, rotation and translation are the group `spatial`, colour jitter and greyscale the group `appearance`. Every hue is drawn, and zoom changes
# size by more than sprites differ in it. Sprites turn and grow about their own centre, and translation does not shift them from where they were but
# puts them somewhere: a shift that keeps a sprite in view cannot hide whether it was on the left, and whatever is not hidden is content (below:
# `shifted`). Rotation is by 15° at most, which hides little of the orientation: it should be content here, and style where the full circle is drawn.

# %%
originals = setup.val.fetch(torch.arange(5)).float() / 255
batch = setup.views(originals, torch.Generator().manual_seed(4))      # [V, B, 3, S, S]
titles = ["query", *(f"key {m}" for m in range(len(batch) - 1))]
shares = ["draws t", "shares content", *(f"+ {name}" for name in names[1:])] if not paired else ["draws t", "shares: in turn"]
plots.views(originals, report.unnormalise(batch), titles, shares)

# %% [markdown]
# ## Training
#
# The loop and the objective are those of [photographs](imagenet.ipynb); by default the family is `entropy`, the theorem's objective made trainable.

# %%
runs = [setup.fit(s) for s in range(seed, seed + seeds)]
plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## Every factor from every space
#
# Held-out sprites, plain, the network frozen. Shape and colour: accuracy (chance 0.33 and 0.10). The others: R², orientation by sine and
# cosine of the angle times the shape's symmetry (a square looks the same after a quarter turn, an ellipse after half of one).

# %%
strong = metrics.add("strong", [sprites.probe(setup, run) for run in runs])
display(plots.heatmap(strong, columns=sprites.targets(setup)))
display(Markdown(report.sprites_promises(strong, names)))

# %% [markdown]
# **DCI-ES** of the joined code {cite:p}`eastwood2018,eastwood2023dci`, shape and colour as one column per class, angles as sine and cosine:

# %%
scores = metrics.add("dci_es", [{"joined": sprites.dci_es(setup, run)} for run in runs])
display(Markdown(report.table(scores)))

# %% [markdown]
# ## Neighbours
#
# Beside each query (framed), its nearest held-out sprites in each space.

# %%
features = setup.embed(runs[0], setup.val_probe)
plots.neighbours(setup.val_probe.pixels, {name: features[name] for name in names}, queries=[2, 7], k=6)

# %% [markdown]
# ## Beside plain self-supervision
#
# The same network, family, embedding width and augmentations, no style spaces, as many views.

# %%
plain = [setup.fit(s, vanilla=True) for s in range(seed, seed + seeds)]
vanilla = metrics.add("vanilla", [sprites.probe(setup, run) for run in plain])
plots.heatmap(vanilla, ["h", "content"], sprites.targets(setup), title="plain SSL")

# %% [markdown]
# ## Style swap by retrieval
#
# Take the content of sprite A (shape and orientation), the appearance of B, and from C its size and place: which image of a gallery is nearest, when
# the distances in the three spaces are added? The gallery holds every held-out sprite of 100 sizes and places in all shapes, five angles and all
# colours, so nearly right answers abound. Plain self-supervision has one embedding and cannot be told which part to match: the
# three distances are taken in its $h$.
# (Row and column `h`: the same with the $h$ of our own network. A green frame: right in all of it.)

# %%
task = sprites.swap_task(200, seed, size=image_size)
parts, whole = sprites.parts(setup.views), [("h", i) for i in range(3)]
results = [dict(zip(("spaces", "h", "plain SSL"), [*sprites.swap(setup, run, task, parts, whole), *sprites.swap(setup, base, task, whole)]))
           for run, base in zip(runs, plain)]
swap = metrics.add("swap", [{name: score for name, (score, _) in r.items()} for r in results])
shown = {f"{part} of": task.gallery.pixels[task.queries[:6, i]] for i, part in enumerate(("content", "colour", "place"))}
shown |= {name: task.gallery.pixels[rows[:6]] for name, (_, rows) in results[0].items()}
right = {name: (task.key[rows[:6]] == task.wanted[:6]).all(dim=1).tolist() for name, (_, rows) in results[0].items()}
display(plots.columns_of(shown, right))
display(Markdown(report.table(swap)))

# %% [markdown]
# ## Four styles
#
# Colour, zoom, translation and rotation, each with a space of its own, now with every angle drawn (`full_circle`). About the image's centre a rotation
# would move the sprite as well, and position belong to two groups; about its own centre it does not.

# %%
finer = dict(groups="color,zoom,translation,rotation", sizes="4,3,1,2,3", strength="full_circle", paired=False, lambdas="1")
split = sprites.vary(setup, epochs=max(1, epochs // 2), out_dir=f"{out_dir}/four", **finer)
fours = [split.fit(s) for s in range(seed, seed + seeds)]
four = metrics.add("four", [sprites.probe(split, run) for run in fours])
apart = metrics.add("four_swap", [{"spaces": sprites.swap(split, run, task, sprites.parts(split.views))[0][0]} for run in fours])
display(plots.heatmap(four, columns=sprites.targets(setup)))
display(Markdown(report.sprites_promises(four, split.spaces.names)))
display(Markdown("Style swap with these spaces, orientation from A:\n\n" + report.table(apart)))

# %% [markdown]
# ## What matters
#
# Shorter runs of one seed, one change each: strength of the augmentations (`shifted`: a shift as far as keeps sprites in view instead of a drawn
# place; `full_circle`: every angle, with two style spaces); weights λ fixed or adaptive; the family (its own usual sizes and weights); one
# key per image in turn (`paired`), with as many views in all; a projector of their own for the styles; a network of strided convolutions without max-pools.

# %%
short = sprites.vary(setup, epochs=study_epochs or max(1, epochs // 4), out_dir=f"{out_dir}/studies")
wide = dict(sizes=",".join(map(str, even_sizes(128, len(names) - 1))), lambdas="")
longer = round(short.settings.epochs * len(batch) / 2)
cells = {
    "strength": {"strong": {}} | {s: dict(strength=s) for s in ("medium", "weak", "shifted", "full_circle")},
    "weights": {"λ = 1": {}} | {f"λ = {v}": dict(lambdas=str(v)) for v in (0.3, 3)} | {"adaptive": dict(adaptive=True, epsilon=0.1)},
    "family": {"entropy": {}} | {f: dict(family=f, **wide) for f in ("simclr", "vicreg", "barlow")},
    "views": {"all keys": {}, "paired": dict(paired=True, epochs=longer)},
    "network": {"as above": {}, "style projector": dict(separate_style=True), "strided": dict(backbone="cnn", width=32)}}

# %%
default = sprites.study(short, seed, "default")
studies = {}
for title, settings in cells.items():
    tables = {name: sprites.study(short, seed, f"{title}/{name}", **changes) if changes else default for name, changes in settings.items()}
    studies[title] = metrics.add(title, [{name: sprites.summary(t) for name, t in tables.items()}])
plots.dots(studies, ["shape", "color", "position", "color_in_content", "position_in_content"])

# %% [markdown]
# ## What is limited
#
# - Size is found in content and in `appearance` as well as in `spatial`. Zoom changes size by more than sprites differ in it, but not without bound: what an
#   augmentation does not hide counts as content, and other spaces may hold it too. Where zoom shares its space with translation and rotation, the spaces
#   together may also lose some of it; compare the four styles, where zoom has a space of its own.
# - With every angle drawn and two style spaces (`full circle`) shape suffers; compare it with the four spaces above, which see every angle too. Longer
#   runs of `full_circle` may differ.
# - A grey sprite stays grey under every colour jitter: of the ten colours, that one is content unless greyscale is drawn often.
# - Studies have one seed and a fraction of the training: they show directions, not sizes.
# - An R² near 0 says that this probe, with these samples, finds nothing.
#
# At the paper's scale, on a GPU: `papermill book/sprites.ipynb out.ipynb -f book/profiles/paper-sprites.yml`.
#
# ## Check

# %%
path = metrics.write()
assert set(strong) == {"h", *names, "joined"} and all(set(row) >= set(sprites.targets(setup)) for row in strong.values())
assert all(np.isfinite(cell["value"]) for t in metrics.tables.values() for row in t.values() for cell in row.values())
print(f"{path} written after {metrics.record['seconds']:.0f} s")

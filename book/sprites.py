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
# A sprite has a shape, a colour, a size, an angle and a place. We drew it, so every factor is
# known. Augmentations change colour, size and place, the angle a little, and the shape not at all.
# So each factor should be encoded by one space: `appearance` the colour, `spatial` the place,
# `content` the shape. (The theorem needs factors that are all continuous. Shape and colour are
# discrete here, so it does not apply, and the same is expected by analogy.) This page checks it.
# Then it takes the content of one sprite, the colour of a second and the place of a third, and
# retrieves the image that has all three.
#
# *For everyone who knows how two views are pulled together, as in SimCLR; no more is needed. Next:
# the same on [images](imagenet.ipynb).*

# %% tags=["parameters", "hide-input"]
epochs = 20  # passes over the training images
seeds = 3  # number of independent runs; tables show mean ± std
max_images = 20000  # training images, drawn from 7,372,800 sprites
strength = "strong"  # augmentations: weak, medium, strong, shifted, full_circle
groups = ["appearance", "spatial"]  # augmentation groups that get a style space
family = "entropy"  # simclr, vicreg, barlow, entropy
sizes = [4, 3, 5]  # dimensions of content and of each style space
out_dir = "runs/sprites"  # weights, logs and metrics.json go here
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label
seed = 20  # seed of the first run; the others take the next ones
precision = "auto"  # bf16, float32, or auto: bf16 where it is faster
fresh = False  # set aside earlier runs in out_dir and train again
image_size = 32  # pixels a side; the original dSprites has 64
lambdas = [1.0]  # λ: weight of each space's alignment, or one for all
temperature = 0.0  # τ of simclr or entropy; 0: the family's default
loss_settings = {}  # other settings of the family, such as {"beta": 0.01} for barlow
content_spread = 0.0  # weight of a further spread, of the content space alone; 0: none
content_pairs = "all"  # content is aligned over all its pairs, or query (and key 0)
joint = True  # spread all spaces together; False: each alone, to compare
adaptive = False  # adjust λ by dual ascent while training …
epsilon = 0.1  # … so that each misalignment is at most this; 1: independent
dual_rate = 0.02  # largest step of λ in the dual ascent
dual_warmup_epochs = None  # epochs before the dual ascent begins; None: a tenth of all
paired = False  # one key per image, cycling: the cost does not grow with groups
backbone = "vgg"  # cnn, vgg, alexnet, resnet18, resnet34, resnet50
width = 16  # channels of the first layer of a small network
hidden = [512]  # widths of the projector's hidden layers
separate_style = False  # give the styles a projector of their own
init = ""  # trained weights to begin from: a file or a run's folder
backbone_rate = 1.0  # learning rate of loaded weights, as a share of lr; 0: frozen
batch_size = 128  # images per step, over all devices
optimizer = "adamw"  # adamw, lars or sgd
lr = 0.004  # peak learning rate (lars and sgd: per 256 images)
weight_decay = 1e-06  # strength of weight decay; biases and normalisation have none
warmup_epochs = None  # epochs in which lr rises; None: a tenth of all
clip = 0.0  # largest norm of the gradient; 0: no clipping
micro_batch = 0  # views per device at a time; 0: as many as fit (CPU: all)
compile = "auto"  # torch.compile the network; auto: on a GPU, in a long run
devices = 1  # processes that train together
sync_batchnorm = True  # batch normalisation over the images of all devices
save_every = 0  # steps between further checkpoints; 0: one per epoch only
log_every = 0  # steps between lines of the log; 0: by the length of the run
continuous = False  # draw factors and hue from continuous ranges, not from a grid
npz = ""  # path of the original dSprites file; empty: sprites are rendered
probe_images = 4000  # sprites to fit probes on, and as many held-out ones to score on
study_epochs = 0  # epochs of each run in a study; 0: a quarter of epochs
kept_studies = False  # in a short run: show the studies of the kept run, train none

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr.augment import Normalise
from msr.data import dsprites
from msr.evaluate import retrieval
from msr.experiments import imagenet, seen, several, shipped, sprites, swap
from msr.report import Metrics, galleries, kept, plots, sentences, tables, training_plots

config = sprites.Parameters.read(globals())
setup = sprites.prepare(config)
metrics = Metrics("sprites", config.model_dump(), setup.device, config.out_dir)
facts = setup.facts(paper="paper-sprites")
display(Markdown(sentences.made_by("sprites", config.profile, facts)))

# %% [markdown]
# ## The images
#
# The images have the factors of dSprites {cite:p}`dsprites17`, rendered from signed distances, in
# the ten colours of Tableau's palette. Each row varies one factor.

# %%
galleries.sheet(dsprites.contact_sheet(config.image_size))

# %% [markdown]
# Counts, ranges and order are those of the original's published description: 3 shapes, 6 scales
# from 0.5 to 1, 40 orientations from 0 to 2π, 32 values of x and of y, so 737,280 white images of
# 64 × 64. Three things differ. Edges are one pixel soft, where the original's pixels are 0 or 1.
# The outlines are our own, of about the same size. Colour is an extra factor. If you have the
# original's file, `-p npz FILE` uses its pixels.
#
# ## What each view shares
#
# Each image is augmented several times. The **query** draws all its parameters. **Key 0** draws all
# of them afresh, so it shares with the query only what no augmentation changes: content. The **key
# of a group** draws all afresh except that group's, which it takes from the query: it shares
# content and that style.
#
# Zoom, rotation and translation are the group `spatial`, colour jitter and greyscale the group
# `appearance`. Every hue is drawn.
#
# - *Place.* A small shift hides little of where a sprite was. At the exact optimum that would do
#   ({prf:ref}`lem-blind`); in training what is hardly hidden stays in content (see `shifted`
#   below). So translation puts the sprite at a new place, which is drawn.
# - *Size.* Likewise zoom draws the new size itself, and not a factor. (Size is the root mean square
#   distance of the sprite's light from its centre.)
# - *Orientation.* Rotation is by 15° at most, which hides little of the orientation. So in
#   training it should stay in content here, and be style where every angle is drawn.
# - A view that is darker than a quarter of the range is brightened, so none is all but black.

# %%
names = setup.spaces.names
originals = setup.val.fetch(torch.arange(5)).float() / 255
batch = setup.views(originals, torch.Generator().manual_seed(4))  # [V, B, 3, S, S]
titles = ["query", *(f"key {m}" for m in range(len(batch) - 1))]
shares = ["draws t", "shares content", *(f"+ {name}" for name in names[1:])]
shares = ["draws t", "shares: cycling"] if config.paired else shares
galleries.views(originals, Normalise().undo(batch), titles, shares)

# %% [markdown]
# ## Training
#
# The loop and the objective are those of [the experiment on images](imagenet.ipynb); by default the
# family (the form of the loss) is `entropy`, the theorem's objective made trainable. Each space's
# *misalignment* is how far apart the query and its key lie in that space: 0 where they agree, 1
# where they have nothing to do with each other. The *spread* of all spaces together is minus their
# joint entropy. On the right one is drawn against the other, from the first step to the last.

# %%
runs, plain = several.trained(setup, config.all_seeds, plain=True, probe=sprites.probe)
training_plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## Every factor from every space
#
# The network is frozen, and probes predict each factor of held-out sprites that are not augmented.
# The rows are the backbone's features `h`, each space, and all spaces side by side (`joined`). For
# shape and colour the score is accuracy (chance is 0.33 and 0.10), for the other factors R².
# Orientation is predicted as sine and cosine of the angle times the shape's symmetry: a square
# looks the same after a quarter turn, an ellipse after half a turn.

# %%
factors = sprites.targets(setup)
strong = metrics.add("strong", [sprites.probe(setup, run) for run in runs])
display(plots.heatmap(strong, columns=factors))
display(Markdown(sentences.sprites_promises(strong, names, setup.views.homes(factors))))

# %% [markdown]
# ## What a view still tells
#
# A style space should hold what its group hides. How well is it hidden? Content, by the theory, is
# whatever two views have in common that share no draw, so what a single view tells of a factor
# before augmentation stays content. Below, each sprite is augmented as in training, and its factors
# before that are predicted from this one view: from its $h$, and from its content space. (Both are
# lower bounds: another probe may find more, and that of $h$ looks for it among many features. The
# list has the factors of style spaces; orientation is turned by a few degrees only, and is content
# here.)

# %%
home = setup.views.homes(factors)
styles = [name for name in factors if home.get(name, "content") != "content"]


def told(plain, views):
    """Show what is known of plain sprites, and what their views tell."""
    table = {name: plain[name] for name in ("h", "content")} | views
    display(plots.heatmap(table, columns=factors))
    display(Markdown(sentences.hidden_sentences(table, styles)))


told(strong, metrics.add("seen", several.measured(lambda run: seen.seen(setup, run), runs)))

# %%
longer = kept.read(setup.config)  # a run of this experiment that is kept with the book, or None
old = longer["tables"] if longer else {}
shows = bool(longer) and config.kept_studies  # the studies of that run, in place of shorter ones
if longer:
    display(Markdown(kept.made_by(longer)))
    told(old["strong"], old["seen"])

# %% [markdown]
# A sprite that was enlarged has softer edges than one that was shrunk, so a view of whatever drawn
# size may hint at the size before; and a grey sprite stays grey under every change of hue. Where
# the content space knows no more than a view tells, augmentation has left it there, and no training
# would remove it.
#
# **DCI-ES** {cite:p}`eastwood2018,eastwood2023dci` of all spaces joined, with shape and colour as
# one column per class, and angles as sine and cosine:

# %%
each_dci = several.measured(lambda run: sprites.dci_es(setup, run), runs)
scores = metrics.add("dci_es", [{"joined": score} for score in each_dci])
display(Markdown(tables.table(scores)))

# %% [markdown]
# ## Neighbours
#
# Beside each query (framed), its nearest held-out sprites in each space.

# %%
features = setup.embed(runs[0], setup.val_probe)
nearest = {name: retrieval.nearest_images(features[name], [2, 7], k=6) for name in names}
galleries.neighbours(setup.val_probe.pixels, nearest)

# %% [markdown]
# ## Beside plain self-supervision
#
# The network for comparison has the same backbone, family, embedding width and augmentations, but
# no style spaces. It is trained on the same number of views.

# %%
vanilla = metrics.add("vanilla", [sprites.probe(setup, run) for run in plain])
display(plots.heatmap(vanilla, ["h", "content"], factors, title="plain SSL"))
if longer:
    display(Markdown(kept.made_by(longer)))
    display(plots.heatmap(old["strong"], columns=factors, title="ours"))
    display(plots.heatmap(old["vanilla"], ["h", "content"], factors, title="plain SSL"))

# %% [markdown]
# ## Style swap by retrieval
#
# Take the content of sprite A (shape and orientation), the appearance of B, and the size and place
# of C. Which image of a gallery is nearest, if the distances in the three spaces are added? The
# gallery holds every held-out sprite with one of 100 pairs of size and place, in all shapes, five
# angles and all colours; therefore a number of its images are nearly right. Plain self-supervision
# has a single embedding, so all three distances are measured in its $h$. (Row and column `h` do the
# same with the $h$ of our own network. A green frame marks an image that is right in everything, an
# orange one an image that is not.) A plain embedding has no parts to take apart, so this shows what
# the spaces are good for, and is no contest.

# %%
task = swap.swap_task(200, config.seed, size=config.image_size)
both = zip(runs, plain, strict=True)
results = [swap.compared(setup, run, base, task) for run, base in both]
scores = [{name: score for name, (score, _) in result.items()} for result in results]
swapped = metrics.add("swap", scores)
display(galleries.columns_of(*swap.shown(task, results[0])))
display(Markdown(tables.table(swapped)))

# %%
known = shipped.shipped(setup, "sprites") if longer else None  # this run is shorter
if known:
    (found,) = swap.swap(setup, known, task, swap.parts(setup.views))
    display(Markdown(kept.of_network(longer, "sprites")))
    display(galleries.columns_of(*swap.shown(task, {"spaces": found})))
    display(Markdown(tables.table(metrics.add("shipped", [{"spaces": found[0]}]))))

# %% [markdown]
# ## Four styles
#
# Colour, zoom, translation and rotation now have a space each, and every angle is drawn
# (`full_circle`). A rotation about the image's centre would move the sprite as well, so position
# would belong to two groups; a rotation about the sprite's own centre does not move it.

# %%
finer = {"groups": ("color", "zoom", "translation", "rotation"), "sizes": (4, 3, 1, 2, 3)}
finer |= {"strength": "full_circle", "paired": False, "lambdas": (1.0,)}
finer |= {"epochs": max(1, config.epochs // 2), "out_dir": f"{config.out_dir}/four"}
split = sprites.vary(setup, **finer)
if shows:
    four, apart = old["four"], old["four_swap"]
    display(Markdown(kept.made_by(longer, kept.STUDIES)))
else:
    fours, _ = several.trained(split, config.all_seeds, probe=sprites.probe)
    takes = swap.parts(split.views)
    four = metrics.add("four", [sprites.probe(split, run) for run in fours])
    scores = [{"spaces": swap.swap(split, run, task, takes)[0][0]} for run in fours]
    apart = metrics.add("four_swap", scores)

# %%
homes = split.views.homes(factors)
display(plots.heatmap(four, columns=factors))
display(Markdown(sentences.sprites_promises(four, split.spaces.names, homes)))
display(Markdown("Style swap, orientation from A:\n\n" + tables.table(apart)))

# %% [markdown]
# ## What matters
#
# These runs are shorter than the main ones that they belong to, have one seed, and make one change
# each: the strength of the augmentations (`shifted`: sprites are shifted, by as much as keeps them
# in view, instead of put at a drawn place; `full_circle`: every angle, with two style spaces);
# weights λ fixed or adaptive, and a further spread of the content space by itself
# ({prf:ref}`prop-spread`); the family, with its usual sizes and weights; one key per image, cycling
# (`paired`), with the same number of views in all; a projector of their own for the styles; a
# network of strided convolutions without max-pools.
#
# The families other than `entropy` have spaces far wider than the factors need, and here little
# training: with room to spare a space holds what it should not, as on the page on
# [latents](numerical.ipynb). None was tuned for sprites.

# %%
fewer = config.study_epochs or max(1, config.epochs // 4)
short = sprites.vary(setup, epochs=fewer, out_dir=f"{config.out_dir}/studies")
wide = {"sizes": imagenet.even_sizes(128, len(names) - 1), "lambdas": (), "temperature": 0}
as_many = round(fewer * len(batch) / 2)  # epochs of two views an image
others = ("medium", "weak", "shifted", "full_circle")
cells = {
    "strength": {"strong": {}} | {name: {"strength": name} for name in others},
    "weights": {"λ = 1": {}} | {f"λ = {v}": {"lambdas": v} for v in (0.3, 3)},
    "family": {"entropy": {}} | {f: {"family": f} | wide for f in ("simclr", "vicreg", "barlow")},
    "views": {"all keys": {}, "paired": {"paired": True, "epochs": as_many}},
    "network": {"as above": {}, "style projector": {"separate_style": True}},
}
cells["weights"]["adaptive"] = {"adaptive": True, "epsilon": 0.1}
cells["weights"]["content spread"] = {"content_spread": 1.0}
cells["network"]["strided"] = {"backbone": "cnn", "width": 32}

# %%
every = {"default": {}} | {f"{t}/{n}": c for t, some in cells.items() for n, c in some.items() if c}
studies = {title: old[title] for title in cells} if shows else {}
if shows:
    display(Markdown(kept.made_by(longer, kept.STUDIES)))
else:
    jobs = [(config.seed, name, changes) for name, changes in every.items()]
    done = dict(zip(every, several.mapped(short, sprites.study, jobs, list(every)), strict=True))
    for title, settings in cells.items():
        found = {}
        for name, changes in settings.items():
            homes = sprites.homes(sprites.vary(short, **changes))
            found[name] = sprites.summary(done[f"{title}/{name}" if changes else "default"], homes)
        studies[title] = metrics.add(title, [found])

# %%
shown = ["shape", "color", "position", "color_in_content", "position_in_content"]
display(plots.dots(studies, shown, less=shown[3:]))
display(Markdown(sentences.changes_sentences(studies)))

# %% [markdown]
# ## Limitations
#
# - Size may be encoded in more than one space, as far as a view still tells it (see above).
# - With every angle drawn and two style spaces (`full_circle`) shape is predicted less well;
#   compare the four spaces above, which are trained with every angle too. Longer runs of
#   `full_circle` may differ.
# - A grey sprite stays grey under every colour jitter: of the ten colours, grey is content unless
#   greyscale is drawn often.
# - The studies have one seed and a fraction of the training: they show the direction of an effect,
#   not its size.
# - An R² near 0 says that this probe, with these samples, finds nothing.
#
# At the paper's scale, on a GPU: `papermill book/sprites.ipynb out.ipynb -f
# book/profiles/paper-sprites.yml`.
#
# ## Exercises
#
# 1. Two sprites differ in shape alone. Render both, and count the pixels that differ.
# 2. Why does a shift that keeps a sprite in view not hide its place? Compare where a sprite can
#    be after a shift (`Translate`) with where it can be put (`Place`).
# 3. A square looks the same after a quarter turn. How is its orientation encoded, so that a probe
#    can predict it?
#
# ````{dropdown} Solutions
# ```python
# import torch
# from msr.data import dsprites
#
# index = dsprites.draw(1, seed=0)
# classes = dsprites.classes_of(index)
# shapes = [classes | {"shape": torch.tensor([k])} for k in range(2)]
# square, ellipse = (dsprites.render(dsprites.values_of(some), 32) for some in shapes)
# differ = (square != ellipse).any(dim=1).sum()
# assert 0 < differ < 32 * 32
# ```
#
# A shift moves a sprite by at most a part of the image, so one on the left stays on the left more
# often than not. A place is drawn anew, whatever it was:
#
# ```python
# from msr.augment import Place, Translate
#
# assert "x" in Place().hides and "x" not in Translate().hides and "x" in Translate().changes
# ```
#
# As sine and cosine of the angle times the symmetry, which are the same after a quarter turn:
#
# ```python
# angle, square = torch.tensor([0.3, 0.3 + torch.pi / 2]), torch.zeros(2, dtype=torch.long)
# first, second = dsprites.turns(angle, square)
# torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
# ```
# ````
#
# ## Check

# %%
path = metrics.write()
assert set(strong) == {"h", *names, "joined"}
assert all(set(row) >= set(factors) for row in strong.values())
scores = [c for table in metrics.tables.values() for row in table.values() for c in row.values()]
assert not np.isinf([cell["value"] for cell in scores]).any()  # nan, shown as "–": no score
print(f"{path} written after {metrics.record['seconds']:.0f} s")

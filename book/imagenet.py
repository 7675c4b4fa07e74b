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
# # Images: one embedding, several spaces
#
# Self-supervised learning pulls two augmented views of an image together, and so throws away
# whatever the augmentation changed: the embedding all of it, the features before it a part. Here
# that part, the *style*, is kept: beside the content space, each group of augmentations gets a
# space of its own, invariant to every augmentation **but** that group's. This page trains such
# spaces on a set of images, asks with probes what each one encodes, and trains the same network by
# plain self-supervision, at equal compute, for comparison.
#
# *For readers who want to train it. What a key is, [the introduction](intro.md) shows in four
# steps. Next: why it works, [in action](numerical.ipynb) and [proved](theory.md); or straight to
# [your images](files.md).*

# %% tags=["parameters", "hide-input"]
data_dir = ""  # folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes
image_size = 0  # pixels a side; 0: rendered 48, a named set's own, else 64 (GPU: 224)
epochs = 100  # passes over the training images
seeds = 3  # number of independent runs; tables show mean ± std
groups = ["appearance", "spatial"]  # augmentation groups that get a style space
family = ""  # simclr, vicreg, barlow, entropy; empty: follows the images
sizes = []  # dimensions of content and each style space, such as [64, 32, 32]
out_dir = "runs/imagenet"  # weights, logs and metrics.json go here
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label
seed = 0  # seed of the first run; the others take the next ones
precision = "auto"  # bf16, float32, or auto: bf16 where it is faster
fresh = False  # set aside earlier runs in out_dir and train again
max_images = 0  # largest number of training images; 0: all (rendered: 2000)
lambdas = []  # λ: weight of each space's alignment, or one for all; empty: the family's
temperature = 0.0  # τ of simclr or entropy; 0: the family's default
loss_settings = {}  # other settings of the family, such as {"beta": 0.01} for barlow
content_spread = None  # weight of content's own spread; 0: none, None: by the images
content_pairs = "all"  # content is aligned over all its pairs, or query (and key 0)
joint = True  # spread all spaces together; False: each alone, to compare
adaptive = False  # adjust λ by dual ascent while training …
epsilon = 0.1  # … so that each misalignment is at most this; 1: independent
dual_rate = 0.02  # largest step of λ in the dual ascent
dual_warmup_epochs = None  # epochs before the dual ascent begins; None: 1
paired = False  # one key per image, cycling: the cost does not grow with groups
backbone = ""  # cnn, vgg, alexnet, resnet18, 34 or 50, mlp; empty: by the images
width = 0  # channels of the first layer of a small network; 0: by the images
hidden = []  # widths of the projector's hidden layers; empty: follows the images
separate_style = False  # give the styles a projector of their own
init = ""  # trained weights to begin from: a file or a run's folder
backbone_rate = 1.0  # learning rate of loaded weights, as a share of lr; 0: frozen
batch_size = 0  # images per step, over all devices; 0: follows the images
optimizer = ""  # adamw, lars or sgd; empty: follows the images
lr = 0.0  # peak learning rate (lars, sgd: per 256 images); 0: follows the images
weight_decay = 1e-06  # strength of weight decay; biases and normalisation have none
warmup_epochs = None  # epochs in which lr rises; None: follows the images
clip = 0.0  # largest norm of the gradient; 0: no clipping
micro_batch = 0  # views per device at a time; 0: as many as fit (CPU: all)
compile = "auto"  # torch.compile the network; auto: on a GPU, in a long run
devices = 1  # processes that train together
sync_batchnorm = True  # batch normalisation over the images of all devices
save_every = 0  # steps between further checkpoints; 0: one per epoch only
log_every = 0  # steps between lines of the log; 0: by the length of the run
val_dir = ""  # held-out images; empty: val/ in data_dir, else a tenth of it
max_bad = 0.1  # share of files that may be unreadable; those are skipped
augmentation = ""  # weak, medium, strong, small or shapes; empty: follows the images
num_workers = 2  # processes that decode image files, for each device
vanilla = True  # also train plain self-supervision, for comparison
probe_images = 4000  # largest number of images to fit probes on, and to score them on
linear_probe = False  # also the field's linear probe: all images, top-1 and top-5

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr.augment import Normalise
from msr.evaluate import retrieval
from msr.experiments import imagenet, several
from msr.report import Metrics, galleries, kept, plots, sentences, tables, training_plots

config = imagenet.Parameters.read(globals())
setup = imagenet.prepare(config)
metrics = Metrics("imagenet", setup.config.model_dump(), setup.device, config.out_dir)
display(Markdown(sentences.made_by("imagenet", config.profile, setup.facts())))

# %% [markdown]
# (views-share)=
# ## What each view shares
#
# Each image is augmented several times. The **query** draws all its parameters, $t$. **Key 0**
# draws everything afresh, so it shares with the query only what no augmentation changes: content.
# **Key $m$** draws everything afresh *except* group $m$, whose parameters it takes over from $t$:
# it shares content and style $m$. The groups of this run:

# %%
display(Markdown(sentences.grouped(setup.views.members)))
originals = setup.val.fetch(torch.arange(5)).float() / 255
batch = setup.views(originals, torch.Generator().manual_seed(4))  # [V, B, 3, S, S]
names = setup.spaces.names
titles = ["query", *(f"key {m}" for m in range(len(batch) - 1))]
shares = ["draws t", "shares content", *(f"+ {name}" for name in names[1:])]
shares = ["draws t", "shares: cycling"] if config.paired else shares
galleries.views(originals, Normalise().undo(batch), titles, shares)

# %% [markdown]
# ## The objective in one line
#
# The network gives $h$, a projector gives $z = [z^0, z^1, \dots, z^M]$, cut into named spaces, and
#
# $$
# \mathcal{L} \;=\; \sum_{m=0}^{M} \lambda_m \,
# \mathrm{align}_m\!\left(z^m_{\text{query}},\, z^m_{\text{key } m}\right) \;+\; \mathrm{spread}(z).
# $$
#
# Each alignment sees one space alone. The spread (an estimate of *minus* the joint entropy) sees
# **all of $z$ at once**: only this keeps a style space from copying the content, which its pair
# shares as well. Two refinements: the content term is the mean over all pairs of views that share
# content alone, such as two keys, which leaves the minimisers as they are ({prf:ref}`prop-pairs`);
# and a further spread of the content space may be added, which leaves them as they are where the
# loss reaches its bound ({prf:ref}`prop-spread`). Here is the loss of one batch, computed by hand
# and by the library:

# %%
model, objective = setup.build(config.seed)
images = setup.train.fetch(torch.arange(32)).to(setup.device)
x = setup.views(images, torch.Generator().manual_seed(0))
with torch.no_grad():
    z = model(x.flatten(0, 1))[1].view(len(x), len(images), -1)  # [V, B, D]
    terms, record = objective(z), objective.record
    parts = model.spaces.split(record.normalise(z, model.spaces))
    pairs = [objective.pair(parts[name], m) for m, name in enumerate(names)]
    align = torch.stack([record.align(query, key) for query, key in pairs])
    # L = Σ_m λ_m align_m + spread(z)
    by_hand = objective.weight * (objective.lambdas * align).sum() + terms.spread
print(f"by hand {by_hand:.6f}, library {terms.loss:.6f}")
torch.testing.assert_close(by_hand, terms.loss)

# %% [markdown]
# ## Training
#
# `msr.fit` is the one loop of this book: views, network, objective, step. Below, each space's
# misalignment falls while the joint embedding spreads out.

# %%
runs, baseline = several.trained(setup, config.all_seeds, plain=config.vanilla)
training_plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## What each space encodes
#
# The network is frozen, and probes predict from its features on held-out images. The rows are the
# backbone's features $h$, each space, and all spaces side by side (`joined`). A **label** is
# predicted by logistic regression and by 20 nearest neighbours (top-1 accuracy), a continuous
# **factor** by the better of two models: ridge regression on the features and smooth functions of
# them, or a small network (R²). The **style probes** predict what the augmentation did, from the
# features of a pair of plain image and augmented view: the crop's centre and size, the flip, and
# the changes of brightness, contrast, saturation and hue (R²).

# %%
main = metrics.add("main", [setup.probe(run) for run in runs])
factors = {*setup.val.labels, *setup.val.factors, "position"} - {"x", "y"}  # its parts
homes = setup.views.homes(factors - {"class"})  # what decides a user's classes is not known
drawn = setup.views.targets()
labels, styles = tables.columns(main, drawn, hidden=("x", "y"))
if labels:
    display(plots.heatmap(main, columns=labels, title="labels and factors"))
few = len(setup.train_probe), len(setup.train)
if setup.val.labels and few[0] < few[1]:
    display(Markdown(sentences.small_probe(*few, field=config.linear_probe)))
if config.linear_probe:
    field = metrics.add("linear", [setup.linear(run) for run in runs])
    display(Markdown(tables.table(field)))
display(plots.heatmap(main, columns=styles, title="style probes", cmap="Greens"))

# %% [markdown]
# How much can be known at all? The same probes, from the images themselves: from the mean, the
# spread and the extremes of each colour channel of both views, and from both views reduced to
# 8 × 8 pixels. The better row is a lower bound: a network may find more.

# %%
inputs = metrics.add("inputs", [setup.inputs(seed) for seed in config.all_seeds[:1]])
plots.heatmap(inputs, columns=styles, title="style probes from the images", cmap="Greens")

# %% [markdown]
# ## What to notice
#
# Read each column from top to bottom: which space predicts most, and by how much? The theory has
# an answer for some targets before any training. What no augmentation changes belongs to content;
# what one group of augmentations hides, and what it drew, belongs to that group's space. (The
# theorem needs factors that are all continuous. Shape, texture and flips are not, so what it says
# is expected here by analogy.) Where the images themselves tell more than a space, that space has
# not learnt all there is. These sentences are generated from the table above:

# %%
display(Markdown(sentences.promises(main, names, homes)))
display(Markdown(tables.best_spaces(main, labels + styles, names)))

# %%
longer = kept.read(setup.config)  # a run of this experiment that is kept with the book, or None
if longer:
    display(Markdown(kept.made_by(longer)))
    display(plots.heatmap(longer["tables"]["main"], columns=labels, title="labels and factors"))
    display(plots.heatmap(longer["tables"]["main"], columns=styles, cmap="Greens"))

# %% [markdown]
# ## Sensitivity: the promise as a matrix
#
# This measure needs no labels. Draw one group of parameters afresh and keep the others. How far
# does each space move, as a share of the squared distance between different images?
#
# $$
# S_{m g} = \frac{\mathbb{E}\,\lVert z^m(t) - z^m(t') \rVert^2}
# {\mathbb{E}\,\lVert z^m_i - z^m_j \rVert^2},
# \qquad t' = t \text{ with group } g \text{ drawn afresh.}
# $$
#
# The promise: the content row near 0, and each style row near 0 except for its own group.

# %%
sensitivity = metrics.add("sensitivity", [setup.sensitivity(run) for run in runs])
display(Markdown(sentences.sensitivity_sentence(sensitivity, names)))
plots.heatmap(sensitivity, rows=names, title="row: space, column: group", cmap="Oranges")

# %% [markdown]
# ## Nearest neighbours
#
# Each space has its own idea of "similar". Beside each query (framed), its nearest held-out images
# in each space.

# %%
features = setup.embed(runs[0], setup.val_probe)
nearest = {name: retrieval.nearest_images(features[name], [3, 11], k=5) for name in names}
shown = setup.pictures(setup.val_probe, np.stack([*nearest.values()]).flat)
galleries.neighbours(shown, nearest)

# %% [markdown]
# ## Beside plain self-supervision
#
# The network for comparison has the same backbone, family, embedding width and augmentations, but
# no style spaces ($M = 0$). It is trained on **the same number of views**: two per image, so for
# more steps. Its whole embedding is called "content", with the λ of our content space and its
# further spread, if it has one; any style that survives is kept by accident. Much may survive in
# $h$, which lies before the projector and need not agree between views.

# %%
if baseline:
    table = metrics.add("vanilla", [setup.probe(run) for run in baseline])
    rows = ["h", "content"]
    if labels:
        display(plots.heatmap(table, rows, labels, title="plain SSL: labels and factors"))
    display(plots.heatmap(table, rows, styles, title="plain SSL: style probes", cmap="Greens"))
    display(Markdown(tables.compare(main, table, labels + styles)))
if baseline and longer:
    both = [longer["tables"].get(name, {}) for name in ("main", "vanilla")]
    display(Markdown(f"{kept.made_by(longer)}\n\n{tables.compare(*both, labels + styles)}"))
if baseline and config.linear_probe:
    plain = metrics.add("vanilla_linear", [setup.linear(run) for run in baseline])
    display(Markdown(tables.compare(field, plain, list(field["h"]))))

# %% [markdown]
# ## Limitations
#
# - **Bounded augmentations.** A space keeps a residue of what the augmentations do not fully hide.
#   The crop changes the size of an object by less than objects differ in size, so size is partly
#   content; the tables show which spaces encode it.
# - **Sizes are guesses** at the true number of style dimensions. If a space is too small, part of
#   its style is lost; spare dimensions may fill with content, which only the spread discourages.
# - **Some style cannot be seen.** Where a crop was taken is a property of a pair of images. From
#   one view it can only be guessed. If the pipeline flips images, and images are as often mirrored
#   as not, the view alone says nothing about the crop's horizontal place: each guess and its mirror
#   image are equally likely.
# - **Probes are estimates.** Every space is a function of $h$, so nothing can be less predictable
#   from $h$ than from a space. A probe that is fitted on the number of images stated above may
#   still find less in hundreds of dimensions than in four; where it does, read the row of $h$ as a
#   lower bound.
# - **A price.** Compare `h` in the last table: where plain self-supervision is better, keeping
#   style cost content. [The price of style](price.ipynb) asks what the price comes from, and shows
#   how long a training needs until its content space has lost what augmentation changes.
#
# To go further, use more epochs, a larger backbone, or your own images.

# %% [markdown]
# ## Exercises
#
# 1. Which parameters do the query and key 0 have in common, and which the query and the appearance
#    key?
# 2. Give flips a space of their own. How many views does an image have then, and how many with
#    `paired`?
# 3. Feed the objective embeddings in which the appearance space is a copy of a part of the content
#    space. By how much does the joint spread rise?
#
# ````{dropdown} Solutions
# Key 0 has nothing in common with the query, the appearance key its colours and nothing else:
#
# ```python
# import torch
# from msr.augment import pipelines
# from msr.views import Views
#
# views = Views(*pipelines("medium", 32), ["appearance", "spatial"])
# query, zero, appearance, spatial = views.sample(torch.Generator().manual_seed(0), 64, 32)
#
#
# def same(key):
#     found = {name for name, drawn in query.items() if drawn}
#     return {n for n in found if all(torch.equal(v, key[n][k]) for k, v in query[n].items())}
#
#
# assert same(zero) == set() and same(spatial) == {"crop", "flip"}
# assert same(appearance) == {"jitter", "greyscale", "blur", "solarise"}
# ```
#
# Groups may have the names of transforms. A group adds a view, unless views are paired:
#
# ```python
# finer = ["appearance", "crop", "flip"]
# assert Views(*pipelines("small", 32), finer).n_views == 5
# assert Views(*pipelines("small", 32), finer, paired=True).n_views == 2
# ```
#
# The copy costs joint entropy:
#
# ```python
# from msr.objective import Objective
# from msr.spaces import Spaces
#
# spaces = Spaces(("content", "appearance"), (2, 2))
# objective = Objective("entropy", spaces)
# z = torch.randn(1, 512, 4, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
# copy = torch.cat([z[..., :2], z[..., :2]], dim=2)
# rise = objective(copy).spread - objective(z).spread
# print(f"{rise:.2f} nats")
# assert rise > 0.3
# ```
# ````
#
# ## Check

# %%
path = metrics.write()
for experiment, table in metrics.tables.items():
    assert experiment in ("vanilla", "inputs") or set(table) <= {"h", *names, "joined"}
    cells = [cell["value"] for row in table.values() for cell in row.values()]
    assert not np.isinf(cells).any()  # nan, shown as "–": there is no score
print(f"{path} written after {metrics.record['seconds']:.0f} s")

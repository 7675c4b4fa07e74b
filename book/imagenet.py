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
# # Keeping style: one embedding, several spaces
#
# Self-supervised learning pulls two augmented views of an image together, and so throws away
# whatever the augmentation changed. Here that part, the *style*, is kept: beside the content space,
# each group of augmentations gets a space of its own, invariant to every augmentation **but** that
# group's. This page trains such spaces on a set of images, asks with probes what each one encodes,
# and trains the same network by plain self-supervision, at equal compute, for comparison.

# %% tags=["parameters", "hide-input"]
data_dir = ""  # folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes
image_size = 0  # pixels a side; 0: 48 for the shapes, else 64, on a GPU 224
epochs = 100  # passes over the training images
seeds = 3  # independent runs; tables show mean ± std
groups = ["appearance", "spatial"]  # groups with a style space
family = ""  # simclr, vicreg, barlow, entropy; empty: follows the images
sizes = []  # dimensions of content and each style space, such as [64, 32, 32]
out_dir = "runs/imagenet"  # weights, logs and metrics.json go here
# Seldom changed. What is empty, 0 or None here follows the images, or is off.
seed = 0  # the first of them
precision = "auto"  # bf16, float32, or what is fast here
device = "auto"  # cpu, cuda, cuda:1
fresh = False  # set aside what out_dir holds and train anew
profile = "standard"  # a label: what made this page
max_images = 0  # at most so many training images; 0: all
lambdas = []  # weight of each space's alignment, or one for all
temperature = 0.0  # τ of the family; 0: its own
loss_settings = {}  # others of the family, such as {"beta": 0.01}
content_spread = 0.0  # weight of a spread of content alone
adaptive = False  # let dual ascent set the weights while training …
epsilon = 0.1  # … so that no misalignment c_m is above this
dual_rate = 0.01  # learning rate of that ascent
dual_warmup_epochs = None  # epochs before it; None: preset
paired = False  # one key per image, cycling: cost does not grow with groups
backbone = ""  # cnn, vgg, resnet18, resnet34, resnet50, mlp
width = 0  # channels of the first layer of cnn and vgg
hidden = []  # widths of the projector's hidden layers
separate_style = False  # a projector of their own for the styles
init = ""  # trained weights to begin from: a file or a run's folder
backbone_rate = 1.0  # share of lr for loaded weights; 0: frozen
batch_size = 0  # images per step, over all devices
optimizer = ""  # adamw, lars or sgd
lr = 0.0  # peak learning rate (lars and sgd: per 256 images)
weight_decay = 1e-06  # not on biases and normalisation
warmup_epochs = None  # of rising lr; None: preset
clip = 0.0  # largest norm of the gradient; 0: no clipping
compile = False  # compile the network with torch.compile
devices = 1  # processes that train together
sync_batchnorm = True  # batch normalisation over all devices
save_every = 0  # steps between checkpoints; 0: epochs
log_every = 0  # steps between lines of the log; 0: preset
val_dir = ""  # held-out images; empty: val/ in data_dir, else a tenth of it
max_bad = 0.1  # share of files that may be unreadable; these are skipped
augmentation = ""  # weak, medium, strong, small, shapes; empty: preset
num_workers = 2  # processes that decode files, on each device
vanilla = True  # train plain self-supervision beside it
probe_images = 4000  # training images that the probes are fitted on

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr.augment import Normalise
from msr.evaluate import retrieval
from msr.experiments import imagenet
from msr.report import Metrics, galleries, plots, sentences, tables

config = imagenet.Parameters.read(globals())
setup = imagenet.prepare(config)
metrics = Metrics("imagenet", setup.config.model_dump(), setup.device, config.out_dir)
display(Markdown(sentences.made_by("imagenet", config.profile, setup.facts())))

# %% [markdown]
# ## What each view shares
#
# Each image is augmented several times. The **query** draws all its parameters, $t$. **Key 0**
# draws everything afresh, so it shares with the query only what no augmentation changes: content.
# **Key $m$** draws everything afresh *except* group $m$, whose parameters it takes over from $t$:
# it shares content and style $m$.

# %%
originals = setup.val.fetch(torch.arange(5)).float() / 255
batch = setup.views(originals, torch.Generator().manual_seed(4))  # [V, B, 3, S, S]
names = setup.spaces.names
titles = ["query", *(f"key {m}" for m in range(len(batch) - 1))]
shares = ["draws t", "shares content", *(f"+ {name}" for name in names[1:])]
shares = ["draws t", "shares: in turn"] if config.paired else shares
galleries.views(originals, Normalise().undo(batch), titles, shares)

# %% [markdown]
# ## One line of objective
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
# shares as well. By hand, for one batch, and by the library:

# %%
model, objective = setup.build(config.seed)
images = setup.train.fetch(torch.arange(32)).to(setup.device)
x = setup.views(images, torch.Generator().manual_seed(0))
with torch.no_grad():
    z = model(x.flatten(0, 1))[1].view(len(x), len(images), -1)  # [V, B, D]
    terms, family = objective(z), objective.record
    parts = model.spaces.split(family.normalise(z, model.spaces))
    pairs = [objective.pair(parts[name], m) for m, name in enumerate(names)]
    align = torch.stack([family.align(query, key) for query, key in pairs])
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
runs = [setup.fit(seed) for seed in config.all_seeds]
plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## What each space encodes
#
# Probes on held-out images, the network frozen. A **label** is predicted by logistic regression and
# by 20 nearest neighbours (top-1 accuracy); a continuous **factor** by ridge regression on the
# features and smooth functions of them (R²). The **style probes** predict what the augmentation did
# from the features of a pair, plain image and augmented view: the crop's centre and size, the flip,
# the change of brightness, contrast, saturation and hue (R²).

# %%
main = metrics.add("main", [setup.probe(run) for run in runs])
homes = setup.views.homes([*setup.val.labels, *setup.val.factors, "position"])
drawn = setup.views.targets()
labels, styles = tables.columns(main, drawn, hidden=("x", "y"))
if labels:
    display(plots.heatmap(main, columns=labels, title="labels and factors"))
plots.heatmap(main, columns=styles, title="style probes", cmap="Greens")

# %% [markdown]
# ## What to notice
#
# Read each column from top to bottom: which space predicts most, and by how much? The theory has an
# answer for some targets before any training. What no augmentation changes belongs to content; what
# one group of augmentations hides, and what it drew, belongs to that group's space. Generated from
# the table above:

# %%
display(Markdown(sentences.promises(main, names, homes)))
display(Markdown(tables.best_spaces(main, labels + styles, names)))

# %% [markdown]
# ## Sensitivity: the promise as a matrix
#
# This measure needs no labels. Draw one group of parameters afresh, leave the rest, and see how far
# each space moves, as a share of its distance between different images:
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
galleries.neighbours(setup.val_probe.pixels, nearest)

# %% [markdown]
# ## Beside plain self-supervision
#
# The same backbone, family, embedding width and augmentations, no style spaces ($M = 0$), trained
# on **the same number of views**: two per image, so more steps. All its embedding is "content";
# whatever style survives does so in $h$ by accident.

# %%
baseline = [setup.fit(seed, vanilla=True) for seed in config.all_seeds if config.vanilla]
if baseline:
    table = metrics.add("vanilla", [setup.probe(run) for run in baseline])
    rows = ["h", "content"]
    if labels:
        display(plots.heatmap(table, rows, labels, title="plain SSL: labels and factors"))
    display(plots.heatmap(table, rows, styles, title="plain SSL: style probes", cmap="Greens"))
    display(Markdown(tables.compare(main, table, labels + styles)))

# %% [markdown]
# ## Limitations
#
# - **Bounded augmentations.** A space keeps a residue of what its augmentations do not quite
#   reach. The crop changes an object's size by less than objects differ in size: so size is
#   partly content, and the tables show where it went.
# - **Sizes are guesses** at the true number of style dimensions. Too few and a style is squeezed;
#   spare ones may fill with content, which only the spread discourages.
# - **Some style cannot be seen.** Where a crop lay is a fact about a pair of images. From one
#   view it can only be guessed; and with flips in the pipeline and a world that is as often
#   mirrored as not, the view alone says nothing at all about the crop's horizontal place: each
#   guess and its mirror image are equally likely.
# - **Probes are estimates** with settings of their own, fitted on the number of images stated
#   above. A low score of a wide feature such as $h$ can be the probe's failing.
# - **A price.** Compare `h` in the last table: where plain self-supervision is better, keeping
#   style cost content.
#
# To go further: more epochs, a larger backbone, your own images.

# %% [markdown]
# ## Check

# %%
path = metrics.write()
for experiment, table in metrics.tables.items():
    assert experiment == "vanilla" or set(table) == {"h", *names, "joined"}
    assert all(np.isfinite(cell["value"]) for row in table.values() for cell in row.values())
print(f"{path} written after {metrics.record['seconds']:.0f} s")

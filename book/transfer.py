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
# # Transfer: does kept style help elsewhere?
#
# The worth of a representation shows on tasks that nobody had in mind when it was trained. Here
# frozen networks, with style spaces and of plain self-supervision, trained on the same number of
# views, are judged by **linear classification of other images**, space by space. The claim to be
# tested: tasks that depend on what the augmentations change (colour, place) gain from style that
# was kept, and tasks of content lose nothing.
#
# *For readers who will use frozen features. It needs the table of [images](imagenet.ipynb). Next:
# [your images](files.md), or what it all costs in [time](performance.ipynb).*

# %% tags=["parameters", "hide-input"]
tasks = []  # folders, such as ["content:FOLDER", "spatial:OTHER"]; empty: rendered
data_dir = ""  # folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes
image_size = 0  # pixels a side; 0: rendered 48, a named set's own, else 64 (GPU: 224)
epochs = 40  # passes over the training images
seeds = 3  # number of independent runs; tables show mean ± std
groups = ["appearance", "spatial"]  # augmentation groups that get a style space
task_images = 1000  # images of each task to fit on, and as many to score on
out_dir = "runs/transfer"  # weights, logs and metrics.json go here
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label
seed = 10  # seed of the first run; the others take the next ones
precision = "auto"  # bf16, float32, or auto: bf16 where it is faster
fresh = False  # set aside earlier runs in out_dir and train again
max_images = 0  # largest number of training images; 0: all (rendered: 2000)
family = ""  # simclr, vicreg, barlow, entropy; empty: follows the images
sizes = []  # dimensions of content and each style space, such as [64, 32, 32]
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
shots = 0  # images per class that the probe sees; 0: all of them
n_l2 = 9  # number of penalties that the probe chooses among
trained = ""  # networks trained earlier: runs/imagenet, one run's folder, …

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from msr.experiments import earlier, several, transfer
from msr.report import Metrics, between, galleries, kept, plots, sentences, tables

config = transfer.Parameters.read(globals())
setup = transfer.prepare(config)
downstream = transfer.downstream(config, setup)
values = {**setup.config.model_dump(), "out_dir": config.out_dir}
metrics = Metrics("transfer", values, setup.device, config.out_dir)
display(Markdown(earlier.made_by("transfer", setup)))

# %% [markdown]
# ## The tasks
#
# Each task is a set of images with one label, and belongs to a **kind**: what decides the label.
# *Content* is what no augmentation changes (which shape, which texture), *appearance* what the
# colour augmentations change, *spatial* what the crop changes. Unless `tasks` names your own
# folders, the tasks use rendered images: new ones of the kind that the networks are trained on by
# default (`shapes`), and a kind that they never saw (`sprites`). CIFAR-10, CIFAR-100 and STL-10 are
# added if they are found in `~/.cache/msr`.

# %%
kinds = {task.name: task.kind for task in downstream}
display(Markdown(tables.listed([transfer.described(task) for task in downstream])))
seen = transfer.worlds(downstream).items()
galleries.sheet({world: task.train.loaded[:8] for world, task in seen})

# %% [markdown]
# ## The probe
#
# The network is frozen. For each space, a linear classifier of its standardised features $f(x)$
# minimises
#
# $$
# \min_{W, b} \; \sum_{i} -\log
# \frac{\exp(w_{y_i}^\top f(x_i) + b_{y_i})}{\sum_k \exp(w_k^\top f(x_i) + b_k)}
# + \frac{\alpha}{2} \lVert W \rVert^2
# $$
#
# by L-BFGS. The penalty $\alpha$ is chosen between $10^{-6}$ and $10^5$ on a fifth of the training
# images, then the classifier is fitted on all of them, as in {cite:t}`ericsson2021`. With `shots`
# above zero it is fitted on only that many images of each class, and the score is the mean over
# five draws of them. The score is the accuracy on images that neither the network nor the probe has
# seen.

# %% [markdown]
# ## With style spaces, and without
#
# Both networks have equal compute. The plain network sees two views per image; the other one sees
# one more view for each style space. So the plain network trains for more epochs. With `trained`,
# networks are read from there instead, and nothing is trained.

# %%
runs, baseline = earlier.networks(setup)


# %%
def judged(run):
    """The accuracy of every task from every space."""
    return transfer.evaluate(setup, run, downstream, config.shots, config.n_l2)


names, order, every = setup.spaces.names, list(kinds), [*runs, *baseline]
for run, table in zip(every, several.measured(judged, every), strict=True):
    run.table = table
main = metrics.add("main", [run.table for run in runs])
plain = metrics.add("vanilla", [run.table for run in baseline]) if baseline else {}
both = main | {f"plain {row}": plain[row] for row in ("h", "content") if plain}
plots.heatmap(both, columns=order, names={name: f"{name} ({kinds[name]})" for name in order})

# %% [markdown]
# ## What to notice
#
# Read each column from top to bottom: which space predicts the label? If the theory holds, content
# leads in the tasks of content, appearance in those of colour, and spatial in those of place. The
# last two rows are those of the plain network, if there is one; its whole embedding is called
# content. The mean over the tasks of each kind:


# %%
def sorted_by_kind(name, some):
    """The mean accuracy over the tasks of each kind, as a table."""
    return metrics.add(name, [transfer.by_kind(run.table, downstream) for run in some])


of_kind = sorted_by_kind("kinds", runs)
plain_of_kind = sorted_by_kind("vanilla_kinds", baseline) if baseline else {}
said = sentences.task_promises(of_kind, names), sentences.task_exceptions(main, kinds, names)
display(Markdown("\n\n".join(said)))

# %% [markdown]
# ## Against plain self-supervision
#
# Runs with the same seed are compared: the difference in accuracy, task by task, of the backbone's
# $h$ and of the embedding (all spaces joined, against the one space of the plain network). Bars are
# the corrected t-intervals over seeds. A point is filled if its interval excludes zero; for the
# others, these seeds show no clear difference.

# %%
pairs = {"h − plain h": ("h", "h"), "joined − plain embedding": ("joined", "content")}
pairs = pairs if baseline else {}
by_task = {k: between(main, a, plain, b, order) for k, (a, b) in pairs.items()}
by_kind = {
    k: between(of_kind, a, plain_of_kind, b, list(of_kind["h"])) for k, (a, b) in pairs.items()
}
display(Markdown(tables.verdicts(by_kind) or "There is no plain network to compare with."))
if pairs:
    display(plots.differences(by_task, kinds))

# %%
longer = kept.read(setup.config)  # a run of this experiment that is kept with the book, or None
if longer and pairs:
    old, plain_old = (longer["tables"].get(name, {}) for name in ("kinds", "vanilla_kinds"))
    verdicts = {k: between(old, a, plain_old, b, list(old["h"])) for k, (a, b) in pairs.items()}
    display(Markdown(f"{kept.made_by(longer)}\n\n{tables.verdicts(verdicts)}"))

# %% [markdown]
# In numbers, task by task:

# %% tags=["hide-input"]
display(Markdown(tables.verdicts(by_task)))

# %% [markdown]
# ## Limitations
#
# - **Few seeds.** With two or three seeds, an interval extends by several standard deviations of
#   the difference to each side, so only large differences are clear. Use more `seeds`.
# - **Linear.** A label that is encoded nonlinearly has a low score: in a space of three dimensions,
#   for example, the places of objects need not be separated by planes. The table of tasks above
#   gives the share of the commonest class, which is what a constant answer reaches.
# - **Rendered.** Both kinds of images are drawings. On photographs (`-p tasks content:FOLDER`)
#   content is harder to predict, and style is a smaller part of the image.
# - **Images like those of training.** By default the networks are trained on shapes, so the tasks
#   on `shapes` use new images of a known kind; those on `sprites` do not. What holds for both kinds
#   is better supported than what holds for one.
#
# To train on your own images and test on your own folders: `papermill book/transfer.ipynb out.ipynb
# -p data_dir FOLDER -p tasks content:BIRDS,appearance:FLOWERS`. To test networks that are trained
# already: `-p trained runs/imagenet`, or a single run's folder; they are read and never changed.

# %% [markdown]
# ## Exercises
#
# 1. What would a constant answer score on a task with classes of unequal size?
# 2. Two of three seeds say +0.05, the third −0.01. Is the difference clear?
# 3. A label depends on colour times place. Which single space can predict it?
#
# ````{dropdown} Solutions
# The share of the commonest class, which the table of tasks shows.
#
# No: the interval contains zero.
#
# ```python
# from msr.report import paired
#
# verdict = paired({"accuracy": [0.05, 0.05, -0.01]})["accuracy"]
# print(f"{verdict.mean:.3f} ± {verdict.half:.3f}")
# assert verdict.sign == 0
# ```
#
# None, but `joined` can, and only by a nonlinear probe: a linear one adds what the spaces say, it
# does not multiply.
#
# ```python
# import numpy as np
# from msr.evaluate import classifier
#
# rng = np.random.default_rng(0)
# x, x_test = rng.normal(size=(2, 500, 2))
# y, y_test = (np.sign(some.prod(axis=1)).astype(int) for some in (x, x_test))
# assert classifier.accuracy(x, y, x_test, y_test) < 0.6
# ```
# ````
#
# ## Check

# %%
path = metrics.write()
assert set(main) == {"h", *names, "joined"} and set(main["h"]) == set(kinds)
cells = [c for table in metrics.tables.values() for row in table.values() for c in row.values()]
assert not any(cell["value"] < 0 or cell["value"] > 1 for cell in cells)  # nan: no score
print(f"{path} written after {metrics.record['seconds']:.0f} s")

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
# A representation is worth what it does on tasks that nobody had in mind. Here frozen networks,
# one with style spaces and one of plain self-supervision trained on the same number of views, are
# judged by **linear classification of other images**, space by space. The claim under test: tasks
# that depend on what the augmentations change (colour, place) gain from style that was kept;
# tasks of content should lose nothing.

# %% tags=["parameters", "hide-input"]
tasks = []  # folders, such as ["content:FOLDER", "spatial:OTHER"]; empty: renderings
data_dir = ""  # folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes
image_size = 0  # pixels a side; 0: 48 for the shapes, else 64, on a GPU 224
epochs = 40  # passes over the training images
seeds = 3  # independent runs; tables show mean ± std
groups = ["appearance", "spatial"]  # groups with a style space
task_images = 1000  # images of each task to fit on, and as many to score on
out_dir = "runs/transfer"  # weights, logs and metrics.json go here
# Seldom changed. What is empty, 0 or None here follows the images, or is off.
seed = 10  # the first of them
precision = "auto"  # bf16, float32, or what is fast here
device = "auto"  # cpu, cuda, cuda:1
fresh = False  # set aside what out_dir holds and train anew
profile = "standard"  # a label: what made this page
max_images = 0  # at most so many training images; 0: all
family = ""  # simclr, vicreg, barlow, entropy; empty: follows the images
sizes = []  # dimensions of content and each style space, such as [64, 32, 32]
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
shots = 0  # images per class that the probe sees; 0: all of them
n_l2 = 9  # penalties that the probe chooses among
trained = ""  # where runs of these parameters lie, such as runs/imagenet

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from msr.experiments import transfer
from msr.report import Metrics, between, galleries, plots, sentences, tables

config = transfer.Parameters.read(globals())
setup = transfer.prepare(config)
downstream = transfer.downstream(config, setup)
values = {**setup.config.model_dump(), "out_dir": config.out_dir}
metrics = Metrics("transfer", values, setup.device, config.out_dir)
display(Markdown(sentences.made_by("transfer", config.profile, setup.facts(probed=False))))

# %% [markdown]
# ## The tasks
#
# Each task is a set of images with one label, and belongs to a **kind**: what decides the label.
# *Content* is what no augmentation changes (which shape, which texture), *appearance* what the
# colour augmentations change, *spatial* what the crop changes. Unless `tasks` names folders of
# yours, the tasks are rendered: fresh drawings of the world that the networks were trained on
# (`shapes`), and another world that they never saw (`sprites`). Sets of the CIFAR kind join in
# where they lie in `~/.cache/msr`.

# %%
kinds = {task.name: task.kind for task in downstream}
display(Markdown(tables.listed([transfer.described(task) for task in downstream])))
seen = transfer.worlds(downstream).items()
galleries.sheet({world: task.train.pixels[:8] for world, task in seen})

# %% [markdown]
# ## The probe
#
# The network is frozen. On the features $f(x)$ of each space, standardised, a linear classifier
# minimises
#
# $$
# \min_{W, b} \; \sum_{i} -\log
# \frac{\exp(w_{y_i}^\top f(x_i) + b_{y_i})}{\sum_k \exp(w_k^\top f(x_i) + b_k)}
# + \frac{\alpha}{2} \lVert W \rVert^2
# $$
#
# by L-BFGS. The penalty $\alpha$ is chosen between $10^{-6}$ and $10^5$ on a fifth of the training
# images, then the fit is made on all of them: the protocol of {cite:t}`ericsson2021`. With `shots`
# above zero the classifier sees only that many images of each class, in five draws. What is scored
# is accuracy on images that neither network nor probe has seen.

# %% [markdown]
# ## With style spaces, and without
#
# Equal compute: the plain network sees two views an image, the other one view more per style space,
# so the plain one trains for more epochs.

# %%
runs = [setup.fit(seed) for seed in config.all_seeds]
baseline = [setup.fit(seed, vanilla=True) for seed in config.all_seeds]


# %%
def judged(some):
    """One table per run: the accuracy of every task from every space."""
    return [transfer.evaluate(setup, r, downstream, config.shots, config.n_l2) for r in some]


names, order = setup.spaces.names, list(kinds)
main = metrics.add("main", judged(runs))
plain = metrics.add("vanilla", judged(baseline))
both = main | {f"plain {row}": plain[row] for row in ("h", "content")}
plots.heatmap(both, columns=order, names={name: f"{name} ({kinds[name]})" for name in order})

# %% [markdown]
# ## What to notice
#
# Look down each column: which space predicts the label? If the spaces hold what they promise,
# content leads in the tasks of content, appearance in those of colour, spatial in those of place.
# The last two rows are the plain network's: all that its embedding keeps is called content. Over
# the tasks of each kind:


# %%
def sorted_by_kind(name, some):
    """The mean accuracy over the tasks of each kind, as a table."""
    return metrics.add(name, [transfer.by_kind(run.table, downstream) for run in some])


of_kind = sorted_by_kind("kinds", runs)
plain_of_kind = sorted_by_kind("vanilla_kinds", baseline)
display(Markdown(sentences.task_promises(of_kind, names)))

# %% [markdown]
# ## Against plain self-supervision
#
# The same seeds, paired: the difference in accuracy, task by task, of the backbone's $h$ and of the
# embedding (all spaces joined, against the plain network's one space). Bars are the corrected
# t-intervals over seeds; a filled point is one whose interval excludes zero. Anything else is no
# difference that these seeds can show.

# %%
pairs = {"h − plain h": ("h", "h"), "joined − plain embedding": ("joined", "content")}
by_task = {k: between(main, a, plain, b, order) for k, (a, b) in pairs.items()}
by_kind = {
    k: between(of_kind, a, plain_of_kind, b, list(of_kind["h"])) for k, (a, b) in pairs.items()
}
display(Markdown(tables.verdicts(by_kind)))
plots.differences(by_task, kinds)

# %% [markdown]
# In numbers, task by task:

# %% tags=["hide-input"]
display(Markdown(tables.verdicts(by_task)))

# %% [markdown]
# ## Limitations
#
# - **Few seeds.** With three, an interval is several standard deviations of the difference wide on
#   each side: only plain differences show. Give more `seeds`.
# - **Linear.** A label that is encoded nonlinearly scores low: a place in three dimensions of a
#   space need not be cut out by planes. Chance is written beside each task above.
# - **Rendered.** Both worlds are drawings. On photographs (`-p tasks content:FOLDER`) content is
#   harder and style is less of the picture.
# - **Who is trained on what.** A task on `shapes` is of the world that was trained on, though of
#   other drawings; the sprites are not, and what holds for both is more than what holds for one.
#
# Your own network, on your own folders: `papermill book/transfer.ipynb out.ipynb -p data_dir FOLDER
# -p tasks content:BIRDS,appearance:FLOWERS`.

# %% [markdown]
# ## Check

# %%
path = metrics.write()
assert set(main) == {"h", *names, "joined"} and set(main["h"]) == set(kinds)
cells = [c for table in metrics.tables.values() for row in table.values() for c in row.values()]
assert all(0 <= cell["value"] <= 1 for cell in cells)
print(f"{path} written after {metrics.record['seconds']:.0f} s")

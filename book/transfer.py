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
# A representation is worth what it does on tasks that nobody had in mind. Here frozen networks, one with style spaces and one of plain
# self-supervision trained on as many views, are judged by **linear classification of other images**, space by space. The claim under test: tasks that hang on
# what the augmentations change (colour, place) gain from style that was kept; tasks of content should lose nothing.

# %% tags=["parameters", "hide-input"]
data_dir = ""  # a folder, cifar10, cifar100 or stl10; empty: $IMAGENET_DIR, else shapes
val_dir = ""  # held-out images; empty: val/ in data_dir, else a tenth of it
max_bad = 0.1  # the share of files that may be unreadable; they are skipped
image_size = 0  # pixels; 0: 48 for the shapes, else 224 on a GPU, 64 on a CPU
epochs = 40  # passes over the training images
seeds = 3  # independent runs; numbers are mean ± standard deviation over them
seed = 10  # the first of them
groups = "appearance,spatial"  # augmentation groups that get a style space
family = ""  # simclr, vicreg, barlow, entropy; empty or 0, here and below: preset
sizes = ""  # dimensions of content and of each style space, such as "64,32,32"
lambdas = ""  # weight of each space's alignment, such as "1,1,1"
adaptive = False  # let dual ascent set these weights while training …
epsilon = 0.1  # … so that each space's misalignment c_m is at most this
paired = False  # one key per image, in turn: the cost no longer grows with the groups
separate_style = False  # one projector for content and another for the styles
backbone = ""  # cnn, resnet18, resnet34, resnet50 or mlp
init = ""  # trained weights to begin from: a torchvision or timm file, or a run's folder
backbone_rate = 1.0  # learning rate of what began so, as a share of lr; 0: frozen
batch_size = 0  # images per step, over all devices
optimizer = ""  # adamw, lars or sgd
lr = 0.0  # peak learning rate (lars and sgd: per 256 images)
augmentation = ""  # strengths: weak, medium, strong, small, shapes
vanilla = True  # train plain self-supervision beside it
max_images = 0  # at most so many training images; 0: all
precision = "auto"  # bf16, float32, or what the processor does best
device = "auto"  # cpu, cuda, cuda:1
devices = 1  # processes that train together: one per GPU
sync_batchnorm = True  # several devices: batch normalisation over all of them
save_every = 0  # steps between checkpoints; 0: one after each epoch
num_workers = 2  # processes that decode files, on each device
fresh = False  # set aside what out_dir holds, rather than go on with it
out_dir = "runs/transfer"  # weights, logs and metrics.json go here
tasks = ""  # folders to transfer to, "content:FOLDER,spatial:OTHER"; empty: renderings
task_images = 1000  # images of each task to fit on, and as many to score on
shots = 0  # images per class that the probe sees; 0: all of them
n_l2 = 9  # penalties that the probe chooses among
trained = ""  # where runs of these parameters lie, such as runs/imagenet; empty: out_dir
profile = "standard"  # a label: which set of parameters made this page


# %% tags=["hide-input"]
from IPython.display import Markdown, display

from msr import plots, report, transfer
from msr.metrics import Metrics

params = {name: globals()[name] for name in transfer.PARAMETERS}
setup, downstream = transfer.prepare(**params)
metrics = Metrics("transfer", {**setup.chosen, **params}, setup.device, out_dir)
display(Markdown(report.made_by("transfer", profile, setup)))

# %% [markdown]
# ## The tasks
#
# Each task is a set of images with one label, and belongs to a **kind**: what decides the label. *Content* is what no augmentation
# changes (which shape, which texture), *appearance* what the colour augmentations change, *spatial* what the crop changes.
# Unless `tasks` names folders of yours, the tasks are rendered: fresh drawings of the world that the networks were trained
# on (`shapes`), and another world that they never saw (`sprites`). Sets of the CIFAR kind join in where they lie in `~/.cache/msr`.

# %%
kinds = {task.name: task.kind for task in downstream}
display(Markdown(transfer.listed(downstream)))
plots.sheet({world: task.train.pixels[:8] for world, task in transfer.worlds(downstream).items()})

# %% [markdown]
# ## The probe
#
# The network is frozen. On the features $f(x)$ of each space, standardised, a linear classifier minimises
#
# $$ \min_{W, b} \; \sum_{i} -\log \frac{\exp(w_{y_i}^\top f(x_i) + b_{y_i})}{\sum_k \exp(w_k^\top f(x_i) + b_k)} + \frac{\alpha}{2} \lVert W \rVert^2 $$
#
# by L-BFGS. The penalty $\alpha$ is chosen between $10^{-6}$ and $10^5$ on a fifth of the training images, then the fit is made on all of them: the
# protocol of {cite:t}`ericsson2021`. With `shots` above zero the classifier sees only so many images of each class, in five draws. What is scored is
# accuracy on images that neither network nor probe has seen.

# %% [markdown]
# ## With style spaces, and without
#
# Equal compute: the plain network sees two views an image, the other one view more per style space, so the plain one trains for more epochs.

# %%
range_of_seeds = range(seed, seed + seeds)
runs = [setup.fit(s) for s in range_of_seeds]
baseline = [setup.fit(s, vanilla=True) for s in range_of_seeds]

# %%
names, order = setup.spaces.names, list(kinds)
main = metrics.add("main", [transfer.evaluate(setup, run, downstream, shots, n_l2) for run in runs])
plain = metrics.add("vanilla", [transfer.evaluate(setup, run, downstream, shots, n_l2) for run in baseline])
both = main | {f"plain {row}": plain[row] for row in ("h", "content")}
plots.heatmap(both, columns=order, names={name: f"{name} ({kinds[name]})" for name in order})

# %% [markdown]
# ## What to notice
#
# Look down each column: which space tells the label? If the spaces hold what they promise, content leads in the tasks of content, appearance in
# those of colour, spatial in those of place. The last two rows are the plain network's: all that its embedding keeps is called content. Over the tasks
# of each kind:

# %%
sorted_main = metrics.add("kinds", [transfer.by_kind(run.table, downstream) for run in runs])
metrics.add("vanilla_kinds", [transfer.by_kind(run.table, downstream) for run in baseline])
display(Markdown(transfer.homes(sorted_main, names)))

# %% [markdown]
# ## Against plain self-supervision
#
# The same seeds, paired: the difference in accuracy, task by task, of the backbone's $h$ and of the embedding (all spaces joined, against the plain
# network's one space). Bars are 95 % t-intervals over seeds; a filled point is one whose interval excludes zero. Anything else is no difference
# that these seeds can show.

# %%
found = {"h − plain h": transfer.differences(runs, baseline, downstream, "h", "h"),
         "joined − plain embedding": transfer.differences(runs, baseline, downstream, "joined", "content")}
display(Markdown(transfer.verdicts(found, list(sorted_main["h"]))))
plots.differences(found, kinds)

# %% [markdown]
# In numbers, task by task:

# %% tags=["hide-input"]
display(Markdown(transfer.verdicts(found, order)))

# %% [markdown]
# ## What is limited
#
# - **Few seeds.** With three, an interval is 2.5 standard deviations of the difference wide on each side: only plain differences show. Give more `seeds`.
# - **Linear.** A label that lies in the features, but bent, scores low: a place in three dimensions of a space need not be cut out by planes. Chance is
#   written beside each task above.
# - **Rendered.** Both worlds are drawings. On photographs (`-p tasks content:FOLDER`) content is harder and style is less of the picture.
# - **Who is trained on what.** A task on `shapes` is of the world that was trained on, though of other drawings; the sprites are not, and what holds for both is
#   more than what holds for one.
#
# Your own network, on your own folders: `papermill book/transfer.ipynb out.ipynb -p data_dir FOLDER -p tasks content:BIRDS,appearance:FLOWERS`.

# %% [markdown]
# ## Check

# %%
path = metrics.write()
assert set(main) == {"h", *names, "joined"} and set(main["h"]) == set(kinds)
assert all(0 <= cell["value"] <= 1 for table in metrics.tables.values() for row in table.values() for cell in row.values())
print(f"{path} written after {metrics.record['seconds']:.0f} s")

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
# # Performance
#
# What does a step spend its time on, what do style spaces cost, and is another library faster? Most
# numbers on this page are **ratios of two ways to do the same**, measured in turn in one run, since
# a time says as much about a machine as about a program. "2 ×" means that ours takes half as long.
# Points are medians over rounds, bars their quartiles.
#
# `make bench` measures all of it on your machine, and on a GPU if there is one (`runs/bench.json`);
# `make bench-check` compares with the measurements that are kept with the book, which the figures
# show.
#
# *For readers who count seconds; it needs no other page. Next: [at scale](scale.md).*

# %% tags=["parameters", "hide-input"]
results = "benchmarks/results.json"  # measurements to show, as `make bench` writes
rounds = 5  # times that each side is measured on this machine
out_dir = "runs/performance"  # what is measured here goes to results.json here
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label

# %% tags=["hide-input"]
from functools import partial

from IPython.display import Markdown, display

from benchmarks import families, memory, steps, views
from benchmarks.pairs import compare, hardware
from msr.experiments import performance
from msr.report import speed_plots, tables
from msr.train import pick_device

config = performance.Parameters.read(globals())
kept = performance.stored(config)
part = partial(performance.part, kept)
display(Markdown(performance.measured_on(kept)))

# %% [markdown]
# ## Views
#
# The augmentations of the paper (`medium`): crop, flip, colour jitter, greyscale, blur, solarise,
# normalise, each drawn for each image. "PIL" is what most programs do: torchvision's transforms of
# one image at a time, in as many processes as there are threads. lightly's are of that kind, with a
# bicubic crop and an approximate blur. kornia draws for each image, in batches; torchvision in
# batches has **one draw for all images** of a batch.
#
# On a CPU every thread takes a few images at a time through all transforms
# (`msr/augment/sweep.py`). What the transforms do is compiled by numba (`msr/augment/kernels/`), so
# an image is read once, changed while it lies in the processor's cache, and written as convolutions
# read it. Only the images that drew a transform pass through it, a crop and its flips resample
# once, and a hue is found by arithmetic alone, without branches. On Linux the threads are those of
# PyTorch, which wait awake after an operation; others would share their cores with them
# (`msr/augment/threads.py`). A GPU runs the same transforms in PyTorch, and a test compares the
# two.

# %%
sizes = (64, 224)
against = {f"all transforms, {size} px": part("views", f"{size} px, all: ") for size in sizes}
for rows in against.values():
    rows.pop("one pass", None)  # see below
speed_plots.ratios(against)

# %%
each = {size: part("views", f"{size} px, ", ": kornia") for size in sizes}
each = {size: {k: row for k, row in rows.items() if k != "all"} for size, rows in each.items()}
titles = {size: f"against kornia, {size} px" for size in sizes}
speed_plots.ratios({titles[size]: rows for size, rows in each.items() if rows})

# %% [markdown]
# How far is that from the limit? What changes every value of a view has to read and write it once.
# In such passes, copies of the view into memory that is there, the transforms cost:

# %%
costs = {f"{size} px": performance.passes(kept, size) for size in sizes}
names = {"all": "all, with draws, from uint8"}
rows = [[names.get(k, k), *(f"{c[k]:.0f}" for c in costs.values())] for k in costs["64 px"]]
display(Markdown(tables.grid(["passes", *costs], rows)))

# %% [markdown]
# On this machine, while this page was made:

# %%
where = pick_device(config.device)
case, here = next(views.cases(where)), hardware(where)
row = compare(case, config.rounds, where)
path = performance.write(config, here, {case.name: row})
print(f"{here['gpu'] or here['cpu']}, {here['threads']} threads")
print(f"{case.name}: {speed_plots.times(row['ratio'])}, {row['ours']:.0f} views/s")

# %% [markdown]
# ## Losses
#
# A loss and its gradient. NT-Xent compares every view with every other. Its matrix of similarities
# is never held in memory as a whole: it is computed in blocks, each pair of blocks once, and again
# for the gradient (`msr/losses/similarity.py`). Our Barlow Twins standardises for the alignment and
# for the spread, lightly's once.

# %%
speed_plots.ratios({"loss and gradient": part("losses")})

# %% [markdown]
# ## A step
#
# What part of a training step is the network's own, forward and backward? The rest is the price of
# everything else: views, losses, optimiser. (Each part is measured by itself beside whole steps, so
# they add up to one only about as well as a measurement repeats.) Where the network is small, as in
# the book's own runs, views are a larger part of a step; the lines below say what a view may cost
# for a tenth.

# %%
names = {"the network alone": "network", "the views alone": "views"}
shares = {
    title: {names[k]: row["ratio"] for k, row in part("steps", f"{title}: ").items() if k in names}
    for title in steps.NETWORKS
}
display(speed_plots.shares(shares))
budgets = [performance.budget(kept, title, size) for title, size in steps.SIZES.items()]
display(Markdown("\n".join(f"- {line}" for line in budgets if line)))

# %% [markdown]
# And how near is the network to what the processor can do? Its speed, as a share of the speed of
# large matrix products with as many operations; of the [encoders of latents](numerical.ipynb),
# which are small, that of a whole step in one thread:

# %%
speed_plots.ratios({"against matrix products": part("steps", end=": matrix products")})

# %% [markdown]
# What is missing to 1 is the most that a faster program could gain; beyond it, a step needs fewer
# operations or another processor. For the encoders of latents it is much, since their step consists
# of hundreds of small operations; what compiling makes of these is measured below. Pages of this
# book take what their networks take to train: with networks that are trained already, even those of
# the longest runs are made in minutes ([the minutes of each](reference-runs)).

# %% [markdown]
# ## Compiled networks
#
# `torch.compile` fuses operations. A speed below 1 means that the compiled network is slower, not
# counting the time that compiling takes. The parameter `compile` is `auto` by default: on a CPU the
# network is not compiled.

# %%
speed_plots.ratios({"compiled, against not": part("steps", "compiled, ", ": not")})

# %% [markdown]
# ## Time to learn
#
# How long does a family train until each space predicts its own block of latents with a mean R² of
# 0.8? Runs of 100, 400 and 1,600 steps are tried, on the independent latents of
# [The theory in action](numerical.ipynb), with a new seed in every round. If no run reached it, the
# longest is counted, which favours that family. The other families were not tuned.

# %%
start = f"R² of {families.REACHED}, entropy: "
speed_plots.ratios({"entropy, against": part("families", start)})

# %% [markdown]
# ## More style spaces
#
# With one key per image (`paired`), a step makes two views per image whatever the number $M$ of
# style spaces. What is left of the price is the bookkeeping of the spaces:

# %%
paired = part("steps", "paired, ", ": plain SSL")
speed_plots.ratios({"a step, against plain SSL": paired})

# %% [markdown]
# ## Threads, ranks and memory
#
# More threads for the views, and for a whole step, against one; and as many ranks of one thread
# each, which train together:

# %%
against_one = part("threads", end=": one") | part("ranks", end=": one")
if against_one:
    display(speed_plots.ratios({"more threads or ranks, against one": against_one}))

# %% [markdown]
# What a step needs in memory as its batch grows; and the spread of `simclr` with its gradient, in
# blocks and with its whole matrix:

# %%
least = memory.BATCHES[0]
lines = []
for name, row in part("memory", "a step of ", f": of {least}").items():
    more = row["ours"] / row["theirs"]
    lines.append(f"- {name}: {row['ours']:.0f} MiB, {more:.1f} times that of {least}")
for name, row in part("memory", "simclr, ", ": whole matrix").items():
    lines.append(f"- {name}: {row['ours']:.0f} MiB, whole matrix {row['theirs']:.0f} MiB")
display(Markdown("\n".join(lines) or "Memory was not measured."))

# %% [markdown]
# ## Limitations
#
# - Pixels are noise: times do not depend on what an image shows.
# - Ratios depend on the processor too: one with matrix units (AMX) speeds up the network and not
#   the views.
# - On a GPU all images of a batch pass through every transform, since to count those that drew it
#   would mean to wait for the device.
# - The first run on a machine compiles the kernels, for a quarter of a minute; they are kept.
# - What is compared does the same, except that "torchvision, one draw" draws once for all images.
#
# ## Exercises
#
# 1. The views take a share of a step. How much faster would the step be if they took no time? Use
#    the measurements that are kept.
# 2. How many bytes does the matrix of all similarities take in the spread of `simclr`, for a batch
#    of 4,096 images with four views each? How many if only 1,024 of its rows exist at a time?
# 3. Why does the cost of `paired` not grow with the number of groups, and what is paid instead?
#
# ````{dropdown} Solutions
# By Amdahl's law at most 1 / (1 − share):
#
# ```python
# import json
# from msr.report import kept
#
# rows = json.loads((kept.ROOT / "benchmarks" / "results.json").read_text())["steps"]["rows"]
# for name, row in rows.items():
#     if name.endswith("the views alone"):
#         share = row["ratio"]
#         print(f"{name}: {share:.2f} of a step, so at most {1 / (1 - share):.2f} times as fast")
#         assert 0 < share < 1
# ```
#
# ```python
# views = 4096 * 4
# whole, rows = views**2 * 4, 1024 * views * 4  # float32
# assert whole == 2**30 and rows == 2**26  # 1 GiB, and 64 MiB
# # its exponentials and its gradient take as much again each
# ```
#
# An image has two views, whatever the number of groups; which key it gets cycles over the batch. So
# each space aligns a part of the images only: with $M$ groups, one in $M + 1$.
#
# ```python
# from msr import Views, pipelines
#
# groups = ("color", "crop", "flip")
# pipes = pipelines("small", 32)
# assert [Views(*pipes, groups, paired).n_views for paired in (False, True)] == [5, 2]
# ```
# ````

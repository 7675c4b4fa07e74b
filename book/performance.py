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
# What does a step spend its time on, what do style spaces cost, and is another library faster? All
# numbers on this page are **ratios of two ways to do the same**, measured in turn in one run, since
# a time says as much about a machine as about a program. "2 ×" means that ours takes half as long.
# Points are medians over rounds, bars their quartiles.
#
# `make bench` measures all of it on your machine, and on a GPU if there is one; `make bench-check`
# measures again, and fails if a ratio fell by more than 15 %. The figures show the measurements
# that are kept with the book.

# %% tags=["parameters", "hide-input"]
results = "benchmarks/results.json"  # measurements to show, as `make bench` writes
rounds = 5  # times that each side is measured on this machine
out_dir = "runs/performance"  # what is measured here goes to results.json here
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from benchmarks import steps, views
from benchmarks.pairs import compare, hardware
from msr.experiments import performance
from msr.report import speed_plots
from msr.train import pick_device

config = performance.Parameters.read(globals())
kept = performance.stored(config)
found, on = kept["results"], kept["hardware"]
machine = on["gpu"] or f"{on['cpu']}, {on['threads']} threads"
display(Markdown(f"*Kept measurements: {machine}; PyTorch {on['torch']}.*"))


# %% tags=["hide-input"]
def part(suite, start):
    """Return the cases of a suite whose names begin with `start`, without that beginning."""
    rows = found.get(suite, {}).items()
    return {name.removeprefix(start): row for name, row in rows if name.startswith(start)}


# %% [markdown]
# ## Views
#
# The augmentations of the paper (`medium`): crop, flip, colour jitter, greyscale, blur, solarise,
# normalise, each drawn for each image. "PIL" is what most programs do: torchvision's transforms of
# one image at a time, in as many processes as there are threads. kornia draws for each image, in
# batches; torchvision in batches has **one draw for all images** of a batch.
#
# Four things make the difference. Only the images that drew a transform pass through it. A crop and
# its flips resample once. Changes of colour have no branches: a hue is found by arithmetic alone
# (`msr/augment/colours.py`). And kernels have no denormal numbers, which take a processor ten times
# as long.

# %%
sizes = {f"all, {size} px": part("views", f"{size} px, ") for size in (64, 224)}
whole = {
    title: {name: row for name, row in rows.items() if ", " not in name or "one draw" in name}
    for title, rows in sizes.items()
}
speed_plots.ratios(whole)

# %%
each = {
    title.replace("all", "one transform, against kornia"): {
        name.removesuffix(", kornia"): row
        for name, row in rows.items()
        if name.endswith(", kornia")
    }
    for title, rows in sizes.items()
}
speed_plots.ratios(each)

# %% [markdown]
# On this machine, while this page was made:

# %%
where = pick_device(config.device)
case, here = next(views.cases(where)), hardware(where)
row = compare(case, config.rounds, where)
print(f"{here['gpu'] or here['cpu']}, {here['threads']} threads")
print(
    f"{case.name}: {row['ratio']:.2g} × ({row['low']:.2g} to {row['high']:.2g}), "
    f"{row['ours']:.0f} against {row['theirs']:.0f} {row['unit']}"
)
path = performance.write(config, here, {"views": {case.name: row}})

# %% [markdown]
# ## Losses
#
# A loss and its gradient, of 1,024 images. NT-Xent compares every view with every other. Its matrix
# of similarities is never there as a whole: it is computed in blocks, each pair of blocks once, and
# again for the gradient (`msr/losses/similarity.py`).

# %%
speed_plots.ratios({"losses, against": found.get("losses", {})})

# %% [markdown]
# ## A step
#
# What part of a training step is the network's own, forward and backward? The rest is the price of
# everything else: views, losses, optimiser.

# %%
names = {"the network alone": "network", "the views alone": "views"}
shares = {
    title: {names[k]: found["steps"][f"{title}: {k}"]["ratio"] for k in names}
    for title in steps.NETWORKS
}
speed_plots.shares(shares)

# %% [markdown]
# ## More style spaces
#
# With one key per image (`paired`), a step makes two views per image whatever the number $M$ of
# style spaces. Its cost stays that of plain self-supervision:

# %%
paired = {name.split(":")[0]: row for name, row in part("steps", "paired, ").items()}
speed_plots.ratios({"a paired step, against plain SSL": paired})

# %% [markdown]
# ## Threads and memory
#
# More threads for the views, and for a whole step, against one; and what a step needs in memory as
# its batch grows (below 1: more memory). The last panel has the spread of `simclr` in blocks
# against its whole matrix.

# %%
threads = {name.removesuffix(": one"): row for name, row in found.get("threads", {}).items()}
memory = {name.split(": of")[0]: row for name, row in part("memory", "a step of ").items()}
panels = {"threads, against one": threads, "memory of a step, against 32 images": memory}
speed_plots.ratios(panels)

# %%
blocks = {name.split(":")[0]: row for name, row in part("memory", "simclr, ").items()}
for name, row in blocks.items():
    print(f"simclr, {name}: {row['ours']:.0f} MiB, whole matrix {row['theirs']:.0f} MiB")

# %% [markdown]
# ## Limitations
#
# - Pixels are noise: times do not depend on what an image shows.
# - Ratios depend on the processor too: one with matrix units (AMX) speeds up the network and not
#   the views.
# - A GPU runs the same code, but all images of a batch pass through every transform there, since to
#   count those that drew it would mean to wait for the device. No measurement on a GPU is kept yet.

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
# # Reproduction
#
# What does this book claim, who says so, and do the numbers bear it out? Each main claim stands
# here once, with its bound, for two runs of each notebook: the *reference*, a long run that is
# kept in the repository, and the run that made the book you are reading, which may be short. (A
# book made by the reference's settings has its seeds too, so it repeats the reference and does not
# replicate it.)
#
# *For readers who distrust the pages before. Next: [the library](api.md), where each equation is.*

# %% tags=["parameters", "hide-input"]
out_dir = "runs/reproduction"  # runs of the other notebooks lie beside it
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
profile = "standard"  # name of the profile that made this page; only a label

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from msr.experiments import costs, reproduction
from msr.report import NOTE, claims

config = reproduction.Parameters.read(globals())
found = reproduction.judge(config)
display(Markdown(reproduction.sentence(found)))

# %% [markdown]
# - **reproduced**: the interval of the number over seeds lies on the claimed side of the bound;
# - **differs**: it lies on the other side;
# - **cannot say**: it contains the bound, or there is one seed;
# - **short run, cannot say**: not reproduced, by a run shorter than the reference;
# - **not run**: the page shows the reference's numbers and has none of its own.
#
# The claims of the paper are tested in this book's form of its method: the family `entropy` (on
# photographs `simclr`), content aligned over all its pairs and, but for sprites and latents, a
# further spread of the content space.
# Where a claim speaks of several numbers, the worst of them in each seed counts. "Should be" is
# the bound; where a claim compares, the number is a difference. The ± is the half-width of the
# interval, corrected over the claims of its notebook. "Stated by" names who says so; a theorem
# says so of the optimum. "Suggested by" marks a theorem that makes the claim plausible and does
# not imply it.

# %%
for page, sides in found.items():
    text = claims.table(sides.reference, sides.here)
    display(Markdown(f"**[{reproduction.TITLES.get(page, page)}]({page}.ipynb)**\n\n{text}"))

# %% [markdown]
# (what-style-costs)=
# ## What style costs
#
# Ours minus plain self-supervision, at equal views, in the reference runs: what both should know,
# read from the backbone's features and from the content space (of plain self-supervision: from its
# embedding), and what only ours is made to keep: accuracy, or R² of what was drawn. Each line is
# corrected over its three numbers. (A page that compares more numbers corrects over those, so its
# interval of the same difference is wider.)

# %%
display(Markdown(costs.costs()))

# %% [markdown]
# (reference-runs)=
# ## The reference runs
#
# `make reproduce` makes them again, each by the notebook's defaults, in some hours on two CPU
# cores, and writes the page anew. The photographs are not in the book: give the notebook a
# `data_dir`. Those of the reference were folders, described on [their page](photographs.ipynb);
# `-p data_dir cifar10` as it stands takes all of CIFAR-10. "Minutes" are those of the notebook,
# which does not train a network again that is there; "training" is the sum over its networks, two
# of which trained at a time.

# %%
display(Markdown(reproduction.references()))
display(Markdown(NOTE))

# %% [markdown]
# ## Limitations
#
# - The bounds are ours: "encodes" means an R² or an accuracy of more than 0.9 or 0.95, "knows
#   nothing" less than 0.05, "as much" within 0.05.
# - With three seeds an interval is wide, and wider for many claims at a time: where a number
#   varies, the answer is often that nobody can say. "As much as plain self-supervision, within
#   0.05" often needs more seeds than these to be decided.
# - The claims from the paper are those of its abstract and method, tested on small images; its own
#   tables are at a scale that this book did not run.
# - A claim that differs is no error of the page: it is a result.

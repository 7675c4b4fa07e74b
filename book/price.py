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
# # The price of style
#
# Does keeping style cost content? A network that keeps both has more to encode, in features of the
# same width, from the same number of views. This page compares it with plain self-supervision on
# what both should know, and changes one choice of the method at a time, to see which part of a
# price comes from the method, which from its settings, and which is left.
#
# *For readers who doubt that style is free. It needs the table of [images](imagenet.ipynb). Next:
# [photographs](photographs.ipynb), where less of style can be kept.*

# %% tags=["parameters", "hide-input"]
data_dir = ""  # folder, shards, cifar10, …; empty: $IMAGENET_DIR, else shapes
image_size = 0  # pixels a side; 0: rendered 48, a named set's own, else 64 (GPU: 224)
epochs = 8  # passes over the training images
seeds = 3  # number of independent runs; tables show mean ± std
studies = []  # studies to run, such as ["objective"]; empty: all
# Seldom changed. Empty, 0 or None: a value that suits the data, or off.
device = "auto"  # auto (a GPU if there is one), cpu, cuda or cuda:1
out_dir = "runs/price"  # weights, logs and metrics.json go here
profile = "standard"  # name of the profile that made this page; only a label
seed = 40  # seed of the first run; the others take the next ones
precision = "auto"  # bf16, float32, or auto: bf16 where it is faster
fresh = False  # set aside earlier runs in out_dir and train again
max_images = 0  # largest number of training images; 0: all (rendered: 2000)
groups = ["appearance", "spatial"]  # augmentation groups that get a style space
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
vanilla = True  # also train plain self-supervision, for comparison
probe_images = 4000  # largest number of images to fit probes on, and to score them on
linear_probe = False  # also the field's linear probe: all images, top-1 and top-5
reference = ""  # metrics.json to show where data_dir is empty; empty: train

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown, display

from msr.experiments import compared, price
from msr.report import Metrics, kept, plots, price_plots, price_sentences, sentences, tables

config = price.Parameters.read(globals())
setup = price.prepare(config)
cells = price.cells(setup, config.studies)
trains = not config.reference or bool(setup.config.data_dir)  # else shows an earlier run's numbers
metrics = Metrics("price", setup.config.model_dump(), setup.device, config.out_dir, saved=trains)
made = f"*Nothing was trained for this page: it shows `{config.reference}`.*"
made = sentences.made_by("price", config.profile, setup.facts()) if trains else made
display(Markdown(made))

# %% [markdown]
# ## What is compared
#
# Four numbers sum up a network. **h** and **content** are the accuracy of a linear probe on the
# labels that no augmentation changes (mean over these labels), from the backbone's features and
# from the content space. **Style** is the R² of the style probes from h (mean over the targets of
# all style spaces), **leak** the same from the content space.
#
# Both methods see the same number of views. Plain self-supervision makes two per image, ours four,
# so the former trains for more epochs; it is tried with larger batches as well. Its embedding is as
# wide as all our spaces together, or as our content space. It has the further spread of the content
# space that our objective has; what it learns without is shown as well. "From h" is always by a
# probe that reads h itself. (On the page of latents *leak* has the other direction: content that a
# style space knows.)


# %% [markdown]
# The same network **trained on labels**, of all that the probes predict, shows what this network
# can learn in as many views if it is told what to learn. It is no upper bound: it may overfit its
# labels, and augmentation hides as much of an image from it as from the others.

# %%
if trains:
    found = compared.measured(setup, cells, config.all_seeds)
    for name, runs in found.items():
        metrics.add(name, [table for table, _ in runs])
    numbers = {name: [row for _, row in runs] for name, runs in found.items()}
else:
    metrics.tables.update(compared.earlier(setup, cells, config.reference))
    numbers = compared.of_each_seed(metrics.tables["everything"])
    display(Markdown(kept.made_by(kept.content(kept.located(config.reference)), "An earlier run")))
rivals = [name for name, cell in cells.items() if cell.kind != "spaces"]
beside = metrics.add("beside", compared.by_seed({k: numbers[k] for k in ["default", *rivals]}))
display(Markdown(tables.table(beside)))

# %%
labels, styles = price.content_of(setup), [*setup.views.homes()]
table, rival = metrics.tables["default"], metrics.tables[price.PLAIN]
display(Markdown(tables.compare(table, rival, labels + styles)))

# %% [markdown]
# ## One change at a time
#
# - **objective**: content aligned over the query and key 0 only, instead of all pairs that share
#   content alone ({prf:ref}`prop-pairs`); no further spread of content ({prf:ref}`prop-spread`);
#   each space with a spread of its own, in place of the joint one ({prf:ref}`prop-copy`); the
#   entropy estimated from two of the views.
# - **steps**: batches twice as large, and so half as many steps, with the same views.
# - **content width**, **weight of content**, **projector**, **backbone**: what their names say.
# - **sharing**: one key per image, cycling. (With `simclr` there is **denominator** as well:
#   whether the spread also pushes apart two views of one image.)
# - **epochs**: two and four times as many.
#
# "Separate spreads" is two changes, since it has no further spread of content either: its twin is
# "no content spread" (see the next section).

# %%
panels = {}
for study, variations in price.studies(setup, config.studies).items():
    panel = metrics.add(study, compared.by_seed({name: numbers[name] for name in variations}))
    panels |= {study: panel} if len(variations) > 1 else {}
plots.dots(panels, compared.NUMBERS, less=["leak"])

# %%
ours = {k: v for k, v in numbers.items() if cells[k].kind == "spaces" and k != "default"}
effects = compared.effects(numbers["default"], ours)
display(Markdown(price_sentences.effect_sentences(effects)))
display(Markdown(tables.verdicts(effects, less=["leak"])))

# %% [markdown]
# (one-spread)=
# ## One spread for all, or one for each
#
# The one change that the theory forbids: give each space a spread of its own. All else is equal,
# so the twin of this run is the one without a further spread of content. A style space is then
# free to hold what its pair shares beside the style, which is the content ({prf:ref}`prop-copy`).
# The content space changes too: with a spread of its own it gains by whatever part of a style
# augmentation does not fully hide, even if a style space holds it already.

# %%
spreads = {"joint": "no content spread", "separate": "separate spreads"}
tables_of = {title: metrics.tables.get(name, {}) for title, name in spreads.items()}
if all(tables_of.values()):
    names = setup.spaces.names
    near = [name.replace("_linear", "_knn") for name in labels]  # small spaces are not linear
    display(plots.heatmaps(tables_of, rows=names, columns=near + styles))
    both = tables_of["joint"], tables_of["separate"]
    display(Markdown(price_sentences.spread_sentences(*both, names, near, styles)))

# %% [markdown]
# ## Compute, capacity, or a trade-off?
#
# Ours minus plain self-supervision, paired by seed. A price that shrinks with epochs was one of
# compute; one that grows as the backbone narrows is one of capacity; one that does neither is what
# a trade-off would look like. "No clear difference" is not the same as none: see the widths of the
# intervals. [What style costs](reproduction.ipynb) has the differences of all pages in one table.

# %%
prices = compared.prices(numbers)
said = price_sentences.price_sentences(prices), price_sentences.length_sentence(prices)
display(Markdown("\n\n".join(said)))
longer = kept.read(setup.config)  # a run of this experiment that is kept with the book, or None
if longer:
    old = compared.of_each_seed(longer["tables"]["everything"])
    then = price_sentences.price_sentences(compared.prices(old))
    display(Markdown(f"{kept.made_by(longer)}\n\n{then}"))

# %% [markdown]
# Each point is one setting, the mean over seeds: across, what h knows of style; up, what h (left)
# and the content space (right) know of content. A real trade-off would show as a front that falls
# to the right.

# %%
everything = metrics.add("everything", compared.by_seed(numbers))
kinds = {
    "ours, one change": list(ours),
    "ours": ["default"],
    price.PLAIN: [name for name in rivals if cells[name].kind == "plain"],
    price.BOUND: [name for name in rivals if cells[name].kind == "labels"],
}
shown = ("default", "epochs × 4", "separate spreads", price.PLAIN, price.LIGHT, price.BOUND)
shown += (f"{price.PLAIN}, epochs × 4",)
named = [name for name in shown if name in everything]
axes = ("style: R², from h", "accuracy")
price_plots.front(everything, "style", ["h", "content"], kinds, named, axes)

# %% [markdown]
# ## What the content space still knows of style
#
# The minimum of the loss has nothing of a hidden style in the content space. A short training is
# not there yet. Below is the content space at several lengths of training, all else equal: the
# labels of content, by a linear probe and by neighbours, and colour, where the images have it
# (left); and what augmentation changes (right). Epochs are those of ours; plain self-supervision
# makes as many views.

# %%
of = longer["tables"] if longer else metrics.tables
lengths = price.lengths(of, longer["params"]["epochs"] if longer else config.epochs)
if price.OURS in lengths:
    row = of["default"]["content"]
    near = [name.replace("_linear", "_knn") for name in labels]
    tints = [name for name in row if name == "color_linear"]
    known = price.known(row, styles)
    panels = {"accuracy": [*labels, *near, *tints], "R²": known}
    display(price_plots.over_epochs(lengths, "content", panels))
    display(Markdown(price_sentences.epoch_sentences(lengths, "content", known)))

# %% [markdown]
# What falls with more epochs was left by a short training, and not by the method. What does not
# fall may be a factor that augmentation changes without hiding it: a crop changes the size of an
# object by less than objects differ, so on rendered shapes size stays partly content.
#
# ## Limitations
#
# - Each effect is that of one change from the default; effects of two changes need not add up.
# - The settings of the default were chosen on other seeds than those shown, for the default alone,
#   and on the same images.
#   Plain self-supervision has the same learning rate, and a choice of batch and width above.
# - Scores of wide features depend on the probe, and on how many images it is fitted on.
#
# ## Exercises
#
# 1. Which pairs of views share content alone if there are two style spaces? And with three?
# 2. Plain self-supervision sees two views of an image, ours four. After how many epochs have both
#    seen as many?
# 3. In the figure of the front, where would a method lie that keeps style at no price?
#
# ````{dropdown} Solutions
# The query with key 0, and any two keys: 1 + M (M + 1) / 2 pairs.
#
# ```python
# from msr.objective import content_pairs
#
# assert content_pairs(4) == [(0, 1), (1, 2), (1, 3), (2, 3)]
# assert len(content_pairs(5)) == 7
# ```
#
# After twice as many epochs of plain self-supervision.
#
# To the right of plain self-supervision, and no lower.
# ````
#
# ## Check

# %%
path = metrics.write()
scores = [c for some in metrics.tables.values() for row in some.values() for c in row.values()]
assert not np.isinf([cell["value"] for cell in scores]).any()  # nan, shown as "–": no score
wrote = f"{path} written after" if trains else f"{config.reference} shown after"
print(f"{wrote} {metrics.record['seconds']:.0f} s")

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
# # The theory, watched
#
# [The theory](theory.md) says which latents each space must find. Here we know the latents: we draw them, mix them by an
# invertible network, show an encoder only structured views of the mixture, and ask which block each space tells, by the
# R² of a nonlinear regression on held-out samples. Then each assumption is dropped in turn.

# %% tags=["parameters", "hide-input"]
steps = 1500  # of training per encoder, each on fresh latents
study_steps = 0  # the same in the studies below; 0: a third of steps
samples = 512  # latents per step; each gives M + 2 views
seeds = 3  # independent runs: another mixing, encoder and data each; numbers are mean ± standard deviation
seed = 20  # the first of them
content = 3  # dimensions of content in the headline experiments
styles = "1,1,1"  # dimensions of each style there
block_content = 4  # the same where styles have several dimensions
block_styles = "2,2"  # …
noise = 1.0  # standard deviation of what the augmentation adds to a style
temperature = 0.7  # τ of the family entropy …
weight = 3.0  # … and its λ, the same for every space
lr = 2e-3  # peak rate of AdamW
width = 256  # of the encoder's hidden layers
depth = 4  # how many
probe_samples = 5000  # that a probe is fitted on, and as many that it is scored on
precision = "auto"  # bf16, float32, or what the processor does best
device = "auto"  # cpu, cuda, cuda:1
fresh = False  # set aside what out_dir holds, rather than go on with it
out_dir = "runs/numerical"  # weights, logs and metrics.json go here
profile = "standard"  # a label: which set of parameters made this page

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import torch
from IPython.display import Markdown, display

from msr import numerical, plots, probes, report
from msr.data.latents import REGIMES, Latents, turned_by, wound
from msr.metrics import Metrics

params = {name: globals()[name] for name in numerical.PARAMETERS}
base, whole, blocks = numerical.prepare(**params)
metrics = Metrics("numerical", params, base.on, out_dir)
display(Markdown(report.numerical_by(profile, base, seeds)))

# %% [markdown]
# ## Latents, mixture, views
#
# Content $c$ and styles $s_1, \dots, s_M$ come from one of three **regimes**. *Independent*: all standard normal. *Statistical*: the
# dimensions within each block are correlated, by a random (Wishart) matrix. *Causal*: content causes style,
# $s_m = \tanh(B_m c) + u_m$, with *exogenous* noise $u_m$. The observation is $x = f(c, s)$, three well-conditioned linear maps
# with leaky ReLUs between them. Augmentation $m$ adds noise to $s_m$ alone; the views share noise as [the theory](theory.md) has it.

# %%
def train(setting, name, folder):
    """One run per seed, from `seed` on."""
    return [numerical.fit(setting, s, f"{out_dir}/{folder}/seed{s}", f"{name}, seed {s}") for s in range(seed, seed + seeds)]


runs = {r: train(replace(base, latents=replace(whole, regime=r)), r, r) for r in REGIMES}
tables = {r: metrics.add(r, [run.table for run in runs[r]]) for r in REGIMES}
ceilings = {r: metrics.add(f"{r}_ceiling", [numerical.ceiling(replace(whole, regime=r), probe_samples, s)
                                            for s in range(seed, seed + seeds)]) for r in REGIMES}
spaces = whole.names
plots.curves([run.log for run in runs["independent"]], spaces)

# %% [markdown]
# (An "epoch" on these axes is 100 steps.)
#
# ## Each space tells its own block
#
# Rows are spaces, columns are what is predicted from them. Last row: the *ceiling*, what a network of two hidden layers
# predicts from the observation $x$ itself with as many samples. ($h$ can exceed it: training saw far more samples than the probe.)

# %%
targets = [*spaces, *(f"exogenous_{m}" for m in range(1, len(spaces)))]
shown = {r: {**{k: tables[r][k] for k in (*spaces, "joined", "h")}, "from x": ceilings[r]["x"]} for r in REGIMES}
display(plots.heatmaps({r: shown[r] for r in REGIMES if r != "causal"}, columns=spaces))
display(plots.heatmap(shown["causal"], columns=targets, title="causal"))
display(Markdown(report.blocks_sentences(tables, spaces)))

# %% [markdown]
# ## What to notice
#
# - In all regimes every style space is blind to content, although the key that trains it shares the content too: only the *joint* spread prevents the copy.
# - In the **causal** regime space $m$ tells $u_m$, not $s_m$. That is no failure: by {prf:ref}`cor-scalar` the optimum *is* the exogenous
#   noise, the part of the style that content does not already tell. The R² against $s_m$ is what $u_m$ alone can tell of $s_m$.
# - The content space tells a part of $s_m$ there, because $c$ causes it.
#
# ## Blocks of several dimensions
#
# For larger blocks the theory promises less: $s_m$ from $(z_m, \text{content})$ *together* ({prf:ref}`thm-main`), and perhaps not
# from $z_m$ alone ({prf:ref}`prop-turn`).

# %%
block_runs = train(replace(base, latents=blocks), "blocks", "blocks")
table = metrics.add("blocks", [run.table for run in block_runs])
display(plots.heatmap(table, [*blocks.names, "joined"], [*blocks.names, *(f"{s}_given_content" for s in blocks.names[1:])]))
display(Markdown(report.given_content(table, blocks.names[1:])))

# %% [markdown]
# ## Two counterexamples
#
# **A turn that content chooses** (equation {eq}`turn`). Take the perfect embedding, $z = (c, s)$, and turn each two-dimensional style by an angle
# that content sets. The objective cannot see it; the probe can.

# %%
pair = Latents(2, (2,), noise=noise)
z, drawn = pair.sample(4 * probe_samples, torch.Generator().manual_seed(probes.STREAM + 77))
style, cause = drawn["style_1"], drawn["content"]
turned = turned_by(style, cause)
both = {"style": style, "turned": turned}
colours = plots.hue(torch.atan2(style[:, 1], style[:, 0]).numpy())
few, band = slice(0, 3000), (cause[:, 0] - 0.5).abs() < 0.05
plots.planes({"s": (style[few], colours[few]), "turned by content": (turned[few], colours[few]),
              "the same, content near one value": (turned[band], colours[band])})

# %% [markdown]
# Colour is the angle of $s$. In the middle it is gone: every place holds every colour. On the right, among samples of almost equal
# $c_1$, it is back. In numbers:

# %%
score = {f"loss_{name}": numerical.loss_of(pair, torch.cat([cause, s], 1)[:4096], temperature) for name, s in both.items()}
half = len(z) // 2
for name, v in {"turned": turned, "turned_given_content": torch.cat([turned, cause], 1)}.items():
    score[name] = probes.many(v[:half].numpy(), {"s": style[:half].numpy()}, v[half:].numpy(), {"s": style[half:].numpy()})["s"]
metrics.add("turn", [{"style_1": score}])
display(Markdown(report.turn_sentence(score)))

# %% [markdown]
# **Content that winds twice** ({prf:ref}`ex-winding`): smooth, uniform in, uniform out, aligned, yet every point on the right is reached
# from two points on the left, one of each colour. This is why the theorem asks the encoder to be proper.

# %%
square = torch.rand(4000, 2, generator=torch.Generator().manual_seed(probes.STREAM + 78))
tint = plots.hue(np.where(square[:, 1] < 0.5, 0.9, 4.0))
plots.planes({"content": (square.numpy(), tint), "wound": (wound(square).numpy(), tint)})

# %% [markdown]
# ## Four families, same data, same steps
#
# Above all was `entropy`, the theorem's objective made trainable. The others put less in place of the joint entropy. A sphere of
# `simclr` needs one spare dimension per space and gets it, with τ = 0.3. In the tables, `leak` is the largest R² of content from a style space.

# %%
spheres = tuple(size + 1 for size in base.spaces.sizes)
families = {"simclr": replace(base, family="simclr", sizes=spheres, lambdas=(), options=(("temperature", 0.3),)),
            "vicreg": replace(base, family="vicreg", lambdas=(), options=()), "barlow": replace(base, family="barlow", lambdas=(), options=())}
family_runs = {"entropy": runs["independent"]} | {name: train(setting, name, name) for name, setting in families.items()}
family_tables = {name: metrics.add(f"family_{name}", [run.table for run in some]) for name, some in family_runs.items()}
compared = metrics.add("families", [{name: numerical.summary(some[i]) for name, some in family_runs.items()} for i in range(seeds)])
display(plots.heatmaps({name: family_tables[name] for name in families}, spaces, spaces))
display(plots.tradeoff(compared, "seconds", ["content", "style", "leak"]))
display(Markdown(report.table(compared)))

# %% [markdown]
# Decorrelated is not independent: `vicreg` and `barlow` ask only for the former, and a style space may then keep a function of content
# that is uncorrelated with it.
#
# **DCI-ES** of the joint code against every latent dimension {cite:p}`eastwood2018,eastwood2023dci`: does each dimension of $z$ serve one
# factor, is each factor in one dimension, how much is told, how easily, with how many dimensions? Within the content block nothing asks for
# axes, so disentanglement and completeness of single dimensions cannot be 1 here.

# %%
scores = metrics.add("dci_es", [{name: numerical.dci_es(some[i], probe_samples, seed + i) for name, some in family_runs.items()}
                                for i in range(seeds)])
display(Markdown(report.table(scores)))

# %% [markdown]
# ## What breaks
#
# Shorter runs, one change each, all with `entropy` on independent latents: weights λ fixed or adaptive; content and style spaces too small or too large
# (in all other rows: exact); the number of styles; one key that shares nothing; narrow augmentation.

# %%
short = replace(base, steps=study_steps or max(1, steps // 3), probe=min(probe_samples, 2000))
c, s = whole.content, whole.styles
cells = {
    "weights": {f"λ = {v}": replace(short, lambdas=(v,)) for v in (0.3, 1.0, 3.0, 10.0)} | {"adaptive": replace(short, adaptive=True, epsilon=0.01)},
    "sizes": {"content − 1": replace(short, sizes=(max(1, c - 1), *s)), "exact": short, "content + 2": replace(short, sizes=(c + 2, *s)),
              "styles + 1": replace(short, sizes=(c, *(d + 1 for d in s))), "styles + 3": replace(short, sizes=(c, *(d + 3 for d in s)))},
    "number of styles": {f"M = {m}": replace(short, latents=Latents(c, (1,) * m, noise=noise)) for m in (1, 2, 3, 4)},
    "last key": {"shares its style": short, "shares nothing": replace(short, dropped=(whole.names[-1],))},
    "augmentation": {f"noise {v}": replace(short, latents=replace(whole, noise=v)) for v in (0.1, 0.3, 1.0)}}
studies, done = {}, {}
for title, settings in cells.items():
    for name, setting in settings.items():
        done[setting] = done.get(setting) or train(setting, f"{title}: {name}", f"studies/{title}/{name}")
    studies[title] = metrics.add(title, [{name: numerical.summary(done[x][i]) for name, x in settings.items()} for i in range(seeds)])
dropped = metrics.add("dropped", [run.table for run in done[cells["last key"]["shares nothing"]]])

# %%
display(plots.dots(studies, ["content", "style", "leak"]))
display(plots.heatmaps({"one key shares nothing": dropped}, spaces, spaces))
display(Markdown(report.study_sentences(studies, dropped, spaces[-1])))

# %% [markdown]
# ## What is limited
#
# - Latents are Gaussian, the mixing is square and well conditioned, sizes are known. None of this holds for photographs.
# - τ and λ of `entropy` were chosen on other seeds (0 to 14) than those shown by default (from 20); the weights study above shows what λ changes.
#   The other families have their usual weights and were not tuned: the comparison is at equal steps, not at each one's best.
# - An R² near 0 says that this probe, with these samples, finds nothing.
#
# At the scale of {cite:t}`vonkugelgen2021`, on a GPU: `papermill book/numerical.ipynb out.ipynb -p steps 100000 -p samples 6144 -p content 5 -p styles 5 -p block_content 5 -p block_styles 5`.
#
# ## Check

# %%
path = metrics.write()
for r in REGIMES:
    assert {"h", "joined", *spaces} == set(tables[r]) and set(targets) <= set(tables[r]["content"])
assert all(np.isfinite(cell["value"]) for t in metrics.tables.values() for row in t.values() for cell in row.values())
print(f"{path} written after {metrics.record['seconds']:.0f} s")

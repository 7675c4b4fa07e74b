"""Start a notebook of an experiment on images: `make notebook NAME=mine [DATA=folder]`.

Writes book/mine.ipynb, its paired book/mine.py, and their line in _toc.yml. The profiles in
book/profiles/ hold for it as for the other notebooks.
"""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import sys
from pathlib import Path

import jupytext

from msr.experiments import imagenet, parameters

ROOT = Path(__file__).resolve().parent.parent
METADATA = {
    "jupytext": {"formats": "ipynb,py:percent", "cell_metadata_filter": "tags,-all"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
}
TEMPLATE = """\
# %% [markdown]
# # {title}
#
# What this page claims, in a sentence. The number that carries the claim. How it was found.

# %% tags=["parameters", "hide-input"]
{cell}

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr.augment import Normalise
from msr.experiments import imagenet
from msr.report import Metrics, galleries, plots, sentences, tables

config = imagenet.Parameters.read(globals())
setup = imagenet.prepare(config)
metrics = Metrics("{name}", setup.config.model_dump(), setup.device, config.out_dir)
display(Markdown(sentences.made_by("{name}", config.profile, setup.facts())))

# %% [markdown]
# ## What each view shares
#
# The query draws all its parameters, $t$. Key 0 draws everything afresh. Each other key draws
# everything afresh except one group, which it takes from $t$: it shares that style.

# %%
originals = setup.val.fetch(torch.arange(5)).float() / 255
views = setup.views(originals, torch.Generator().manual_seed(0))  # [V, B, 3, S, S]
names = setup.spaces.names
titles = ["query", *(f"key {{m}}" for m in range(len(views) - 1))]
shared = ["draws t", "shares content", *(f"+ {{name}}" for name in names[1:])]
galleries.views(originals, Normalise().undo(views), titles, shared)

# %% [markdown]
# ## Training
#
# Each space's misalignment falls, while the joint embedding spreads out.

# %%
runs = [setup.fit(seed) for seed in config.all_seeds]
plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## What each space predicts
#
# Probes on held-out images, the network frozen: labels (top-1 accuracy) and factors, then what the
# augmentation drew (R²).

# %%
main = metrics.add("main", [setup.probe(run) for run in runs])
labels, styles = tables.columns(main, setup.views.targets(), hidden=("x", "y"))
if labels:
    display(plots.heatmap(main, columns=labels, title="labels and factors"))
plots.heatmap(main, columns=styles, title="style probes", cmap="Greens")

# %% [markdown]
# ## Beside plain self-supervision
#
# The same backbone, family and width with one space for everything, trained on as many views.

# %%
plain = [setup.fit(seed, vanilla=True) for seed in config.all_seeds if config.vanilla]
if plain:
    vanilla = metrics.add("vanilla", [setup.probe(run) for run in plain])
    display(Markdown(tables.compare(main, vanilla, labels + styles)))

# %% [markdown]
# ## What to notice
#
# Read each column from top to bottom: which space predicts most, and by how much?

# %%
assert all(np.isfinite(cell["value"]) for row in main.values() for cell in row.values())
print(f"{{metrics.write()}} written after {{metrics.record['seconds']:.0f}} s")
"""


def check(name: str) -> None:
    """End the program, with one line, unless a notebook of this name can be started."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        sys.exit(f"'{name}' names no notebook: give small letters, digits and _, such as NAME=mine")
    for path in sorted((ROOT / "book").glob(f"{name}.*")):
        sys.exit(f"book/{path.name} exists; give another NAME")
    if importlib.util.find_spec(name) or keyword.iskeyword(name):
        sys.exit(f"'{name}' is a name in Python; give another NAME")


def script(name: str, data: str) -> str:
    """The text of the new notebook, as a .py in the percent format."""
    changed = {"out_dir": f"runs/{name}"} | ({"data_dir": data} if data else {})
    cell = parameters.cell(imagenet.Parameters, **changed)
    title = name.replace("_", " ").capitalize()
    return TEMPLATE.format(name=name, title=title, cell=cell)


def listed(toc: str, name: str) -> str:
    """The table of contents with the notebook as the last of the experiments."""
    lines = toc.splitlines()
    i = lines.index("  - caption: Experiments") + 2
    while i < len(lines) and lines[i].startswith("      - file:"):
        i += 1
    return "\n".join([*lines[:i], f"      - file: book/{name}", *lines[i:], ""])


def main() -> None:
    """The command line: write the notebook and its line, say what comes next."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="of the notebook, such as mine")
    parser.add_argument("--data", default="", help="a folder of images, or a dataset's name")
    options = parser.parse_args()
    name, book, toc = options.name, ROOT / "book", ROOT / "_toc.yml"
    check(name)
    notebook = jupytext.reads(script(name, options.data), fmt="py:percent")
    notebook.metadata.update(METADATA)
    jupytext.write(notebook, book / f"{name}.ipynb")
    jupytext.write(notebook, book / f"{name}.py", fmt="py:percent")
    toc.write_text(listed(toc.read_text(), name))
    print(f"book/{name}.ipynb and book/{name}.py are written; edit either, then `make sync`.")
    print(f"Run it: .venv/bin/papermill book/{name}.ipynb out.ipynb -p epochs 5")


if __name__ == "__main__":
    main()

"""Start a notebook of an experiment on images: `make notebook NAME=mine [DATA=folder]`.

It writes book/mine.ipynb, the paired book/mine.py, and their line in _toc.yml. The profiles in
book/profiles/ apply to it as to the other notebooks.
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
# What this page claims, in one sentence. The number that supports the claim. How it was found.

# %% tags=["parameters", "hide-input"]
{cell}

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown, display

from msr.augment import Normalise
from msr.experiments import imagenet, several
from msr.report import Metrics, galleries, plots, sentences, tables, training_plots

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
runs, plain = several.trained(setup, config.all_seeds, plain=config.vanilla)
training_plots.curves([run.log for run in runs], names)

# %% [markdown]
# ## What each space predicts
#
# The network is frozen, and probes predict from its features on held-out images: labels (top-1
# accuracy) and factors (R²), then what the augmentation drew (R²).

# %%
main = metrics.add("main", [setup.probe(run) for run in runs])
labels, styles = tables.columns(main, setup.views.targets(), hidden=("x", "y"))
if labels:
    display(plots.heatmap(main, columns=labels, title="labels and factors"))
plots.heatmap(main, columns=styles, title="style probes", cmap="Greens")

# %% [markdown]
# ## Beside plain self-supervision
#
# The network for comparison has the same backbone, family and width, but one space for everything.
# It is trained on the same number of views.

# %%
if plain:
    theirs = metrics.add("vanilla", [setup.probe(run) for run in plain])
    display(Markdown(tables.compare(main, theirs, labels + styles)))

# %% [markdown]
# ## What to notice
#
# Read each column from top to bottom: which space predicts most, and by how much?

# %%
assert all(np.isfinite(cell["value"]) for row in main.values() for cell in row.values())
print(f"{{metrics.write()}} written after {{metrics.record['seconds']:.0f}} s")
"""


def check(name: str) -> None:
    """End the program, with one line that says why, if no notebook can have this name."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        sys.exit(f"'{name}' names no notebook: use small letters, digits and _, as in NAME=mine")
    for path in sorted((ROOT / "book").glob(f"{name}.*")):
        sys.exit(f"book/{path.name} exists; give another NAME")
    if importlib.util.find_spec(name) or keyword.iskeyword(name):
        sys.exit(f"'{name}' is a name in Python already; give another NAME")


def script(name: str, data: str) -> str:
    """Return the text of the new notebook, as a .py in the percent format.

    data: the default of `data_dir`; empty: that of the record.
    """
    changed = {"out_dir": f"runs/{name}"} | ({"data_dir": data} if data else {})
    cell = parameters.cell(imagenet.Parameters, **changed)
    title = name.replace("_", " ").capitalize()
    return TEMPLATE.format(name=name, title=title, cell=cell)


def listed(toc: str, name: str) -> str:
    """Return the table of contents `toc` with the notebook as the last of the part "Use it"."""
    lines = toc.splitlines()
    i = lines.index("  - caption: Use it") + 2
    while i < len(lines) and lines[i].startswith("      - file:"):
        i += 1
    return "\n".join([*lines[:i], f"      - file: book/{name}", *lines[i:], ""])


def main() -> None:
    """Run the command: write the notebook and its line, and print what to do next."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="name of the notebook, such as mine")
    parser.add_argument("--data", default="", help="a folder of images, or the name of a dataset")
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

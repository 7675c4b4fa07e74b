"""Make the things agree that are written in two places: `make sync`.

These are a notebook and its .py (the newer one is copied to the other); a notebook's parameters
cell, written from the record that it reads; and the map and the table on the page "How the code is
laid out", written from the imports.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

from images import layout
from msr.experiments import parameters

BOOK = Path(__file__).resolve().parent
CELL = re.compile(r'(?<=\n# %% tags=\["parameters", "hide-input"\]\n).*?(?=\n\n# %%)', re.DOTALL)


def record(script: str) -> type[parameters.Page] | None:
    """Return the record that a notebook uses, from its line `imagenet.Parameters.read(…)`.

    script: the notebook's .py. It is None if the notebook has no such line.
    """
    name = re.search(r"(\w+)\.Parameters\.read\(", script)
    return importlib.import_module(f"msr.experiments.{name[1]}").Parameters if name else None


def values(cell: str, kind: type[parameters.Page]) -> dict:
    """Return {name: default} as a parameters cell has them, for the fields of a record."""
    found = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(cell).body}
    return {name: value for name, value in found.items() if name in kind.model_fields}


def fresh(script: str, name: str) -> str:
    """Return a notebook's .py with its parameters cell written again from its record.

    script: the .py as it is. name: of the notebook. The notebook that has the record's name gets
    the record's defaults; any other notebook keeps its own defaults.
    """
    kind, cell = record(script), CELL.search(script)
    if kind is None or cell is None:
        return script
    own = {} if kind.NAME == name else values(cell[0], kind)
    return script[: cell.start()] + parameters.cell(kind, **own) + script[cell.end() :]


def pair(notebooks: list[Path]) -> None:
    """Let jupytext copy the newer of each notebook and its .py to the other."""
    command = [sys.executable, "-m", "jupytext", "--quiet", "--sync", *map(str, notebooks)]
    subprocess.run(command, check=True)


def stated(page: str) -> str:
    """Return the page of the layout with the imports of each room in its table's last column."""
    lines = page.splitlines()
    for i, line in enumerate(lines):
        room = re.match(r"\| `(\w+)` \|", line)
        if room and room[1] in layout.ROOMS:
            start = line[: line.rindex("|", 0, -1) + 1]
            lines[i] = f"{start} {', '.join(sorted(layout.arrows()[room[1]]))}".rstrip() + " |"
    return "\n".join([*lines, ""])


def main() -> None:
    """Update the notebooks, their parameters cells, and the map and table of the code."""
    notebooks = sorted(BOOK.glob("*.ipynb"))
    pair(notebooks)
    for path in (notebook.with_suffix(".py") for notebook in notebooks):
        script = path.read_text()
        if script != fresh(script, path.stem):
            path.write_text(fresh(script, path.stem))
            where = f"the parameters cell of book/{path.name} is written from msr/experiments"
            print(f"{where}: change a default there, or give a value by -p")
    pair(notebooks)
    (BOOK / "images" / "layout.svg").write_text(layout.draw())
    page = BOOK / "layout.md"
    page.write_text(stated(page.read_text()))


if __name__ == "__main__":
    main()

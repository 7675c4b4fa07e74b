"""Bring into step what is written twice: `make sync`.

A notebook and its .py (the newer one wins); a notebook's parameters cell and the record that it
reads; the map and the table of "How the code is laid out" and the imports.
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


def record(script: str) -> type[parameters.Parameters] | None:
    """The record that a notebook reads its parameters into, by `imagenet.Parameters.read(…)`."""
    name = re.search(r"(\w+)\.Parameters\.read\(", script)
    return importlib.import_module(f"msr.experiments.{name[1]}").Parameters if name else None


def values(cell: str, kind: type[parameters.Parameters]) -> dict:
    """The defaults that a parameters cell has for the fields of a record."""
    found = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(cell).body}
    return {name: value for name, value in found.items() if name in kind.model_fields}


def fresh(script: str, name: str) -> str:
    """A notebook's .py with its parameters cell written anew from its record.

    The notebook of the record's name has the record's defaults; any other keeps its own.
    """
    kind, cell = record(script), CELL.search(script)
    if kind is None or cell is None:
        return script
    own = {} if kind.NAME == name else values(cell[0], kind)
    return script[: cell.start()] + parameters.cell(kind, **own) + script[cell.end() :]


def pair(notebooks: list[Path]) -> None:
    """Let jupytext bring notebooks and their .py into step."""
    command = [sys.executable, "-m", "jupytext", "--quiet", "--sync", *map(str, notebooks)]
    subprocess.run(command, check=True)


def stated(page: str) -> str:
    """The page of the layout with the imports of every room in the last column of its table."""
    lines = page.splitlines()
    for i, line in enumerate(lines):
        room = re.match(r"\| `(\w+)` \|", line)
        if room and room[1] in layout.ROOMS:
            start = line[: line.rindex("|", 0, -1) + 1]
            lines[i] = f"{start} {', '.join(sorted(layout.arrows()[room[1]]))}".rstrip() + " |"
    return "\n".join([*lines, ""])


def main() -> None:
    """Bring the whole book into step."""
    notebooks = sorted(BOOK.glob("*.ipynb"))
    pair(notebooks)
    for path in (notebook.with_suffix(".py") for notebook in notebooks):
        script = path.read_text()
        if script != fresh(script, path.stem):
            path.write_text(fresh(script, path.stem))
    pair(notebooks)
    (BOOK / "images" / "layout.svg").write_text(layout.draw())
    page = BOOK / "layout.md"
    page.write_text(stated(page.read_text()))


if __name__ == "__main__":
    main()

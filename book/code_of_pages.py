"""The notebooks as pages: their code, the modules that it needs, and whether they mean the same."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
from IPython.core.inputtransformer2 import TransformerManager

PACKAGES = ("msr", "benchmarks")  # of the checkout, which notebooks import
INJECTED = "injected-parameters"  # papermill's tag


def in_step(notebook: Path) -> bool:
    """Return whether a notebook has the cells of the .py beside it, or there is none."""
    script = notebook.with_suffix(".py")
    if not script.exists():
        return True
    both = [
        [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in book.cells]
        for book in map(jupytext.read, (notebook, script))
    ]
    return both[0] == both[1]


def sources(book: dict[str, Any]) -> list[str]:
    """Return the sources of the code cells of a notebook as Python, their magics too."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [TransformerManager().transform_cell("".join(cell["source"])) for cell in cells]


def with_text_of(book: dict[str, Any], executed: dict[str, Any]) -> dict[str, Any]:
    """Return an executed notebook with the text and the tags of `book`, which has the same code.

    The cell that papermill injected stays where it is: before all, or behind the parameters.
    """
    done = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    injected = [cell for cell in done if INJECTED in cell["metadata"].get("tags", [])]
    outputs = iter([cell for cell in done if cell not in injected])
    tagged = ["parameters" in cell["metadata"].get("tags", []) for cell in book["cells"]]
    cells = [] if any(tagged) else injected
    for cell, parameters in zip(book["cells"], tagged):
        own = next(outputs) if cell["cell_type"] == "code" else {}
        ran = {name: own[name] for name in ("outputs", "execution_count") if name in own}
        cells = [*cells, cell | ran, *(injected if parameters else [])]
    return executed | {"cells": cells}


def tidied(book: dict) -> dict:
    """Return the executed notebook without the tools' metadata; injected parameters are folded."""
    book["metadata"].pop("jupytext", None)
    book["metadata"].pop("papermill", None)
    for cell in book["cells"]:
        tags = cell["metadata"].get("tags", [])
        if INJECTED in tags:
            tags.append("hide-input")
    return book


def modules(root: Path) -> dict[Path, str]:
    """Return {path below root: name} of the modules that notebooks can import from a checkout."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            below = path.relative_to(root)
            parts = below.with_suffix("").parts
            found[below] = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return found


def needed(source: str, root: Path) -> list[Path]:
    """Return the modules below root that a source imports, and those that these import, by path."""
    paths = {name: path for path, name in modules(root).items()}
    found: set[str] = set()
    waiting = [source]
    while waiting:
        for name in imports(waiting.pop()):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):  # a package runs before its modules
                module = ".".join(parts[:end])
                if module in paths and module not in found:
                    found.add(module)
                    waiting.append((root / paths[module]).read_text())
    return sorted(paths[name] for name in found)


@cache
def imports(source: str) -> frozenset[str]:
    """Return every name that a source imports, in functions too: `from a.b import c` is "a.b.c".

    A text such as "msr.train" counts as well: it may be the command that another process runs.
    Raises SyntaxError for a source that is not Python.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and str(node.value).startswith(PACKAGES):
            found.add(f"{node.value}.__main__")
    return frozenset(found)


def files(source: str, root: Path) -> list[Path]:
    """Return the files below root that a source names, as by "results/photographs.json"."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    named = [root / text for text in texts if isinstance(text, str) and 0 < len(text) < 200]
    return sorted({path for path in named if path.suffix and path.is_file()})


def meaning_of(paths: Iterable[Path], root: Path) -> str:
    """Return a digest of what modules compute; paths: below root.

    Comments, docstrings and the layout of the code change nothing.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"[{str(path)!r}, {as_text((root / path).read_text())}]".encode())
    return digest.hexdigest()


@cache
def as_text(source: str) -> str:
    """Return what a source means (see `meaning`), as a text."""
    return repr(meaning(ast.parse(source)))


def meaning(node: object) -> object:
    """Return a syntax tree as nested lists, without docstrings; equal for all versions of Python.

    (The text of `ast.dump` is not. A field that is empty, or that older versions lack, is left
    out.)
    """
    if isinstance(node, list):
        return [meaning(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    parts = [[name, meaning(value)] for name, value in fields.items() if value not in (None, [])]
    return [type(node).__name__, *parts]

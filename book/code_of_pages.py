"""The notebooks as pages: their code, the modules that it needs, and whether they mean the same."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("msr", "benchmarks")  # of the checkout, which notebooks import


def sources(book: dict[str, Any]) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells]


def with_text_of(book: dict[str, Any], executed: dict[str, Any]) -> dict[str, Any]:
    """Return an executed notebook with the text of `book`, which has the same code.

    The cell of the parameters that papermill injected stays behind the notebook's own.
    """
    done = iter([cell for cell in executed["cells"] if cell["cell_type"] == "code"])
    cells = []
    for cell in book["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        cells.append(next(done))
        if "parameters" in cell["metadata"].get("tags", []):
            cells.append(next(done))
    return executed | {"cells": cells}


def tidied(book: dict) -> dict:
    """Return the executed notebook without the tools' metadata; injected parameters are folded."""
    book["metadata"].pop("jupytext", None)
    book["metadata"].pop("papermill", None)
    for cell in book["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
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


def imports(source: str) -> Iterator[str]:
    """Yield every name that a source imports, in functions too: `from a.b import c` is "a.b.c"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def meaning_of(paths: Iterable[Path], root: Path) -> str:
    """Return a digest of what modules compute; paths: below root.

    Comments, docstrings and the layout of the code change nothing.
    """
    digest = hashlib.sha256()
    for path in paths:
        tree = ast.parse((root / path).read_text())
        digest.update(repr([str(path), meaning(tree)]).encode())
    return digest.hexdigest()


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

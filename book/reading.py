"""What an executed notebook looks like as a page: first the story, the parameters at the end."""

from __future__ import annotations

from typing import Any

PARAMETERS = {"parameters", "injected-parameters"}  # tags
LAST = """\
## The parameters of this page

Those of the notebook, then what this run gave instead. `-p NAME VALUE` of papermill gives another.
"""


def for_reading(book: dict[str, Any], headline: str = "") -> dict[str, Any]:
    """Return an executed notebook as its page shows it.

    headline: Markdown that follows the first cell, which has the title. The cells of parameters go
    to the end.
    """
    cells = book["cells"]
    given = [cell for cell in cells if PARAMETERS & set(cell["metadata"].get("tags", []))]
    rest = [cell for cell in cells if cell not in given]
    first = [text(headline, "headline")] if headline else []
    last = [text(LAST, "last"), *given] if given else []
    return book | {"cells": [*rest[:1], *first, *rest[1:], *last]}


def text(source: str, name: str) -> dict[str, Any]:
    """Return a Markdown cell."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}

"""Names that users gave, such as folders and classes, shown as they are and never interpreted.

A name may hold anything that a file system allows: `|`, `<script>`, `$`, a line break, bytes that
are no text. On a page it must neither become HTML, a formula or a role, nor break a table; in a
figure matplotlib would stop at a `$` that begins no formula.
"""

from __future__ import annotations

import re

LONGEST = 60  # characters of a name that a figure shows


def plain(name: str) -> str:
    """Return a name in one line of printable text; what cannot be printed becomes � or a space."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in name)


def markdown(name: str) -> str:
    """Return a name as Markdown that shows exactly it, in a sentence or a cell of a table.

    A `_` between two letters or digits means nothing in Markdown, and stays as it is.
    """
    special = r"([\\`*{}\[\]<>#|$~&@]|(?<![^\W_])_|_(?![^\W_]))"
    return re.sub(special, r"\\\1", plain(name))


def code(name: str) -> str:
    """Return a name as a Markdown code span in a sentence, between as many ` as it needs."""
    text = plain(name)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def drawn(name: str) -> str:
    """Return a name as text of a figure, without formulas; the end of a long name is cut."""
    text = plain(name).replace("$", r"\$")
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip("\\") + "…"

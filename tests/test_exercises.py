"""The solutions on the pages run, and each page of the story has three exercises."""

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "book"
PAGES = ("sprites", "imagenet", "numerical", "price", "photographs", "transfer", "performance")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def text(name):
    """The Markdown of a page."""
    if name == "theory":
        return (BOOK / "theory.md").read_text()
    cells = json.loads((BOOK / f"{name}.ipynb").read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("name", [*PAGES, "theory"])
def test_a_page_has_three_exercises_with_solutions(name):
    after = text(name).split("## Exercises", 1)[1]
    exercises, solutions = re.split(r"^`{3,}\{dropdown\} Solutions$", after, maxsplit=1, flags=re.M)
    assert re.findall(r"^(\d)\. ", exercises, re.M) == ["1", "2", "3"]
    assert len(solutions.split()) > 30


@pytest.mark.parametrize("name", PAGES)
def test_solutions_run(name):
    blocks = BLOCK.findall(text(name).split("## Exercises", 1)[1])
    assert any("assert" in block for block in blocks)
    space = {}
    for block in blocks:
        exec(compile(block, f"{name}: a solution", "exec"), space)

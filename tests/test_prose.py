"""No result is typed into the text of a notebook: its numbers are settings of its own code."""

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "book"
PAGES = sorted(BOOK.glob("*.ipynb"))
# maths, code, links and citations are no claims in numbers
ASIDE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|\{[^}]*\}", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)|\d+(?= ?%)")
# settings that stand in the library, and facts about data that a notebook only describes
KNOWN = {
    "numerical": {"0.3": "τ of simclr, numerical.usual", "0.999": "1 − ε"},
    "performance": {"0.8": "benchmarks.families.REACHED"},
    "sprites": {"0.5": "smallest of dSprites' scales", "0.33": "1 of 3", "0.10": "1 of 10"},
    "reproduction": {number: "bound in results/claims.yml" for number in ("0.9", "0.95", "0.05")},
}


def typed(text, code):
    """The numbers in a text that its notebook's code does not have."""
    literals = {float(number) for number in re.findall(r"(?<![\w.])\d*\.?\d+(?:e-?\d+)?", code)}
    return [n for n in NUMBER.findall(ASIDE.sub(" ", text)) if float(n) not in literals]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prose_holds_no_result(path):
    cells = json.loads(path.read_text())["cells"]
    parts = {
        kind: "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)
        for kind in ("markdown", "code")
    }
    story = parts["markdown"].split("## Exercises")[0]
    found = typed(story, parts["code"])
    assert set(found) <= set(KNOWN.get(path.stem, {})), found


def test_a_typed_result_is_found():
    code = "epsilon, span = 0.001, 20\nepochs = 5e-3"
    assert typed("The content space reaches an R² of 0.93.", code) == ["0.93"]
    assert typed("It is right in 87 % of cases, or 87%.", code) == ["87", "87"]
    assert typed("Here ε = 0.001, $x = 0.5$, `0.7`, and 20 %; see [that](a0.3).", code) == []

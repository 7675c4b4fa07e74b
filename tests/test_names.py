"""Names of folders and classes that mean something to Markdown, HTML, LaTeX or matplotlib."""

import io
import types

import numpy as np
import pytest
import torch
from matplotlib import cbook
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import DocutilsRenderer
from myst_parser.parsers.mdit import create_md_parser

from msr.experiments.earlier import Earlier
from msr.report import Facts, galleries, over_seeds, plots, sentences, tables
from msr.report.names import code, plain
from msr.report.verdict import paired
from msr.spaces import Spaces

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "$\\frac{$",
    "$x$ and $$y$$",
    "*bold* _and_ `code`",
    "`",
    "``two`` ",
    "{raw}`html`",
    "[click](javascript:alert(1))",
    "![x](y)",
    "back\\slash\\",
    "\\$\\|",
    "&lt;b&gt; &amp;",
    "# ~~gone~~",
    "two\nlines",
    "bytes \udcff, nul \x00",
    "right \u202e to left",
    "_a_ __b__ c_d",
    "plain name",
)
KINDS = ("paragraph", "strong")
TEXT = ("text", "code_inline", "softbreak")  # tokens that show what is written and no more


def tokens(source):
    """The tokens that the book's parser finds, those in lines too."""
    extensions = {"dollarmath", "colon_fence", "linkify", "strikethrough", "attrs_inline"}
    parser = create_md_parser(MdParserConfig(enable_extensions=extensions), DocutilsRenderer)
    found = parser.parse(source)
    return [inner for token in found for inner in (token, *(token.children or ()))]


def cells(source):
    """The text of each cell of the one table in a Markdown source; nothing else may be in it."""
    found, inside = [], False
    for token in tokens(source):
        inside = token.type in ("th_open", "td_open") or (inside and "close" not in token.type)
        if token.type in ("th_open", "td_open"):
            found.append("")
        elif inside and token.type != "inline":
            assert token.type in TEXT, token
            found[-1] += token.content
    return found


def table_of(targets):
    """A table of two spaces and these targets."""
    return over_seeds([{space: dict.fromkeys(targets, 0.5) for space in ("h", "content")}])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_in_every_table(name):
    shown, verdict = plain(name).strip(), paired({name: [0.1, 0.2]})
    assert cells(tables.listed([(name, "content", 2, 9, 9, 0.5)]))[5] == shown
    assert cells(tables.table(table_of([name])))[1] == plain(name.replace("_", " ")).strip()
    assert cells(tables.table({name: table_of(["a"])["h"]}))[2] == shown
    assert cells(tables.verdicts({"ours": verdict}))[2] == shown


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_in_a_sentence(name):
    source = f"the images in {code(name)}"
    facts = Facts(source, 1, 1, 16, 1, 1, "simclr", "cnn", {"h": 1}, 1, "cpu")
    found = tokens(sentences.made_by("imagenet", name, facts))
    kinds = {token.type for token in found if token.type not in ("inline", *TEXT)}
    assert kinds == {"paragraph_open", "paragraph_close", "strong_open", "strong_close"}
    spans = [token.content for token in found if token.type == "code_inline"]
    assert [span.strip() for span in spans[:2]] == [plain(name).strip()] * 2
    promise = sentences.promises(table_of([name]), ["h", "content"], {name: "h"})
    assert not {"html_inline", "math_inline", "myst_role", "link_open"} & {
        token.type for token in tokens(promise)
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_networks_of_strangers_are_named_and_not_interpreted(name):
    """The first lines of the page on transfer, which judges the networks in a folder."""
    network, spaces = types.SimpleNamespace(seed=0), Spaces(("content", name), (4, 4))
    config = types.SimpleNamespace(family="simclr", backbone="cnn", image_size=16, epochs=3)
    where = name.replace("/", "")
    said = Earlier(config, spaces, torch.device("cpu"), where, [network], [], {}).said()
    kinds = {token.type for token in tokens(said)}
    assert kinds <= {*TEXT, "inline", *(f"{k}_{side}" for k in KINDS for side in ("open", "close"))}


def test_names_are_drawn_and_not_interpreted():
    names, image = [*HOSTILE, "x" * 255, "$" * 101], np.zeros((1, 3, 4, 4), np.uint8)
    one = table_of(["a"])["h"]
    figures = [
        plots.heatmap(table_of(names)),
        plots.heatmap(dict.fromkeys(names, one), names={n: f"{n} (content)" for n in names}),
        plots.differences(
            {"ours": paired(dict.fromkeys(names, [0.1, 0.2]))}, dict.fromkeys(names, "content")
        ),
        galleries.sheet(dict.fromkeys(names, image)),
        galleries.columns_of(dict.fromkeys(names, image)),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="svg")
    labels = [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
    assert len(labels) == len(names) and max(map(len, labels)) <= 60
    assert not any(cbook.is_math_text(label) is True for label in labels)

"""Claims of the book: the number that counts, the verdict, and what stands in results/."""

import json
import math

import pytest

import keep
from msr.experiments import costs, reproduction
from msr.report import claims, kept, metrics
from msr.report.claims import Claim


def record(*seeds, **params):
    """The content of a metrics.json with one table, from {row: {column: number}} of each seed."""
    return {"tables": {"main": metrics.over_seeds(seeds)}, "params": params}


def claim(*columns, more=True, than=0.9, against=(), text="it is so"):
    cells = [tuple(("main", "h", column) for column in some) for some in (columns, against)]
    return Claim(text, "this book", cells[0], more, than, cells[1])


SEEDS = [{"h": {"a": 0.95 + e, "b": 0.93 - e, "c": 0.2 + e}} for e in (0.0, 0.001, 0.002)]


def test_the_cell_that_bears_it_out_least_counts():
    tables = record(*SEEDS)["tables"]
    assert claim("a", "b").values(tables) == pytest.approx([0.93, 0.929, 0.928])
    assert claim("a", "b", more=False).values(tables) == pytest.approx([0.95, 0.951, 0.952])
    assert claim("a", "b", against="cc").values(tables) == pytest.approx([0.73, 0.728, 0.726])
    assert claim("a", "nothing").values(tables) == []


def test_what_a_run_says_of_a_claim():
    clear, wrong, open_ = (claim("a", than=0.9), claim("c"), claim("a", than=0.951))
    low = claim("c", more=False, than=0.3)
    some = [
        Claim(name, *list(vars(c).values())[1:])
        for name, c in zip("wxyz", (clear, wrong, open_, low))
    ]
    words = [one.words for one in claims.judged(some, record(*SEEDS))]
    assert words == ["reproduced", "**differs**", "cannot say", "reproduced"]
    short = claims.judged(some, record(*SEEDS, epochs=3), record(*SEEDS, epochs=10))
    assert [one.words for one in short] == ["reproduced", *2 * [claims.SHORT], "reproduced"]
    as_long = claims.judged(some, record(*SEEDS, epochs=10), record(*SEEDS, epochs=10))
    assert [one.words for one in as_long] == words
    once = claims.judged(some, record(SEEDS[0]))
    assert {one.words for one in once} == {"cannot say"} and once[0].number == "0.95"
    none = claims.judged(some, {})
    assert {(one.words, one.number) for one in none} == {("not run", "–")}


def test_a_score_that_is_missing_decides_nothing():
    seeds = [{"h": {"a": 0.99}}, {"h": {"a": math.nan}}, {"h": {"a": 0.99}}]
    assert claims.judged([claim("a")], record(*seeds))[0].words == "cannot say"


def test_the_table_shows_both_runs():
    some = [claim("a", than=-0.05)]
    text = claims.table(claims.judged(some, record(*SEEDS)), claims.judged(some, {}))
    assert "| it is so | this book | > −0.05 | 0.95 ± 0.00 | reproduced | – | not run |" in text


# ------------------------------------------------------------------------------ the book's claims


def test_every_claim_speaks_of_cells_that_its_notebook_writes():
    """Where results/ holds a run, each cell is there; a text is claimed once in a notebook."""
    for page, some in reproduction.stated().items():
        assert len({one.text for one in some}) == len(some)
        reference = kept.content(kept.RESULTS / f"{page}.json")
        for one in some:
            assert not one.against or len(one.against) == len(one.cells)
            assert not reference or one.values(reference["tables"]), one.text


def test_the_badge_is_that_of_the_kept_results():
    n, reference, _ = reproduction.count(reproduction.judge(reproduction.Parameters()))
    assert (kept.RESULTS / "badge.svg").read_text() == keep.badge(n, reference)
    assert 0 < reference <= n


def test_runs_beside_the_page_are_judged(tmp_path):
    asked = reproduction.Parameters(out_dir=str(tmp_path / "reproduction"))
    assert reproduction.count(reproduction.judge(asked))[2] == 0
    (tmp_path / "imagenet").mkdir()
    text = (kept.RESULTS / "imagenet.json").read_text()
    (tmp_path / "imagenet" / "metrics.json").write_text(text)
    found = reproduction.judge(asked)
    own = sum(one.reproduced for one in found["imagenet"].reference)
    assert reproduction.count(found)[2] == own > 0
    assert f"this book **{own}**" in reproduction.sentence(found)
    for broken in ("{", "[]"):
        (tmp_path / "imagenet" / "metrics.json").write_text(broken)
        assert reproduction.count(reproduction.judge(asked))[2] == 0


def test_the_references_say_how_they_were_made():
    table = reproduction.references()
    for path in kept.RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert f"| {path.stem} |" in table and found["commit"] in table


def test_what_style_costs_is_said_of_every_page_that_compares():
    """Each line is ours minus plain self-supervision, by the kept run of its page."""
    text = costs.costs()
    for one in costs.ALL:
        tables = kept.content(kept.RESULTS / f"{one.page}.json")["tables"]
        found = one.differences(tables)
        assert all(len(values) >= 3 for values in found.values())
        (line,) = [row for row in text.splitlines() if f": {one.what} |" in row]
        for values, cell in zip(found.values(), line.split("|")[2:5]):
            mean = sum(values) / len(values)
            assert float(cell.split(" ±")[0].replace("−", "-")) == pytest.approx(mean, abs=0.0051)
    nothing = costs.by_number("price", "none", "beside", "nobody", "plain SSL")
    assert "no score: no verdict" in costs.costs([nothing])

"""Every table, sentence and figure on degenerate input: shown as it is, "–", or one clear line.

No scores, missing scores, one seed, blind spaces, no style space, and none or one of things.
"""

import inspect
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from test_verdict import table_of

from msr.report import (
    galleries,
    latent_plots,
    latent_sentences,
    metrics,
    plots,
    price_plots,
    price_sentences,
    sentences,
    tables,
    training_plots,
    verdict,
)
from msr.report.verdict import NO_SCORE, ONE_SEED, Verdict

NAN = math.nan
IMAGES = np.zeros((3, 3, 4, 4))


@pytest.fixture(autouse=True)
def quiet():
    """No warning of a mean of nothing or of a bad axis reaches the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def texts(fig):
    fig.canvas.draw()
    return [t.get_text() for axis in fig.axes for t in axis.texts]


# ------------------------------------------------------------------------------- numbers, tables


def test_a_missing_score_is_a_dash():
    assert tables.number(NAN) == "–" and tables.number(NAN, plus=True) == "–"
    assert tables.number(math.inf) == "inf"
    assert tables.show(table_of({"h": {"a": [0.1, NAN]}})["h"]["a"]) == "–"
    assert tables.difference(Verdict(NAN, math.inf, 3)) == "–"
    assert tables.around(Verdict(0.5, 1.01, 2)) == " ± over 1"
    assert tables.around(Verdict(2.3, 1.01, 2)) == " ± 1.01"
    assert tables.around(Verdict(0.5, math.inf, 1)) == ""
    assert verdict.compared(Verdict(NAN, math.inf, 3)) == NO_SCORE
    assert verdict.promised(Verdict(NAN, math.inf, 1)) == NO_SCORE
    assert verdict.lower(Verdict(-0.5, 0.1, 3)) == "better"
    assert tables.words("") == ""


def test_tables_of_nothing():
    with pytest.raises(ValueError, match="no runs to make a table of; give one seed or more"):
        metrics.over_seeds([])
    assert metrics.over_seeds([{}]) == {} and metrics.over_seeds([{"h": {}}]) == {"h": {}}
    assert tables.columns({}, ()) == tables.columns({"h": {}}, ()) == ([], [])
    assert tables.grid(["a"], []) == "| a |\n|---|"
    assert tables.table({}) == "|  |\n|---|"
    assert tables.table({"h": {}}).endswith("| h |")
    assert tables.listed([]).count("\n") == 1
    assert tables.verdicts({}) == "" and tables.best_spaces({}, [], []) == ""
    empty = {"h": {}, "joined": {}}
    assert tables.compare(empty, empty, []).startswith("| target |")


def test_tables_of_missing_scores():
    table = table_of({"h": {"a": NAN}, "content": {"a": NAN}, "joined": {"a": 0.5}})
    row = tables.best_spaces(table, ["a"], ["h", "content"]).splitlines()[-1]
    assert row == "| a | – | – | content | – | – |"
    row = tables.best_spaces(table, ["a"], ["h", "joined"]).splitlines()[-1]
    assert row == "| a | **joined** | 0.50 | h | – | – |"
    assert f"| a | – | – | 0.50 | – | {NO_SCORE} |" in tables.compare(table, table, ["a"])
    found = {"one": {"a": Verdict(NAN, math.inf, 2)}}
    assert f"| a | –, {NO_SCORE} |" in tables.verdicts(found)


# -------------------------------------------------------------------------------------- verdicts


def test_verdicts_of_equal_missing_and_single_scores():
    assert verdict.paired({}) == {} and math.isnan(verdict.paired({"a": []})["a"].mean)
    same = verdict.paired({"a": [0.0, 0.0, 0.0]})["a"]
    assert (same.mean, same.half, same.sign) == (0, 0, 0)
    one = table_of({"h": {"a": 0.5}})
    assert verdict.compared(verdict.between(one, "h", one, "h", ["a"])["a"]) == ONE_SEED
    assert verdict.between(one, "h", one, "h", []) == {}
    two = table_of({"h": {"a": [0.5, 0.5]}})
    with pytest.raises(ValueError, match="'a' has 1 seeds against 2"):
        verdict.between(one, "h", two, "h", ["a"])


def test_leads_without_rivals_and_over_missing_ones():
    table = table_of({"s": {"a": [0.5, 0.6]}, "t": {"a": [NAN, 0.2]}, "u": {"a": [0.1, 0.1]}})
    homes = {"a": "s"}
    assert verdict.leads(table, [], homes) == verdict.leads(table, ["s"], homes) == {}
    assert verdict.located(table, [], homes) == verdict.located(table, ["s", "t"], {}) == {}
    for spaces in (["s", "t", "u"], ["s", "u", "t"]):
        assert math.isnan(verdict.leads(table, spaces, homes)["a"].mean)


# ------------------------------------------------------------------------------------- sentences


def test_promises_of_missing_scores():
    table = table_of({s: {"content": NAN, "a": 0.2} for s in ("h", "content", "spatial", "joined")})
    text = sentences.promises(table, ["content", "spatial"], {"content": "content", "a": "spatial"})
    assert "*content* belongs to `content`: – from it, at most – elsewhere (`spatial`)" in text
    assert f"lead –, {NO_SCORE}." in text and f"lead +0.00, {ONE_SEED}." in text
    text = sentences.sprites_promises(table, ["content", "spatial"], {"content": "content"})
    assert "the largest drop is for a, +0.00" in text and f"lead –, {NO_SCORE}" in text
    nothing = {s: {} for s in ("h", "content", "joined")}
    assert sentences.sprites_promises(nothing, ["content"], {}) == ""
    assert sentences.small_probe(0, 0, field=False) == sentences.grouped({}) == ""
    lost = {"s": table_of({"a": {"x": NAN}, "b": {"x": 0.5}})}
    assert "x 0.50 instead of –" in sentences.changes_sentences(lost)
    text = sentences.task_promises(table, ["content", "spatial"])
    assert "*content* tasks: – from `content`, at most – from another space (`spatial`)" in text
    assert sentences.task_promises(table, ["content"]) == ""
    kinds = {"a": "spatial", "content": "content", "none": "other"}
    assert sentences.task_exceptions(table, kinds, ["content", "spatial"]) == ""
    assert sentences.task_exceptions({}, {}, []) == ""
    lost = sentences.pairs_sentences(table, table, "content", ["h"], ["a", "content"])
    assert (
        "- *content*: from two views `content` predicts – (with the plain image –), `h` –." in lost
    )
    assert sentences.pairs_sentences({}, {}, "", [], []) == ""
    some = table_of({"a": {"x": NAN}, "b": {"x": 0.1}})
    assert sentences.best_of(some, "x", ["a", "b"]) == "b"


@pytest.mark.parametrize("other", [0.0, 1e-320, 1e-9, NAN])
def test_a_space_that_is_blind_to_the_other_groups(other):
    table = table_of({s: {g: 0.5 if s == g else other for g in "ab"} for s in ("content", *"ab")})
    text = sentences.sensitivity_sentence(table, ["content", "a", "b"])
    assert "`a` has sensitivity 0.50 to its own group and at most" in text
    assert "inf" not in text and "nan" not in text
    assert ("(over 1,000 times as much)" in text) == (0 < other < 1)


def test_sensitivity_of_wholly_blind_spaces_and_of_none():
    table = table_of({s: {"a": 0.0, "b": 0.1} for s in ("content", "a", "b")})
    text = sentences.sensitivity_sentence(table, ["content", "a", "b"])
    assert "`a` has sensitivity 0.00 to its own group and at most 0.10 to another;" in text
    assert sentences.sensitivity_sentence(table, ["content"]) == ""
    assert sentences.sensitivity_sentence({}, []) == ""


def test_the_numerical_page_without_styles_and_without_scores():
    table = table_of({"content": {"content": NAN}})
    text = latent_sentences.blocks_sentences({"independent": table}, ["content"])
    assert text.endswith("is predicted from `content` with R² –; there are no styles.")
    assert (
        latent_sentences.blocks_sentences({}, ["content"])
        == latent_sentences.given_content({}, [])
        == latent_sentences.causal_sentences({})
        == ""
    )
    parts = dict.fromkeys(("cap", "style", "caused", "content", "augmented"), NAN)
    text = latent_sentences.causal_sentences(table_of({"style_1": parts}))
    assert "alone predicts – of the style" in text and "observations with –." in text
    row = {"content": NAN, "style": NAN, "leak": NAN}
    studies = {"weights": {}, "sizes": {}, "augmentation": table_of({"noise": row})}
    dropped = table_of({"content": {"content": NAN, "s": NAN}, "s": {"content": NAN, "s": NAN}})
    assert "R² – and content with –" in latent_sentences.study_sentences(studies, dropped, "s")
    names = ("loss_style", "loss_turned", "turned", "turned_given_content")
    assert "R² of the style is – from" in latent_sentences.turn_sentence(dict.fromkeys(names, NAN))
    row = {"style": NAN, "leak": [0.1, 0.2]}
    sides = {"joint": table_of({"a": row}), "separate": table_of({"a": row})}
    text = latent_sentences.joint_sentences(sides)
    assert "no score: no verdict; content with at most 0.15 ± 0.07 and 0.15 ± 0.07" in text
    table = table_of({"content": {"misalignment": 0.02, "weight": NAN}})
    text = latent_sentences.adaptive_sentences({"λ = 1": table}, 0.01)
    assert "to – (`content`)" in text and "is **not met**" in text
    row = {"content": 0.98, "lowest style": 0.9, "given content": 0.96, "elsewhere": 0.01}
    text = latent_sentences.height_sentences(table_of({"a": row, "b": row | {"content": NAN}}))
    assert "elsewhere ≤ 0.02): *a*.\n\n- *b* misses: content – (goal 0.97)." in text
    assert "none" in latent_sentences.height_sentences({})
    assert latent_sentences.ranks({"content": 3, "style_1": 1}) == {"content": 3, "style_1": 4}
    assert latent_sentences.ranks({}) == {}
    leaks = table_of({"three spare": {"leak": NAN}, "counted": {"leak": 0.0}})
    text = latent_sentences.spare_sentence(leaks, {"content": 3})
    assert "found are 3 (`content`)" in text and "is –; with the sizes found it is 0.00." in text
    assert sentences.counted(2, "seed") == "2 seeds"
    text = latent_sentences.numerical_by(
        "", content=1, styles=(), steps=1, batch_size=2, depth=1, width=1, seeds=1, device="cpu",
        probe_samples=50,
    )  # fmt: skip
    assert "1 seed" in text
    facts = sentences.Facts("x", 0, 0, 16, 1, 1, "simclr", "cnn", {}, 1, "cpu", (0, 0))
    assert "probes fitted on 0 images" in sentences.made_by("a", "", facts)


# --------------------------------------------------------------------------------------- figures


def test_heat_maps_of_nothing_and_of_missing_scores():
    table = table_of({"h": {"a": [NAN, 0.1], "b": [0.2, 0.2]}})
    assert texts(plots.heatmap(table)) == ["–", "0.20\n±0.00"]
    for nothing in ({}, {"h": {}}):
        assert texts(plots.heatmap(nothing)) == []
    assert texts(plots.heatmaps({})) == []
    assert texts(plots.heatmap(table, rows=["missing"], columns=["a"])) == []


def test_points_of_nothing_and_of_missing_scores():
    table = table_of({"p": {"a": NAN, "b": 0.5}})
    for study, targets in (({}, []), ({"s": {}}, ["a"]), ({"s": table}, []), ({"s": table}, "ab")):
        assert texts(plots.dots(study, targets)) == []
    many = {str(i): {str(k): plots_cell(0.1 * k) for k in range(9)} for i in range(9)}
    assert len(plots.dots({"s": many}, list("012345678")).axes[0].containers) == 9
    assert len(plots.tradeoff(many, "0", ["1"]).axes[0].containers) == 9, "more rows than colours"
    for rows, y in (({}, ["a"]), (table, []), (table, ["a"])):
        assert texts(plots.tradeoff(rows, "b", y)) == []


def test_sentences_on_prices_and_effects():
    assert price_sentences.spread_sentences({}, {}, ["content"], [], []) == ""
    assert price_sentences.price_sentences({}) == price_sentences.effect_sentences({}) == ""
    assert price_sentences.length_sentence({}) == ""
    clear, unclear, none = Verdict(-0.2, 0.1, 3), Verdict(0.1, 0.2, 3), Verdict(NAN, math.inf, 3)
    found = {number: {"a": clear, "b": unclear} for number in price_sentences.WHAT}
    first, second, *_ = price_sentences.price_sentences(found).splitlines()
    assert first.count("(worse)") == 3 and first.endswith("content space −0.20 ± 0.10 (better).")
    assert second.count("(no clear difference)") == 4
    assert price_sentences.effect_sentences(found | {"h": {"a": none, "b": none}}).splitlines() == [
        "- **a**: content from its space −0.20 ± 0.10, style from h −0.20 ± 0.10, "
        "style in the content space −0.20 ± 0.10.",
        "- Nothing clear: b.",
    ]
    assert price_sentences.judged("h", {"h": {"a": none}}, "a") == NO_SCORE
    alone = {number: {"a": Verdict(0.1, math.inf, 1)} for number in price_sentences.WHAT}
    assert ONE_SEED in price_sentences.effect_sentences(alone)


def test_a_verdict_is_said_in_three_ways_or_not_at_all():
    three = ("up", "down", "neither")
    for mean, half, seeds, said in (
        (1.0, 0.1, 3, "up"),
        (-1.0, 0.1, 3, "down"),
        (0.1, 1.0, 3, "neither"),
        (1.0, math.inf, 1, ONE_SEED),
        (NAN, NAN, 3, NO_SCORE),
    ):
        assert verdict.say(Verdict(mean, half, seeds), *three) == said


def test_of_a_leak_less_is_better():
    found = {"content": {"a": Verdict(-0.2, 0.1, 3)}, "leak": {"a": Verdict(-0.2, 0.1, 3)}}
    assert "| a | −0.20 ± 0.10, worse | −0.20 ± 0.10, better |" in tables.verdicts(found, ["leak"])


def test_fronts_of_nothing_and_of_missing_scores():
    table = table_of({"p": {"a": NAN, "b": 0.5}, "q": {"a": 0.1, "b": 0.4}})
    assert texts(price_plots.front({}, "a", [], {}, [], ("", ""))) == []
    assert texts(price_plots.front(table, "b", ["a"], {}, [], ("", ""))) == []
    drawn = texts(price_plots.front(table, "b", ["a"], {"o": ["p", "q"]}, ["p", "q"], ("", "")))
    assert "q" in drawn and "p" not in drawn, "a point without a score has no name"


def test_lines_over_epochs_of_nothing_and_of_missing_scores():
    assert texts(price_plots.over_epochs({}, "content", {"R²": ["a"]})) == []
    assert texts(price_plots.over_epochs({"ours": {}}, "content", {})) == []
    tables = {n: table_of({"content": {"a": NAN, "b_c": 0.4 / n}}) for n in (1, 2)}
    fig = price_plots.over_epochs({"ours": tables}, "content", {"R²": ["a", "b_c"]})
    assert texts(fig) == ["b c"], "a line without a last score has no name"
    assert [len(line.get_xdata()) for line in fig.axes[0].lines] == [0, 2, 2]
    assert price_sentences.epoch_sentences({}, "content", ["a"]) == ""
    assert price_sentences.epoch_sentences({"plain SSL": tables}, "content", ["a"]) == ""
    for value, end in ((0.3, "**more than 0.05 is left**"), (0.01, "less than 0.05 is left")):
        cell = {"value": value, "std": 0.0, "n": 3, "values": [value, value, value + 0.001]}
        said = price_sentences.epoch_sentences({"ours": {1: {"c": {"a": cell}}}}, "c", ["a"])
        assert said.endswith(f"{end}.")
    said = price_sentences.epoch_sentences({"ours": tables}, "content", ["b_c", "a"]).splitlines()
    assert said == [
        f"- b c: ours 0.40 after 1, 0.20 after 2 epochs: {ONE_SEED}.",
        f"- a: ours – after 1, – after 2 epochs: {NO_SCORE}.",
    ]


def test_how_far_a_run_is_from_the_minimum():
    def table(random, begun):
        rows = {"a": (random, 0.8), "b": (begun, 1.0)}
        return {
            name: {"above": {"value": np.mean(v), "std": 0.1, "n": len(v), "values": v}}
            | {k: {"value": c, "std": 0.1, "n": len(v), "values": []} for k in ("content",)}
            for name, (v, c) in rows.items()
        }

    says = latent_sentences.minimum_sentences
    assert says({}, {}) == ""
    caught = says(table([1.0, 1.1, 1.05], [-0.1, 0.1, 0.0]), {"a": "b"})
    assert caught.startswith("- *a*: from a random start the loss ends at +1.05 ± ")
    assert "(**above**), and content" in caught
    assert "begun at the latents the loss ends at +0.00 ± " in caught
    assert "(no clear difference), and content" in caught
    assert "(below)" in says(table([-1.0, -1.1, -1.0], [0.0, 0.0, 0.1]), {"a": "b"})
    assert ONE_SEED in says(table([1.0], [0.1]), {"a": "b"})
    assert NO_SCORE in says(table([NAN] * 3, [0.1, 0.2, 0.1]), {"a": "b"})
    drawn = table_of({"a": {"above": 0.1, "content": 0.5, "lowest style": NAN}})
    assert texts(latent_plots.minimum(drawn, {"begun at random": ["a"]}, ["a"])) == ["a"]
    assert texts(latent_plots.minimum({}, {}, [])) == []


def test_what_a_view_tells_beside_the_content_space():
    def said(h, view, content):
        rows = {"h of a view": h, "content of a view": view, "content": content}
        table = {
            row: {"x": {"value": np.mean(v), "std": 0.1, "n": len(v), "values": v}}
            for row, v in rows.items()
        }
        return sentences.hidden_sentences(table, ["x"])

    low, high = [0.1, 0.11, 0.12], [0.5, 0.5, 0.5]
    assert (
        said(low, high, low)
        == said(high, low, low)
        == (
            "- *x*: the content space predicts 0.11 ± 0.10 from a plain sprite; a view tells "
            "0.50 ± 0.00; difference −0.39 ± 0.02, less than a view tells."
        )
    )
    assert "+0.39 ± 0.02, **more than a view tells**" in said(low, low, high)
    assert "no clear difference" in said(low, [0.1, 0.2, 0.3], [0.3, 0.2, 0.1])
    assert ONE_SEED in said([0.1], [0.1], [0.3]) and NO_SCORE in said([NAN], [NAN], [0.3])
    assert sentences.hidden_sentences({"content": {}, "h of a view": {}}, []) == ""


def plots_cell(value):
    return {"value": value, "std": None, "n": 1, "values": [value]}


def test_differences_of_nothing_of_zeros_and_of_missing_scores():
    for found in (Verdict(0.0, 0.0, 3), Verdict(NAN, math.inf, 3), Verdict(0.1, math.inf, 1)):
        axis = plots.differences({"one": {"a": found}}, {"a": "content"}).axes[0]
        low, high = axis.get_xlim()
        assert -1 < low < 0 < high < 1
    for panels in ({}, {"one": {}}):
        assert texts(plots.differences(panels, {})) == []


def log_of(n, slope=1.0):
    keys = ("spread", "violation/content", "lambda/content")
    return [{"epoch": e} | dict.fromkeys(keys, slope * e) for e in range(n)]


def test_curves_of_no_run_one_run_and_runs_of_unequal_length():
    for logs in ([], [[]], [log_of(3), []]):
        assert not any(axis.lines for axis in training_plots.curves(logs, ["content"]).axes)
    one = training_plots.curves([log_of(3)], ["content"]).axes[1]
    assert one.lines[0].get_ydata().tolist() == [0, 1, 2]
    unequal = training_plots.curves([log_of(6), log_of(4)], ["content"]).axes[1]
    assert len(unequal.lines[0].get_ydata()) == 4
    texts(training_plots.curves([log_of(3)], []))


def test_the_band_is_the_deviation_of_the_tables():
    """Over n − 1, as in `metrics.over_seeds`."""
    logs = [log_of(6, slope) for slope in (1, 2, 6)]
    band = (
        training_plots.curves(logs, ["content"])
        .axes[1]
        .collections[0]
        .get_paths()[0]
        .vertices[:, 1]
    )
    cell = table_of({"h": {"a": [5.0, 10.0, 30.0]}})["h"]["a"]
    assert band.max() == pytest.approx(cell["value"] + cell["std"])


def test_galleries_of_nothing_and_of_one():
    for fig in (
        galleries.sheet({}),
        galleries.sheet({"none": IMAGES[:0]}),
        galleries.columns_of({}),
        galleries.columns_of({"none": IMAGES[:0]}, {"none": []}),
        galleries.views(IMAGES[:0], IMAGES[None, :0], ["query"], ["draws t"]),
        galleries.neighbours(IMAGES, {}),
        galleries.neighbours(IMAGES, {"content": np.zeros((0, 3), int)}),
        galleries.planes({}),
        latent_plots.known({}),
        latent_plots.known({"joint": {"style": ([], [])}}),
        latent_plots.known({"joint": {"style": ([1.0, 1.0], [1.0, 2.0])}}),
        latent_plots.spectra({}, {}),
        latent_plots.spectra({"content": [0.0, 0.0]}, {"content": 0}),
        galleries.planes({"none": (np.zeros((0, 2)), galleries.hue(np.zeros(0)))}),
    ):
        assert not any(axis.images for axis in fig.axes)
    alone = galleries.neighbours(IMAGES, {"content": np.array([[0]])})
    assert sum(len(axis.images) for axis in alone.axes) == 1
    assert galleries.to_image(np.full((3, 1, 1), NAN)).shape == (1, 1, 3)
    assert plots.color("") == plots.SPARE[0] and plots.figure(0, 0)[1].shape == (1, 1)


# ------------------------------------------------------------------------- what was tried at all


@pytest.mark.parametrize(
    "module",
    [galleries, latent_plots, latent_sentences, plots, price_plots, price_sentences, sentences]
    + [tables, training_plots, verdict],
    ids=lambda module: module.__name__.removeprefix("msr.report."),
)
def test_every_function_is_tried_here(module):
    """A new table, sentence or figure needs a line in this file."""
    source, short = Path(__file__).read_text(), module.__name__.removeprefix("msr.report.")
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and not name.startswith("_"):
            assert f"{short}.{name}" in source, f"{short}.{name}"

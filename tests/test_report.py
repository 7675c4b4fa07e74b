"""Every table and sentence of a page states the numbers that it is given."""

import math

from test_verdict import HOMES, SPACES, table_of

from msr.report import latent_sentences, price_sentences, sentences, tables
from msr.report.metrics import cell_of
from msr.report.verdict import NOTE, ONE_SEED, Verdict

# ---------------------------------------------------------------------------------------- tables


def test_numbers_as_they_are_shown():
    assert [tables.number(v) for v in (0.126, -0.5, -0.001)] == ["0.13", "−0.50", "0.00"]
    assert [tables.number(v, plus=True) for v in (0.126, -0.5, -0.001)] == [
        "+0.13",
        "−0.50",
        "+0.00",
    ]
    assert tables.number(12.3456, 3) == "12.346"
    table = table_of({"h": {"a": [0.1, 0.3]}})
    assert tables.show(table["h"]["a"]) == "0.20 ± 0.14"
    assert tables.show(table_of({"h": {"a": -0.1}})["h"]["a"]) == "−0.10"
    assert tables.difference(Verdict(0.2, 0.05, 3)) == "+0.20 ± 0.05"
    assert tables.difference(Verdict(-0.2, math.inf, 1)) == "−0.20"
    assert tables.words("shape_knn") == "shape (kNN)" and tables.words("crop_x") == "crop x"


def test_columns_by_kind():
    names = ["shape_linear", "x", "y", "position", "hue", "hue_alone", "flip"]
    table = table_of({"h": dict.fromkeys(names, 0.0)})
    labels, styles = tables.columns(table, styles=("flip", "hue", "crop_x"), hidden=("x", "y"))
    assert labels == ["shape_linear", "position"] and styles == ["hue", "flip"]


def test_any_table():
    text = tables.table(table_of({"a_b": {"x_y": 0.5}, "c": {"x_y": 1}}), {"c": "the other"})
    assert text.splitlines() == [
        "|  | x y |",
        "|---|---|",
        "| a_b | 0.50 |",
        "| the other | 1.00 |",
    ]


def test_best_spaces_and_how_far_ahead():
    table = table_of({"content": {"a_linear": 0.2}, "s": {"a_linear": 0.7}, "t": {"a_linear": 0.1}})
    text = tables.best_spaces(table, ["a_linear"], list(table))
    assert text.splitlines()[2] == "| a (linear) | **s** | 0.70 | content | 0.20 | 0.50 |"
    assert tables.best_spaces(table, [], list(table)) == ""
    assert tables.best_spaces(table, ["a_linear"], ["s"]) == ""


def test_tasks_are_listed_with_the_share_of_the_commonest_class():
    text = tables.listed([("shapes/place", "spatial", 9, 1000, 1200, 0.125)])
    assert text.splitlines()[-1] == "| shapes/place | spatial | 9 | 1,000, 1,200 | 0.12 |"
    assert text.startswith("| task | kind | classes | images to fit, to score | commonest class |")


def test_better_is_said_only_where_the_interval_excludes_zero():
    ours = table_of(
        {
            "h": {"a": [0.9, 0.91, 0.92], "b": [0.5] * 3, "c": [0.1, 0.2, 0.3]},
            "joined": {"a": 0.8, "b": 0.5, "c": 0.25},
        }
    )
    theirs = table_of({"h": {"a": [0.7, 0.71, 0.73], "b": [0.5] * 3, "c": [0.4, 0.5, 0.6]}})
    text = tables.compare(ours, theirs, ["a", "b", "c"])
    rows = text.splitlines()[2:5]
    # differences of a: 0.20, 0.20, 0.19; standard error 0.0033; t(2) at 0.05 / 2 = 6.2053
    assert rows[0] == "| a | 0.91 | 0.71 | 0.80 | +0.20 ± 0.02 | better |"
    assert rows[1] == "| b | 0.50 | 0.50 | 0.50 | +0.00 ± 0.00 | no clear difference |"
    assert rows[2] == "| c | 0.20 | 0.50 | 0.25 | −0.30 ± 0.00 | worse |"
    assert text.endswith(NOTE)


def test_one_seed_compares_without_a_verdict():
    one = table_of({"h": {"a": 0.5}, "joined": {"a": 0.5}})
    text = tables.compare(one, one, ["a"])
    assert text.splitlines()[2] == f"| a | 0.50 | 0.50 | 0.50 | +0.00 | {ONE_SEED} |"


def test_a_table_of_verdicts():
    found = {
        "h − plain h": {"my_task": Verdict(0.2, 0.1, 3), "other": Verdict(-0.2, 0.1, 3)},
        "joined": {"my_task": Verdict(0.001, 0.1, 3), "other": Verdict(0.2, math.inf, 1)},
    }
    text = tables.verdicts(found)
    head, _, first, second, *rest = text.splitlines()
    assert head == "|  | h − plain h | joined |"
    assert first == "| my_task | +0.20 ± 0.10, better | +0.00 ± 0.10, no clear difference |"
    assert second == f"| other | −0.20 ± 0.10, worse | +0.20, {ONE_SEED} |"
    assert rest == ["", NOTE]


# ------------------------------------------------------------------------------------- sentences

FACTS = dict(
    source="rendered shapes",
    n_train=2000,
    n_val=1000,
    image_size=48,
    epochs=25,
    batch_size=128,
    family="entropy",
    backbone="cnn",
    spaces={"content": 8, "appearance": 4},
    seeds=2,
    device="cpu",
)


def test_what_made_a_page():
    facts = sentences.Facts(**FACTS, probed=(600, 1000), files="2 converted", own_images=True)
    text = sentences.made_by("imagenet", "quick", facts)
    assert text.startswith("**This page ran on rendered shapes**: 2,000 images for training, 1,000")
    for part in (
        "Profile `quick`: 25 epochs with batches of 128, family `entropy`, backbone `cnn`",
        "spaces content 8, appearance 4, 2 seeds, on cpu; probes fitted on 600 images and scored",
        "This is a short run: `make book PROFILE=standard` trains longer. Files: 2 converted.",
        "`papermill book/imagenet.ipynb out.ipynb -p data_dir FOLDER`",
    ):
        assert part in text
    one = sentences.Facts(**FACTS | {"seeds": 1}, paper="paper-sprites")
    text = sentences.made_by("sprites", "standard", one)
    assert "1 seed, on cpu. To go further" in text and "`book/profiles/paper-sprites.yml`" in text
    assert "own images" not in text and "Files" not in text
    assert sentences.made_by("sprites", "mine", one).endswith("1 seed, on cpu.")


def test_what_made_the_numerical_page():
    text = latent_sentences.numerical_by(
        "smoke",
        content=3,
        styles=(1, 1, 2),
        steps=1500,
        batch_size=512,
        depth=4,
        width=256,
        seeds=3,
        device="cpu",
        probe_samples=5000,
    )
    assert "3 dimensions of content, 1 + 1 + 2 of style. Profile `smoke`: 1,500 steps of" in text
    assert "4 residual blocks of width 256, 3 seeds, on cpu; probes fitted on 5,000 samples" in text
    assert text.endswith("too short to learn anything.")


def promising(appearance):
    """Shape is encoded in the wrong space, hue with these values in its home."""
    return table_of(
        {
            "content": {"shape_linear": [0.20, 0.22], "hue": [0.10, 0.12]},
            "appearance": {"shape_linear": [0.70, 0.72], "hue": appearance},
            "spatial": {"shape_linear": [0.1, 0.1], "hue": [0.0, 0.0]},
        }
    )


def test_promises_follow_the_numbers():
    text = sentences.promises(promising([0.90, 0.92]), SPACES, HOMES)
    shape, hue, empty, note = text.splitlines()
    assert "belongs to `content`: 0.21 ± 0.01 from it, at most 0.71 ± 0.01" in shape
    assert "elsewhere (`appearance`)" in shape and shape.endswith(", **not as promised**.")
    assert "lead +0.80 ± 0.00, as promised." in hue and (empty, note) == ("", NOTE)
    wide = sentences.promises(promising([0.9, 0.2]), SPACES, HOMES).splitlines()[1]
    assert wide.endswith(", **undecided**.")


def test_promises_of_one_seed_and_of_one_space():
    table = table_of({"content": {"hue": 0.1}, "appearance": {"hue": 0.9}})
    text = sentences.promises(table, list(table), HOMES)
    assert text.startswith("- *hue* belongs to `appearance`: 0.90 from it, at most 0.10 elsewhere")
    assert f"lead +0.80, {ONE_SEED}." in text
    assert sentences.promises(table, ["content"], HOMES) == ""
    assert sentences.promises(table, list(table), {}) == ""


def test_promises_of_sprites_name_every_space():
    table = table_of(
        {
            "h": {"shape": [0.9, 0.9], "x": [0.8, 0.82]},
            "content": {"shape": [0.7, 0.7], "x": 0.01},
            "spatial": {"shape": [0.4, 0.4], "x": [0.6, 0.6]},
            "joined": {"shape": [0.85, 0.85], "x": [0.5, 0.52]},
        }
    )
    homes = {"shape": "content", "x": "spatial", "y": "spatial"}
    shape, x, loss, _, note = sentences.sprites_promises(
        table, ("content", "spatial"), homes
    ).splitlines()
    assert shape.startswith("- *shape*: 0.70 ± 0.00 from `content`; 0.40 ± 0.00 from `spatial`; ")
    assert "*x*: 0.60 ± 0.00 from `spatial`; 0.01 ± 0.00 from `content`; lead +0.59" in x
    assert loss.endswith("the largest drop is for x, −0.30 ± 0.00, worse.") and note == NOTE


def test_promises_of_four_styles():
    rows = {"h": 0.9, "content": 0.1, "translation": 0.8, "joined": 0.9}
    table = table_of({space: {"x": value} for space, value in rows.items()})
    text = sentences.sprites_promises(table, ("content", "translation"), {"x": "translation"})
    assert "*x*: 0.80 from `translation`; 0.10 from `content`; lead +0.70, one seed" in text


def test_promises_of_tasks():
    table = table_of(
        {
            "h": {"content": 0.9, "appearance": [0.95, 0.95, 0.95], "spatial": 0.8},
            "content": {"content": 0.7, "appearance": [0.2, 0.21, 0.2], "spatial": 0.6},
            "appearance": {"content": 0.7, "appearance": [0.9, 0.91, 0.92], "spatial": 0.1},
            "spatial": {"content": 0.1, "appearance": [0.1, 0.1, 0.1], "spatial": 0.4},
            "joined": {"content": 0.9, "appearance": [0.95, 0.95, 0.95], "spatial": 0.8},
        }
    )
    content, appearance, spatial, _, note = sentences.task_promises(table, SPACES).splitlines()
    assert "lead +0.00 ± 0.00, **undecided**" in content
    assert appearance.startswith(
        "- *appearance* tasks: 0.91 ± 0.01 from `appearance`, at most 0.20"
    )
    assert ", as promised. From `joined` 0.95 ± 0.00, from `h` 0.95 ± 0.00." in appearance
    assert "0.60 ± 0.00 from another space (`content`)" in spatial
    assert "**not as promised**" in spatial and note == NOTE
    kinds = {"spatial": "spatial", "appearance": "appearance"}
    assert sentences.task_exceptions(table, kinds, SPACES).splitlines()[2:] == [
        "- *spatial*: 0.60 ± 0.00 from `content`, 0.40 ± 0.00 from `spatial`."
    ]


def test_sensitivity_in_words():
    table = table_of(
        {
            "content": {"a": 0.1, "b": 0.2},
            "a": {"a": 0.8, "b": 0.4},
            "b": {"a": 0.01, "b": 0.5},
        }
    )
    text = sentences.sensitivity_sentence(table, list(table))
    assert "`a` has sensitivity 0.80 to its own group and at most 0.40 to another (2.0 tim" in text
    assert "(50 times as much)" in text and "`content` has at most 0.20 to any of them." in text
    table["a"]["b"]["value"] = 0.0
    assert "at most 0.00 to another; `b`" in sentences.sensitivity_sentence(table, list(table))
    alone = sentences.sensitivity_sentence(table, ["content", "a"])
    assert "`a` has sensitivity 0.80 to its own group. `content`" in alone
    assert sentences.sensitivity_sentence(table, ["content"]) == ""


def test_blocks_in_words():
    def regime(kind, own, wrong):
        spaces = ("content", "style_1", "style_2")
        blocks = ("content", f"{kind}_1", f"{kind}_2")
        rows = {s: {b: wrong for b in blocks} for s in spaces}
        for space, block, value in zip(spaces, blocks, own):
            rows[space][block] = value
        rows["style_2"]["style_2"] = 0.5 if kind == "exogenous" else own[2]
        return table_of(rows)

    found = {
        "independent": regime("style", (0.99, 0.97, 0.95), 0.02),
        "causal": regime("exogenous", (0.98, 0.91, 0.94), -0.01),
    }
    one, two = latent_sentences.blocks_sentences(
        found, ["content", "style_1", "style_2"]
    ).splitlines()
    assert one == (
        "- *independent*: content is predicted from `content` with R² 0.99; each style from its "
        "own space with at least 0.95 (`style_2`); each of these from any other space with at most "
        "0.02."
    )
    assert "each exogenous noise from its own space with at least 0.91 (`style_1`)" in two


def test_style_with_content_in_words():
    table = table_of({"style_1": {"style_1": 0.91, "style_1_given_content": 0.97, "content": 0.03}})
    assert latent_sentences.given_content(table, ["style_1"]) == (
        "- `style_1`: R² 0.91 from its space alone, 0.97 from its space and content together; "
        "content is predicted from its space with 0.03."
    )


def test_the_counterexample_in_words():
    score = {"loss_style": -5.12345, "loss_turned": -5.12344, "turned": 0.01}
    text = latent_sentences.turn_sentence(score | {"turned_given_content": 0.98})
    assert "embedding is −5.1235, with the style turned it is −5.1234." in text
    assert "is 0.01 from the turned block alone, and 0.98 from the turned block and" in text


def test_studies_in_words():
    row = {"content": 0.9, "style": 0.8, "leak": 0.1}
    studies = {
        "weights": table_of({"λ = 3": row | {"content": 0.7}}),
        "sizes": table_of({"exact": row, "styles + 1": row | {"leak": 0.3}}),
        "augmentation": table_of({"noise 0.1": row | {"style": 0.2}, "noise 1.0": row}),
    }
    dropped = table_of(
        {"content": {"content": 0.95, "style_2": 0}, "style_2": {"content": 0.02, "style_2": 0.04}}
    )
    text = latent_sentences.study_sentences(studies, dropped, "style_2")
    weights, first, second, shared, narrow = text.splitlines()
    assert weights == "- *Weights.* With λ = 3: content 0.70, styles 0.80, leak 0.10."
    assert first == "- *Sizes.* With exact: content 0.90, styles 0.80, leak 0.10."
    assert "With styles + 1" in second and second.endswith("leak 0.30.")
    assert "predicts its style with R² 0.04 and content with 0.02; the content space" in shared
    assert shared.endswith("predicts content with 0.95, and that style with 0.00.")
    assert narrow == "- *Narrow augmentation* (noise 0.1): content 0.90, styles 0.20."


def test_groups_in_words():
    text = sentences.grouped({"spatial": ["resized_crop", "flip"], "appearance": ["blur"]})
    assert text == "- `spatial`: resized crop, flip\n- `appearance`: blur"


def test_separate_spreads_in_words():
    joint = {"content": {"shape": 0.9, "hue": 0.1, "x": 0.2}, "style": {"shape": 0.1, "hue": 0.9}}
    mixed = {"content": {"shape": 0.9, "hue": 0.5, "x": 0.9}, "style": {"shape": 0.6, "hue": 0.4}}
    both = table_of(joint), table_of(mixed)
    names = ["content", "style"], ["shape"], ["hue", "x"]
    assert price_sentences.spread_sentences(*both, *names).splitlines() == [
        "- `content` predicts x with 0.90 if the spaces are spread separately, "
        "with 0.20 if jointly.",
        "- `style` predicts shape with 0.60 if the spaces are spread separately, "
        "with 0.10 if jointly.",
    ]


def test_changes_sentences_name_what_differs():
    def row(shape, leak):
        return {"shape": cell_of([shape]), "color_in_content": cell_of([leak])}

    table = {"entropy": row(0.95, 0.1), "simclr": row(0.4, 0.9), "vicreg": row(0.9, 0.15)}
    text = sentences.changes_sentences({"family": table | {"barlow": row(0.85, math.nan)}})
    assert text.splitlines()[0] == "What differs by 0.1 or more:"
    assert text.splitlines()[2:] == [
        "- **family**, *simclr*: shape 0.40 instead of 0.95, "
        "color in content 0.90 instead of 0.10.",
        "- **family**, *vicreg*: nothing.",
        "- **family**, *barlow*: shape 0.85 instead of 0.95, color in content – instead of 0.10.",
    ]
    assert sentences.changes_sentences({"family": {"entropy": row(1, 0)}, "none": {}}) == ""

"""The sentences of every page agree with the numbers of whatever run makes it.

Each is made from three metrics files: the one that is kept, one in which the spaces have changed
places, so that every promise is broken, and one of a single seed.
"""

import copy
import json
import re

import pytest

from msr.experiments import compared
from msr.experiments import price as price_cells
from msr.report import kept, latent_sentences, price_sentences, sentences
from msr.report import tables as all_tables
from msr.report.verdict import NOTE

SPACES = ["content", "appearance", "spatial"]
LATENT = ["content", "style_1", "style_2", "style_3"]
# as the pages get them from `Views.homes`
SHAPES = {"shape": "content", "texture": "content", "color": "appearance", "position": "spatial"}
SPRITES = {"shape": "content", "color": "appearance", "x": "spatial", "y": "spatial"}

VERDICT = re.compile(
    r"(?P<mean>[+−]\d\.\d\d)(?: ± (?P<half>\d+\.\d\d))?(?:, | \()"
    r"(?P<words>as promised|\*\*not as promised\*\*|\*\*undecided\*\*|better|worse"
    r"|no clear difference|one seed: no verdict)"
)
UP = {"as promised": 1, "**not as promised**": -1, "**undecided**": 0, "better": 1, "worse": -1}
LESS = ("style in the content space ", "content with at most ")  # what is better if it is less


def imagenet(tables):
    text = sentences.promises(tables["main"], SPACES, SHAPES)
    return f"{text}\n{sentences.sensitivity_sentence(tables['sensitivity'], SPACES)}"


def sprites(tables):
    return sentences.sprites_promises(tables["strong"], SPACES, SPRITES)


def transfer(tables):
    return sentences.task_promises(tables["kinds"], SPACES)


def price(tables):
    numbers = compared.of_each_seed(tables["everything"])
    default = numbers["default"]
    ours = {name: numbers[name] for name in ("separate spreads", "32 dimensions")}
    effects = price_sentences.effect_sentences(compared.effects(default, ours))
    return f"{price_sentences.price_sentences(compared.prices(numbers))}\n{effects}"


def numerical(tables):
    regimes = {name: tables[name] for name in ("independent", "statistical", "causal")}
    sides = {name: tables[name] for name in ("joint", "separate")}
    return "\n".join(
        [
            latent_sentences.blocks_sentences(regimes, LATENT),
            latent_sentences.joint_sentences(sides),
            latent_sentences.height_sentences(tables["height"]),
        ]
    )


PAGES = {f.__name__: f for f in (imagenet, sprites, transfer, price, numerical)}


def of(page):
    """The tables of the run of a notebook that is kept."""
    return json.loads((kept.RESULTS / f"{page}.json").read_text())["tables"]


def exchanged(tables):
    """The tables with what a space was said to know said of the next one; joint is separate."""
    found = copy.deepcopy(tables)
    for name, table in tables.items():
        rows = [row for row in [*LATENT, *SPACES[1:]] if row in table]
        for row, other in zip(rows, [*rows[1:], *rows[:1]]):
            found[name][row] = table[other]
    if "joint" in tables:
        found |= {"joint": tables["separate"], "separate": tables["joint"]}
    if "everything" in tables:
        names = {"default": "plain SSL", "plain SSL": "default"}
        found["everything"] = {names.get(k, k): v for k, v in tables["everything"].items()}
    return found


def single(tables):
    """The tables of the first seed alone."""
    return {
        name: {row: {k: one(cell) for k, cell in cells.items()} for row, cells in table.items()}
        for name, table in tables.items()
    }


def one(cell):
    """A cell of one seed."""
    return {"value": cell["values"][0], "std": None, "n": 1, "values": cell["values"][:1]}


def agree(text):
    """Whether each verdict in a text is the one that its numbers allow; returns all verdicts."""
    found, text = [], text.replace(NOTE, "")
    for match in VERDICT.finditer(text):
        mean = float(match["mean"].replace("−", "-"))
        words = match["words"]
        found.append(words)
        if match["half"] is None:
            assert words == "one seed: no verdict", match[0]
            continue
        half, sign = float(match["half"]), UP.get(words, 0)
        before = text[: match.start()].rpartition("\n")[2][-80:]
        if any(less in before for less in LESS):
            sign = -sign
        rounding = 0.0101
        if sign:
            assert mean * sign >= half - rounding, match[0]
        else:
            assert abs(mean) <= half + rounding, match[0]
    return found


# verdicts in words: one for each target that has a home, and for each number that is compared
VERDICTS = {"imagenet": 4, "sprites": 5, "transfer": 3, "price": 16, "numerical": 6}


@pytest.mark.parametrize("page", PAGES)
def test_verdicts_agree_with_their_numbers(page):
    tables = of(page)
    assert len(agree(PAGES[page](tables))) == VERDICTS[page]
    assert len(agree(PAGES[page](exchanged(tables)))) == VERDICTS[page]


def test_the_length_of_training_is_said_with_the_numbers_of_the_table():
    prices = compared.prices(compared.of_each_seed(of("price")["everything"]))
    said = price_sentences.length_sentence(prices)
    for setting in ("default", "epochs × 4"):
        for number in ("h", "content"):
            assert all_tables.difference(prices[number][setting]) in said


def test_an_effect_is_named_only_if_its_interval_excludes_zero():
    tables = of("price")
    numbers = compared.of_each_seed(tables["everything"])
    ours = {k: v for k, v in numbers.items() if k != "default" and "plain" not in k}
    ours.pop("trained on labels")
    text = price_sentences.effect_sentences(compared.effects(numbers["default"], ours))
    found = re.findall(r"([+−]\d\.\d\d) ± (\d+\.\d\d)", text)
    assert found
    for mean, half in found:
        assert abs(float(mean.replace("−", "-"))) >= float(half) - 0.0101


@pytest.mark.parametrize("page", PAGES)
def test_one_seed_gives_no_verdict(page):
    text = PAGES[page](single(of(page))).replace(NOTE, "")
    assert set(agree(text)) == {"one seed: no verdict"} and "±" not in text
    assert not re.search(r"\b(better|worse|promised|clear)\b", text)


@pytest.mark.parametrize("page", ["imagenet", "sprites", "transfer"])
def test_promises_that_are_broken_are_not_said_to_be_kept(page):
    tables = of(page)
    assert ", as promised" in PAGES[page](tables)
    broken = PAGES[page](exchanged(tables))
    assert ", as promised" not in broken and "**not as promised**" in broken


def test_a_price_that_turns_is_a_gain():
    tables = of("price")
    before, after = (
        price(some).splitlines()[0].split(", ") for some in (tables, exchanged(tables))
    )
    assert "(better)" in before[2] and "(worse)" in after[2], "style from h"
    assert "(better)" in before[3] and "(worse)" in after[3], "leak"


def test_goals_that_are_missed_are_named():
    tables = of("numerical")
    said = latent_sentences.height_sentences(tables["height"])
    assert "Reached in full" in said and "*uniform*" in said.splitlines()[0]
    low = copy.deepcopy(tables["height"])
    for row in low.values():
        row["content"]["value"] = 0.5
    said = latent_sentences.height_sentences(low)
    assert "none." in said.splitlines()[0]
    assert all(f"*{name}* misses: content" in said for name in low)


def test_the_check_finds_a_wrong_word():
    leak = "style in the content space +0.30 ± 0.05 (better)"
    for wrong in ("0: +0.30 ± 0.05, worse", "0: −0.02 ± 0.05, better", "0: +0.30, better", leak):
        with pytest.raises(AssertionError):
            agree(wrong)


def judged_rightly(text, above, below):
    """Whether each difference of a text is followed by the words that its interval allows."""
    parts = re.findall(r"([+−]\d\.\d\d) ± (\d+\.\d\d)([^.;]*)", text)
    for mean, half, words in parts:
        mean, half = float(mean.replace("−", "-")), float(half) - 0.0101
        assert above not in words or mean > half
        assert below not in words or -mean > half
        assert "no clear difference" not in words or abs(mean) < half + 0.0202
    return len(parts)


def test_what_resists_is_said_only_where_the_interval_says_so():
    tables = of("numerical")["minimum"]
    begun = {name: f"{name}, begun at the latents" for name in tables if "begun" not in name}
    begun = {name: other for name, other in begun.items() if other in tables}
    text = latent_sentences.minimum_sentences(tables, begun)
    assert "**above**" in text and "no clear difference" in text
    assert judged_rightly(text, "**above**", "(below)") == 2 * len(begun)
    alone = {row: {k: one(c) for k, c in cells.items()} for row, cells in tables.items()}
    assert "above" not in latent_sentences.minimum_sentences(alone, begun)


def test_what_a_view_tells_is_compared_by_its_interval():
    tables, factors = of("sprites"), ["color", "scale", "x", "y"]
    rows = {"content": tables["strong"]["content"]} | tables["seen"]
    low = {name: cell | {"values": [0.0, 0.01, 0.0]} for name, cell in rows["content"].items()}
    for sides in (rows, rows | dict.fromkeys(tables["seen"], low)):
        text = sentences.hidden_sentences(sides, factors)
        differences = text.replace("difference ", "\n")
        assert judged_rightly(differences, "**more than", "less than") == len(factors)
    assert "**more than a view tells**" in text


def test_what_is_left_after_the_longest_training_is_what_its_table_says():
    tables = of("price")
    lengths = price_cells.lengths(tables, 8)
    targets = price_cells.known(tables["default"]["content"], ["position", "crop_x", "crop_size"])
    for some in (lengths, {"ours": dict(reversed(lengths["ours"].items()))}):
        longest = [*some["ours"].values()][-1]["content"]
        for line in price_sentences.epoch_sentences(some, "content", targets).splitlines():
            target = line[2:].partition(":")[0].replace(" ", "_")
            assert "**more than" not in line or min(longest[target]["values"]) > 0.05
            assert "less than" not in line or max(longest[target]["values"]) < 0.05

"""The price of style: each variation changes what it says, and effects are paired by seed."""

import pytest
import small

from msr.experiments import price


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture
def setup(tmp_path):
    return small.price_setup(tmp_path)


def test_each_variation_changes_only_what_it_says(setup):
    default = setup.asked.model_dump() | {"out_dir": ""}
    for study, variations in price.studies(setup).items():
        assert "default" in variations
        assert len(variations) > 1 or study == "denominator", "it is of another family"
        for name, changes in variations.items():
            cell = price.vary(setup, name, **changes)
            asked = cell.asked.model_dump() | {"out_dir": ""}
            assert {k for k, v in asked.items() if v != default[k]} == set(changes), name
            assert cell.config.out_dir.endswith(name) and cell.train is setup.train
            cell.build(0)


def test_studies_can_be_chosen(setup):
    assert list(price.studies(setup, ["epochs", "objective"])) == ["objective", "epochs"]
    assert list(price.rivals(setup, ["epochs"])) == [price.PLAIN, price.LIGHT]
    assert price.rivals(setup, [price.PLAIN]) == price.rivals(setup)
    assert len(price.rivals(setup)) == 6
    with pytest.raises(ValueError, match="unknown study 'objectiv' .did you mean 'objective'"):
        price.studies(setup, ["objectiv"])


def test_plain_networks_are_as_wide_as_they_say(setup):
    widths = {
        name: price.vary(setup, name, **changes).network(vanilla=True)["spaces"]
        for name, changes in price.rivals(setup).items()
    }
    assert widths[price.PLAIN] == {"content": setup.spaces.dim}
    content = setup.config.sizes[0]
    assert widths[f"{price.PLAIN}, {content} dimensions"] == {"content": content}
    light = price.vary(setup, "x", **price.rivals(setup)[price.LIGHT])
    further = [some.build(0, vanilla=True)[1].content_spread for some in (setup, light)]
    assert further == [1, 0]


def test_weights_of_a_family_are_its_own(tmp_path):
    setup = small.price_setup(tmp_path, family="vicreg")
    assert price.weights_of(setup) == setup.build(0)[1].lambdas.tolist() == [25.0] * 3
    thrice = price.studies(setup, ["weight of content"])["weight of content"]["λ × 3"]
    assert thrice == {"lambdas": [75.0, 25.0, 25.0]}


def test_cells_are_the_default_its_variations_its_rivals_and_the_bound(setup):
    cells = price.cells(setup)
    kinds = {kind: [n for n, c in cells.items() if c.kind == kind] for kind in ("plain", "labels")}
    assert kinds["labels"] == [price.BOUND] and kinds["plain"] == list(price.rivals(setup))
    ours = {name for some in price.studies(setup).values() for name in some}
    assert ours == set(cells) - {*kinds["plain"], price.BOUND}
    assert set(price.cells(setup, ["epochs"])) == {
        "default",
        "epochs × 2",
        "epochs × 4",
        price.PLAIN,
        price.LIGHT,
        price.BOUND,
    }


def test_flips_apart_share_what_the_spatial_space_had(tmp_path):
    setup = small.price_setup(tmp_path, augmentation="small")
    apart = price.vary(setup, "x", **price.sharing(setup)["flips apart"])
    assert apart.spaces.names == ("content", "appearance", "crop", "flip")
    assert apart.spaces.sizes == (16, 4, 4, 1)
    assert apart.build(0)[1].lambdas.tolist() == [1, 2, 2, 2]
    assert "flips apart" not in price.sharing(small.price_setup(tmp_path))


def test_what_does_not_apply_is_left_out(setup):
    assert "views of an image apart" not in price.studies(setup)["denominator"]
    few = price.vary(setup, "few", batch_size=40)
    assert list(price.studies(few)["steps"]) == ["default"]
    fixed = price.vary(setup, "fixed", backbone="resnet18", width=0)
    assert not [name for name in price.cells(fixed) if "half as wide" in name]
    even = price.vary(setup, "even", content_spread=0.0)
    assert price.LIGHT not in price.rivals(even)
    one = price.vary(setup, "one", sizes=[1, 1, 1])
    assert list(price.studies(one)["content width"]) == ["default", "2 dimensions"]
    simclr = price.vary(setup, "simclr", family="simclr")
    assert "views of an image apart" in price.studies(simclr)["denominator"]


def test_lengths_are_those_that_were_trained():
    tables = {"default": 1, "epochs × 2": 2, "epochs × 4": 4, price.PLAIN: 5, "8 dimensions": 6}
    assert price.lengths(tables, 8) == {"ours": {8: 1, 16: 2, 32: 4}}
    tables[f"{price.PLAIN}, epochs × 4"] = 7
    assert price.lengths(tables, 8)[price.PLAIN] == {8: 5, 32: 7}
    assert price.lengths({"default": 1}, 8) == {}


def test_names_of_longer_runs_are_those_of_the_study(setup):
    both = price.lengths(dict.fromkeys(price.cells(setup), 0), setup.config.epochs)
    assert [len(some) for some in both.values()] == [3, 2]


def test_known_is_what_is_predicted_at_all():
    row = {"a": {"value": 0.2}, "b": {"value": 0.01}, "c": {"value": float("nan")}}
    assert price.known(row, ["c", "b", "a", "absent"]) == ["a"]

"""The price of style: each variation changes what it says, and effects are paired by seed."""

import math

import pytest
import small
from joblib import parallel_config
from small import IMAGENET

from msr.experiments import compared, price


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture
def setup(tmp_path):
    given = IMAGENET | {"width": 4, "hidden": "8", "out_dir": str(tmp_path)}
    return price.prepare(price.Parameters(**given))


def test_each_variation_changes_only_what_it_says(setup):
    default = setup.asked.model_dump() | {"out_dir": ""}
    for study, variations in price.studies(setup).items():
        assert "default" in variations and len(variations) > 1, study
        for name, changes in variations.items():
            cell = price.vary(setup, name, **changes)
            asked = cell.asked.model_dump() | {"out_dir": ""}
            assert {k for k, v in asked.items() if v != default[k]} == set(changes), name
            assert cell.config.out_dir.endswith(name) and cell.train is setup.train
            cell.build(0)


def test_studies_can_be_chosen(setup):
    assert list(price.studies(setup, ["epochs", "objective"])) == ["objective", "epochs"]
    assert list(price.rivals(setup, ["epochs"])) == [price.PLAIN, price.HEAVY]
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
    heavy = price.vary(setup, "x", **price.rivals(setup)[price.HEAVY])
    weights = [some.build(0, vanilla=True)[1].lambdas.item() for some in (setup, heavy)]
    assert weights[0] == 2 * weights[1]


def test_weights_of_a_family_are_its_own(tmp_path):
    given = IMAGENET | {"width": 4, "hidden": "8", "family": "vicreg", "out_dir": str(tmp_path)}
    setup = price.prepare(price.Parameters(**given))
    assert price.weights_of(setup) == setup.build(0)[1].lambdas.tolist() == [25.0] * 3
    thrice = price.studies(setup, ["weight of content"])["weight of content"]["λ × 3"]
    assert thrice == {"lambdas": [75.0, 25.0, 25.0]}


def test_a_variation_is_trained_and_summed_up(setup):
    table, row = compared.one(setup, "two views", price.Cell({"loss_settings": {"views": 2}}), 0)
    assert set(row) == set(compared.NUMBERS)
    labels = [table["h"][f"{name}_linear"] for name in ("shape", "texture")]
    assert price.content_of(setup) == ["shape_linear", "texture_linear"]
    assert row["h"] == pytest.approx(sum(labels) / 2)
    leaks = [max(0.0, table["content"][name]) for name in setup.views.homes()]
    assert row["leak"] == pytest.approx(sum(leaks) / len(leaks))


def test_effects_are_paired_by_seed():
    def rows(*values):
        return [dict.fromkeys(compared.NUMBERS, v) for v in values]

    found = compared.effects(rows(0.1, 0.5, 0.9), {"better": rows(0.3, 0.71, 1.1)})
    assert found["h"]["better"].mean == pytest.approx(0.203, abs=1e-3)
    assert found["h"]["better"].sign == 1, "although the seeds differ by far more"
    alone = compared.effects(rows(0.1), {"better": rows(0.3)})["leak"]["better"]
    assert math.isinf(alone.half)
    assert compared.by_seed({"a": rows(1, 2), "b": rows(3, 4)})[1]["b"]["h"] == 4


def test_cells_are_the_default_its_variations_its_rivals_and_the_bound(setup):
    cells = price.cells(setup)
    kinds = {kind: [n for n, c in cells.items() if c.kind == kind] for kind in ("plain", "labels")}
    assert kinds["labels"] == [price.BOUND] and kinds["plain"] == list(price.rivals(setup))
    ours = {name for some in price.studies(setup).values() for name in some}
    assert ours == set(cells) - {*kinds["plain"], price.BOUND}
    assert set(price.cells(setup, ["epochs"])) == {
        "default",
        "× 2",
        "× 4",
        price.PLAIN,
        price.HEAVY,
        price.BOUND,
    }


def test_cells_are_measured_in_their_order_and_kept(setup):
    cells = {"default": price.Cell({}), "narrow": price.Cell({"sizes": [4, 2, 2]})}
    with parallel_config("sequential"):
        found = compared.measured(setup, cells, [3, 4])
    for name, cell in cells.items():
        for (table, row), seed in zip(found[name], [3, 4], strict=True):
            again = compared.one(setup, name, cell, seed)
            assert again[1] == row and again[0].keys() == table.keys()


def test_of_a_network_on_labels_only_h_is_scored(setup):
    table, row = compared.one(setup, price.BOUND, price.Cell({}, "labels"), 0)
    assert list(table) == ["h"]
    assert row["h"] >= 0 and math.isnan(row["content"]) and math.isnan(row["leak"])


def test_flips_apart_share_what_the_spatial_space_had(tmp_path):
    given = IMAGENET | {"width": 4, "hidden": "8", "out_dir": str(tmp_path)}
    setup = price.prepare(price.Parameters(**given, augmentation="small"))
    apart = price.vary(setup, "x", **price.sharing(setup)["flips apart"])
    assert apart.spaces.names == ("content", "appearance", "crop", "flip")
    assert apart.spaces.sizes == (16, 4, 4, 1)
    assert apart.build(0)[1].lambdas.tolist() == [1, 2, 2, 2]
    assert "flips apart" not in price.sharing(price.prepare(price.Parameters(**given)))


def test_the_price_is_that_of_equal_settings():
    rows = {
        "default": [{k: 0.5 for k in compared.NUMBERS}] * 2,
        price.PLAIN: [{k: 0.7 for k in compared.NUMBERS}] * 2,
        "× 4": [{k: 0.9 for k in compared.NUMBERS}] * 2,
        f"{price.HEAVY}, epochs × 4": [{k: 0.8 for k in compared.NUMBERS}] * 2,
    }
    found = compared.prices(rows)["h"]
    assert {k: round(v.mean, 3) for k, v in found.items()} == {
        "default": -0.2,
        "equal spread, epochs × 4": 0.1,
    }

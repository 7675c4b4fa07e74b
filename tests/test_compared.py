"""Cells are trained side by side, summed up, and compared by seed."""

import json
import math

import numpy as np
import pytest
import small
import yaml
from joblib import parallel_config

from msr.experiments import compared, imagenet, price
from msr.experiments.setup import Setup
from msr.report import kept
from msr.train import NonFiniteLoss


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture
def setup(tmp_path):
    return small.price_setup(tmp_path)


def test_a_variation_is_trained_and_summed_up(setup):
    table, row = compared.one(setup, "two views", price.Cell({"loss_settings": {"views": 2}}), 0)
    assert set(row) == set(compared.NUMBERS)
    labels = [table["h"][f"{name}_linear"] for name in ("shape", "texture")]
    assert price.content_of(setup) == ["shape_linear", "texture_linear"]
    assert row["h"] == pytest.approx(sum(labels) / 2)
    leaks = [max(0.0, table["content"][name]) for name in setup.views.homes()]
    assert row["leak"] == pytest.approx(sum(leaks) / len(leaks))


def test_a_missing_score_is_not_a_zero(setup):
    labels, styles = price.content_of(setup), list(setup.views.homes())
    h = dict.fromkeys([*labels, *styles], 0.5) | {styles[0]: math.nan, labels[0]: -0.5}
    row = compared.summary(setup, {"h": h})
    assert row["h"] == 0.25 and all(math.isnan(row[name]) for name in ("style", "content", "leak"))


def test_cells_are_measured_in_their_order_and_kept(setup, monkeypatch):
    cells = {"default": price.Cell({}), "narrow": price.Cell({"sizes": [4, 2, 2]})}
    with parallel_config("sequential"):
        found = compared.measured(setup, cells, [3, 4])
        assert len(found["default"]) == len(found["narrow"]) == 2

        def refuse(*_):
            raise AssertionError("trained or probed again")

        monkeypatch.setattr("msr.train.loop.train", refuse)
        monkeypatch.setattr("msr.evaluate.drawn", refuse)
        again = compared.measured(setup, cells, [3, 4])
    for name in cells:
        rows, kept = ([row for _, row in some[name]] for some in (found, again))
        assert json.dumps(rows) == json.dumps(kept) and rows[0] != rows[1]


def test_processes_decode_image_files(photographs, tmp_path, monkeypatch):
    """Worker processes of the loader cannot start in those of the cells, which decode alone."""
    monkeypatch.setattr("msr.experiments.imagenet.MIN_VAL", 2)
    given = {"data_dir": str(photographs), "num_workers": 1, "batch_size": 8, "sizes": "4,2,2"}
    setup = small.price_setup(tmp_path, **given)
    cells = {"default": price.Cell({}), price.BOUND: price.Cell({}, "labels")}
    with parallel_config("loky", n_jobs=2):
        found = compared.measured(setup, cells, [0])
    assert all(np.isfinite(some[0][1]["h"]) for some in found.values())


def test_what_does_not_fit_is_refused_before_any_training(setup, monkeypatch):
    monkeypatch.setattr(Setup, "fit", lambda *_, **__: pytest.fail("trained"))
    for changes, message in (
        ({"batch_size": 128}, "batch_size 128 is larger than the 64 training images"),
        ({"sizes": [4, 2]}, "sizes"),
    ):
        cells = {"default": price.Cell({}), "wrong": price.Cell(changes)}
        with pytest.raises(ValueError, match=message) as error:
            compared.measured(setup, cells, [0])
        assert "\n" not in str(error.value)


def test_of_a_network_on_labels_only_h_is_scored(setup):
    longer = price.vary(setup, "longer", epochs=8, lr=4e-3)
    table, row = compared.one(longer, price.BOUND, price.Cell({}, "labels"), 0)
    assert list(table) == ["h"] and table["h"]["color_linear"] > 0.2
    assert math.isfinite(row["h"]) and math.isnan(row["content"]) and math.isnan(row["leak"])


def test_a_network_on_labels_that_diverges_says_so(setup):
    wild = price.vary(setup, "wild", lr=1e30, optimizer="sgd")
    with pytest.raises(NonFiniteLoss, match="on labels, the loss became .*; try a lower lr"):
        compared.one(wild, price.BOUND, price.Cell({}, "labels"), 0)


def test_effects_are_paired_by_seed():
    def rows(*values):
        return [dict.fromkeys(compared.NUMBERS, v) for v in values]

    found = compared.effects(rows(0.1, 0.5, 0.9), {"better": rows(0.3, 0.71, 1.1)})
    assert found["h"]["better"].mean == pytest.approx(0.203, abs=1e-3)
    assert found["h"]["better"].sign == 1, "although the seeds differ by far more"


def test_the_price_is_that_of_equal_settings():
    rows = {
        "default": [{k: 0.5 for k in compared.NUMBERS}] * 2,
        price.PLAIN: [{k: 0.7 for k in compared.NUMBERS}] * 2,
        "epochs × 4": [{k: 0.9 for k in compared.NUMBERS}] * 2,
        f"{price.PLAIN}, epochs × 4": [{k: 0.8 for k in compared.NUMBERS}] * 2,
    }
    found = compared.prices(rows)["h"]
    assert {k: round(v.mean, 3) for k, v in found.items()} == {
        "default": -0.2,
        "epochs × 4": 0.1,
    }


@pytest.fixture
def record(setup, tmp_path):
    """A metrics.json as a run of `setup` with all studies would have written it."""
    cells = price.cells(setup)
    tables = {name: {"h": {}} for name in cells} | {"everything": {}}
    path = tmp_path / "earlier.json"
    found = {"params": setup.config.model_dump(), "tables": tables}
    path.write_text(json.dumps(found, default=str))
    return path, found, cells


def test_a_page_shows_an_earlier_run_of_the_same_settings_alone(setup, record):
    path, found, cells = record
    assert compared.earlier(setup, cells, str(path)) == found["tables"]
    for name, value in (("epochs", 9), ("seeds", 7), ("sizes", [9, 9, 9]), ("width", 5)):
        path.write_text(
            json.dumps(found | {"params": found["params"] | {name: value}}, default=str)
        )
        with pytest.raises(ValueError, match=f"has {name} = ") as error:
            compared.earlier(setup, cells, str(path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tables": {}}'])
def test_what_is_no_earlier_run_is_refused_in_one_line(setup, record, content):
    path, _, cells = record
    path.write_text(content)
    with pytest.raises(ValueError, match="has no table 'default'; give the metrics.json") as error:
        compared.earlier(setup, cells, str(path))
    assert "\n" not in str(error.value)


def test_the_quick_profile_shows_the_run_that_is_kept(monkeypatch):
    """Its settings are those of the kept run, or the page would stop in `make book`."""
    profile = kept.ROOT / "book" / "profiles"
    own = yaml.safe_load((profile / "quick-price.yml").read_text())
    values = yaml.safe_load((profile / "quick.yml").read_text()) | own
    known = {k: v for k, v in values.items() if k in price.Parameters.model_fields}
    monkeypatch.setattr(imagenet, "N_VAL", 1000)
    setup = price.prepare(price.Parameters(**known, device="cpu"))
    tables = compared.earlier(setup, price.cells(setup), own["reference"])
    assert compared.of_each_seed(tables["everything"])["default"]

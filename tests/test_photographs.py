"""Photographs: a run on a folder, and the run that is kept with the book."""

import json
from pathlib import Path

import pytest
from joblib import parallel_config

from msr.experiments import compared
from msr.experiments import photographs as experiment

ROOT = Path(__file__).resolve().parent.parent
SMALL = dict(
    image_size=16,
    epochs=1,
    seeds=2,
    width=4,
    hidden="8",
    sizes="8,4,4",
    batch_size=4,
    probe_images=60,
    task_images=50,
    num_workers=0,
    device="cpu",
    precision="float32",
)
KEYS = {"tables", "about", "content", "styles", "studies", "tasks", "params", "seconds"}


def complete(record):
    """Check that a record has all that the page draws."""
    assert set(record) >= KEYS
    tables = record["tables"]
    cells = [name for names in record["studies"].values() for name in names]
    assert set(tables) >= {experiment.MAIN, experiment.PLAIN, experiment.BOUND, *cells}
    assert set(tables["beside"]) >= {*cells, experiment.PLAIN, experiment.BOUND}
    assert set(tables["beside"][experiment.MAIN]) == set(compared.NUMBERS)
    for name in (*record["content"], *record["styles"]):
        assert name in tables[experiment.MAIN]["h"] and name in tables[experiment.BOUND]["h"]


def test_a_run_on_a_folder(photographs, tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(experiment.price.imagenet, "MIN_VAL", 2)
    given = SMALL | {"data_dir": str(photographs), "tasks": f"spatial:{photographs}"}
    config = experiment.Parameters(**given, studies="sharing", out_dir=str(tmp_path))
    with parallel_config("sequential"):
        record = experiment.record(config)
    complete(record)
    text = json.dumps(record, indent=1)
    assert text == (tmp_path / "metrics.json").read_text()
    assert list(record["tasks"].values()) == ["spatial"]
    apart = record["tables"]["flips apart"]
    assert list(apart) == ["h", "content", "appearance", "crop", "flip", "joined"]
    rows, targets = experiment.of_two_views(record)
    assert list(rows)[-3:] == ["flips apart: crop", "flips apart: joined", "plain SSL: h"]
    assert set(targets) == set(record["styles"])
    assert set(record["tables"]["plain tasks"]) == {"h", "content", "joined"}


def test_the_run_of_the_book():
    record = experiment.record(experiment.Parameters(reference=str(ROOT / REFERENCE)))
    complete(record)
    assert all(cell["n"] >= 3 for cell in record["tables"][experiment.MAIN]["h"].values())
    assert set(record["tasks"].values()) == {"content", "appearance", "spatial"}
    assert len(experiment.of_two_views(record)[0]) == 8
    assert record["about"].startswith("**The kept run was on the images in")


REFERENCE = experiment.Parameters().reference


def test_a_reference_that_is_not_there_is_named(tmp_path):
    config = experiment.Parameters(reference=str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="none.json' cannot be read .* or data_dir") as error:
        experiment.record(config)
    assert "\n" not in str(error.value)


def test_wrong_tasks_are_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="unknown kind 'spatail'"):
        experiment.Parameters(tasks="spatail:x")

"""Results that are kept with the book: shown beside the same experiment, and free of paths."""

import json
import re

import pytest

import build
import keep
from msr.experiments import imagenet, numerical, sprites
from msr.report import kept, tables

FILES = sorted(kept.RESULTS.glob("*.json"))


@pytest.fixture
def config(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    return lambda **given: imagenet.plan(imagenet.Parameters(**given)).config


def test_a_short_run_finds_the_long_one(config):
    found = kept.read(config(epochs=3, seeds=1))
    assert found["notebook"] == "imagenet" and found["params"]["epochs"] == 100
    assert "100 epochs, 3 seeds" in kept.made_by(found)
    both = (found["tables"][name] for name in ("main", "vanilla"))
    assert "| better |" in tables.compare(*both, ["color_linear"])


@pytest.mark.parametrize(
    "other",
    [
        {"image_size": 32},
        {"sizes": "8,4,4"},
        {"family": "vicreg"},
        {"lr": 0.1},
        {"epochs": 100},  # as long as the kept one
    ],
)
def test_another_experiment_has_no_results_here(config, other):
    assert kept.read(config(**other)) is None


STUDIES = {  # tables that a page of the quick profile takes from the kept run
    "numerical": "weights,sizes,number of styles,last key,augmentation,dropped,height,minimum",
    "sprites": "strength,weights,family,views,network,four,four_swap",
}


@pytest.mark.parametrize("page", STUDIES)
def test_the_quick_profile_finds_the_studies_that_it_shows(page):
    """Or the page would train them all, or stop, in `make book`."""
    given = build.parameters(page, "quick", {})
    experiment = {"numerical": numerical, "sprites": sprites}[page]
    config = experiment.Parameters(**given)
    if page == "sprites":
        config = sprites.planned(config.change(device="cpu")).config
    found = kept.read(config)
    assert config.kept_studies and found
    assert set(STUDIES[page].split(",")) <= set(found["tables"])


def test_a_page_without_results_has_none(config, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    assert kept.read(config()) is None


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_results_say_where_they_come_from_and_name_no_folder(path):
    record, text = json.loads(path.read_text()), path.read_text()
    assert record["trained"] > 60 and re.fullmatch(r"[0-9a-f]{12}", record["commit"])
    assert record["versions"]["torch"] and record["tables"]
    assert not re.search(r'"(\w+:)?[/~]', text), "no path outside the checkout"


def test_what_is_kept_has_only_the_last_part_of_a_path(tmp_path, monkeypatch):
    record = {"notebook": "mine", "commit": "a" * 12, "seconds": 100.0}
    params = {"data_dir": "/home/me/my photos/birds", "out_dir": "/o", "lr": 0.1}
    params |= {"tasks": ["spatial:/data/x/arrows", "content:~/cats"], "results": "results/a.json"}
    (tmp_path / "metrics.json").write_text(json.dumps(record | {"params": params}))
    monkeypatch.setattr(keep, "RESULTS", tmp_path)
    written = json.loads(keep.keep(tmp_path / "metrics.json").read_text())
    tasks = ["spatial:arrows", "content:cats"]
    shown = {"data_dir": "birds", "tasks": tasks, "results": "results/a.json", "lr": 0.1}
    assert written["params"] == shown
    assert keep.keep(tmp_path / "metrics.json", "other") == tmp_path / "other.json"
    for commit in ("b" * 12 + "+", ""):
        (tmp_path / "metrics.json").write_text(json.dumps(record | {"commit": commit}))
        with pytest.raises(SystemExit, match="no commit has"):
            keep.keep(tmp_path / "metrics.json")
    with pytest.raises(SystemExit, match="is no metrics.json"):
        keep.keep(tmp_path / "nothing")

"""Scores of probes are kept beside their weights, and computed again if anything differs."""

import json
from dataclasses import replace

import pytest
import small
import torch

from msr import evaluate
from msr.experiments import remembered
from msr.experiments.remembered import FILE, of_images


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


class Counted:
    """A function that scores, which counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"h": {"hue": 0.5 + self.calls, "none": float("nan")}}


def test_scores_are_computed_once(folder):
    make = Counted()
    first = remembered.remembered(folder, ["a"], make)
    again = remembered.remembered(folder, ["a"], make)
    assert make.calls == 1 and first["h"]["hue"] == again["h"]["hue"] == 1.5
    assert again["h"]["none"] != again["h"]["none"], "nan stays nan"


@pytest.mark.parametrize("change", ["weights", "about", "code", "damage", "form"])
def test_they_are_computed_again_when_anything_differs(folder, change, monkeypatch):
    make, about = Counted(), ["a"]
    remembered.remembered(folder, about, make)
    if change == "weights":
        (folder / "model.safetensors").write_bytes(b"others")
    elif change == "about":
        about = ["b"]
    elif change == "code":
        monkeypatch.setattr(remembered, "CODE", "other code")
    else:
        kept = json.loads((folder / FILE).read_text())
        (folder / FILE).write_text("{" if change == "damage" else json.dumps(kept | {"table": [1]}))
    assert remembered.remembered(folder, about, make)["h"]["hue"] == 2.5
    assert remembered.remembered(folder, about, make)["h"]["hue"] == 2.5, "kept anew"


def test_nothing_is_kept_of_a_run_that_was_not_saved(tmp_path):
    make = Counted()
    for folder in (None, tmp_path, None):
        remembered.remembered(folder, [], make)
    assert make.calls == 3 and not list(tmp_path.iterdir())


def test_the_code_is_all_that_decides_scores(tmp_path, monkeypatch):
    before = remembered.CODE
    for name in remembered.SCORING:
        assert remembered.sources(remembered.MSR / name), f"{name} has gone"
    copy = tmp_path / "msr"
    for name in remembered.SCORING:
        for path in remembered.sources(remembered.MSR / name):
            target = copy / path.relative_to(remembered.MSR)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())
    monkeypatch.setattr(remembered, "MSR", copy)
    assert remembered.code() == before
    with (copy / "evaluate" / "readers.py").open("a") as file:
        file.write("\n")
    assert remembered.code() != before


def test_images_are_told_apart_by_pixels_and_labels(monkeypatch):
    small.few_shapes(monkeypatch)
    images = small.imagenet_setup(width=4, hidden="8").train
    same, other = images.pick(torch.arange(20)), images.pick(torch.arange(20))
    assert of_images(same) == of_images(other) != of_images(images)
    other.labels["shape"] = other.labels["shape"].flip(0)
    assert of_images(same) != of_images(other)


def test_a_run_is_probed_once(tmp_path, monkeypatch):
    small.few_shapes(monkeypatch)
    setup = small.imagenet_setup(width=4, hidden="8", out_dir=str(tmp_path))
    table = setup.probe(setup.fit(0, progress=False))
    loaded = setup.fit(0, progress=False)

    def refuse(*_, **__):
        raise AssertionError("probed twice")

    monkeypatch.setattr(evaluate, "drawn", refuse)
    assert setup.probe(loaded).keys() == loaded.table.keys() == table.keys()
    assert loaded.table["h"]["brightness"] == table["h"]["brightness"]
    weaker = setup.vary(small.imagenet.plan, augmentation="small")
    others = replace(setup, val_probe=setup.val_probe.pick(torch.arange(50)), kept={})
    for other, run in ((weaker, replace(loaded, views=weaker.views)), (others, loaded)):
        with pytest.raises(AssertionError, match="probed twice"):
            other.probe(run)

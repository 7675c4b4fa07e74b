"""Tasks are what they say, whole small runs give whole tables, and bad input is one line."""

import json

import numpy as np
import pytest
import small
import torch
from small import transfer_setup

from msr.data import trifeature
from msr.experiments import transfer
from msr.report import metrics, tables


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


# ------------------------------------------------------------------------------------------ tasks


@pytest.fixture(scope="module")
def tasks():
    return transfer.rendered(900, 600, 32)


def test_every_task_is_balanced_and_has_a_kind(tasks):
    kinds = [task.kind for task in tasks]
    assert kinds == sorted(kinds, key=transfer.KINDS.index) and set(kinds) == set(transfer.KINDS)
    assert len({task.name for task in tasks}) == len(tasks) == 9
    for task in tasks:
        counts = np.bincount(task.labels("train"))
        assert counts.min() > 0.5 * counts.mean() and counts.max() < 1.5 * counts.mean(), task.name
        assert set(task.labels("test")) == set(task.labels("train"))


def test_the_place_is_where_the_object_is(tasks):
    """Recomputed from the pixels: the centre of what is coloured."""
    for world, low, high in (("shapes", 0.35, 0.65), ("sprites", 0.25, 0.75)):
        task = next(t for t in tasks if t.name == f"{world}/place")
        x = task.train.pixels.float()
        ink = (x.amax(1) - x.amin(1)) if world == "shapes" else x.amax(1)
        ink = ink * (ink > 20)
        axis = (torch.arange(32) + 0.5) / 32
        total = ink.sum((1, 2))
        column, row = ((ink.sum(dim) * axis).sum(1) / total for dim in (1, 2))
        seen = 3 * transfer.cell(row, low, high, 3) + transfer.cell(column, low, high, 3)
        drawn = total > 0
        assert (seen == task.train.labels["place"])[drawn].float().mean() > 0.8, world


def test_training_never_saw_them(tasks):
    trained = trifeature.sample(900, 0)
    task = next(t for t in tasks if t.name == "shapes/shape")
    assert not torch.equal(task.train.labels["shape"], trained["shape"])
    assert not torch.equal(task.train.pixels[:600], task.test.pixels)


def test_a_cell():
    x = torch.tensor([0.0, 0.32, 0.34, 0.99, 1.0])
    assert transfer.cell(x, 0, 1, 3).tolist() == [0, 0, 1, 2, 2]


def test_a_task_in_numbers(tasks):
    task = next(t for t in tasks if t.name == "shapes/place")
    name, kind, classes, fit, scored, chance = transfer.described(task)
    assert (name, kind, classes, fit, scored) == ("shapes/place", "spatial", 9, 900, 600)
    assert chance == np.bincount(task.labels("test")).max() / 600


# ------------------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("shots", [0, 3])
def test_a_whole_run(tmp_path, shots):
    setup, tasks = transfer_setup(out_dir=str(tmp_path))
    runs, plain = [setup.fit(0)], [setup.fit(0, vanilla=True)]
    record = metrics.Metrics("transfer", {}, "cpu", tmp_path)
    record.add("main", [transfer.evaluate(setup, run, tasks, shots, 2) for run in runs])
    record.add("vanilla", [transfer.evaluate(setup, run, tasks, shots, 2) for run in plain])
    written = json.loads((tmp_path / "metrics.json").read_text())["tables"]
    assert set(written["main"]) == {"h", "content", "appearance", "spatial", "joined"}
    assert set(written["vanilla"]) == {"h", "content", "joined"}
    assert set(written["main"]["h"]) == {task.name for task in tasks}
    assert written["vanilla"]["joined"] == written["vanilla"]["content"]
    by_kind = transfer.by_kind(runs[0].table, tasks)["h"]
    assert set(by_kind) == set(transfer.KINDS)
    spatial = [runs[0].table["h"][task.name] for task in tasks if task.kind == "spatial"]
    assert by_kind["spatial"] == pytest.approx(np.mean(spatial))
    listed = tables.listed([transfer.described(task) for task in tasks])
    assert "| shapes/place | spatial | 9 |" in listed and len(transfer.worlds(tasks)) == 2


@pytest.mark.parametrize("as_text", [True, False])
def test_folders_of_mine(photographs, tmp_path, as_text):
    tasks = [f"appearance:{photographs}", str(photographs / "train")]
    given = ", ".join(tasks) if as_text else tasks
    _, found = transfer_setup(tasks=given, out_dir=str(tmp_path))
    assert [(task.name, task.kind) for task in found] == [
        (photographs.name, "appearance"),
        ("train", "content"),
    ]
    assert found[0].train.pixels.shape[1] == 3 and len(found[0].train) == 48


def test_sets_that_are_there_join_in(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("MSR_DATA", str(tmp_path))
    (tmp_path / "cifar10").symlink_to(photographs)
    _, tasks = transfer_setup(out_dir=str(tmp_path / "out"))
    assert tasks[-1].name == "cifar10" and tasks[-1].kind == "content"


# ------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "changes, says",
    [
        (
            {"tasks": "colour:FOLDER"},
            "unknown kind 'colour' of 'FOLDER'; choose content, appearance, spatial",
        ),
        ({"tasks": "/nowhere"}, "'/nowhere' is not a folder"),
        ({"shots": -1}, "shots = -1; give 0 or more"),
        ({"n_l2": 0}, "n_l2 = 0; give 1 or more"),
        ({"task_images": 10}, "task_images = 10; give 50 or more"),
        ({"epoch": 1}, "unknown parameter 'epoch' .did you mean 'epochs'"),
        ({"probe_images": 60}, "unknown parameter 'probe_images'"),
    ],
)
def test_bad_input_is_one_line(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says) as error:
        transfer_setup(out_dir=str(tmp_path), **changes)
    assert "\n" not in str(error.value)


def test_tasks_are_looked_at_before_the_training_images_are_read(photographs, monkeypatch):
    monkeypatch.setattr(transfer, "load_data", lambda *_: pytest.fail("training images were read"))
    with pytest.raises(ValueError, match="has no class folders, so nothing to predict"):
        transfer_setup(tasks=str(photographs / "train" / "dark"))


def test_a_task_without_classes(photographs):
    with pytest.raises(ValueError, match="has no class folders, so nothing to predict"):
        transfer.folders("content", str(photographs / "train" / "dark"), 16, 20)

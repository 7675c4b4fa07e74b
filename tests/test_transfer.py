"""Tasks are what they say, the penalty is chosen by validation, few shots are few, and a whole small run gives whole tables."""

import json

import numpy as np
import pytest
import torch

from msr.experiments import imagenet as experiment
from msr.report import metrics
from msr.report import plots
from msr.experiments import transfer
from msr.data import trifeature
from test_experiment import SMALL

PARAMS = (
    {k: v for k, v in SMALL.items() if k != "probe_images"}
    | transfer.OWN
    | {"task_images": 120, "n_l2": 2, "profile": "smoke"}
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(experiment, "N_VAL", 60)


@pytest.fixture(scope="module")
def tasks():
    return transfer.rendered(900, 600, 32)


def test_every_task_is_balanced_and_has_a_kind(tasks):
    assert [task.kind for task in tasks] == sorted(
        (t.kind for t in tasks), key=transfer.KINDS.index
    ) and {t.kind for t in tasks} == set(transfer.KINDS)
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
    assert not torch.equal(task.train.labels["shape"], trained["shape"]) and not torch.equal(
        task.train.pixels[:600], task.test.pixels
    )


def test_a_cell():
    assert transfer.cell(torch.tensor([0.0, 0.32, 0.34, 0.99, 1.0]), 0, 1, 3).tolist() == [
        0,
        0,
        1,
        2,
        2,
    ]


# ---------------------------------------------------------------------------------------------------------- the probe


def toy(n, noise, seed):
    """Two classes told apart by one of 200 dimensions."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    x = generator.normal(size=(n, 200))
    x[:, 0] += (2 * y - 1) * noise
    return x, y


def test_the_penalty_is_chosen_by_validation():
    """Every dimension tells a little and three labels in ten are wrong: with no penalty to speak of the fit follows the wrong ones."""

    def drawn(n, seed, wrong):
        generator = np.random.default_rng(seed)
        y = generator.integers(0, 2, n)
        return generator.normal(size=(n, 200)) + 0.12 * (2 * y - 1)[:, None], np.where(
            generator.random(n) < wrong, 1 - y, y
        )

    (x, y), test = drawn(240, 0, 0.3), drawn(3000, 1, 0.0)
    chosen = transfer.linear(x, y, *test, n_l2=12)
    from sklearn.linear_model import LogisticRegression

    at = [
        transfer.score(LogisticRegression(C=1 / l2, max_iter=200), x, y, *test)
        for l2 in np.geomspace(*transfer.L2, 12)
    ]
    assert chosen > at[0] + 0.05 and chosen >= max(at) - 0.05


def test_chance_where_there_is_nothing():
    x, y = toy(400, 0.0, 2)
    assert abs(transfer.linear(x, y, *toy(2000, 0.0, 3)) - 0.5) < 0.05


def test_few_shots_are_few(monkeypatch):
    x, y = toy(400, 3.0, 4)
    sizes, fit = [], transfer.score

    def watched(probe, train, labels, *test):
        sizes.append(np.bincount(labels).tolist())
        return fit(probe, train, labels, *test)

    monkeypatch.setattr(transfer, "score", watched)
    test = toy(500, 3.0, 5)
    scores = [transfer.few(x, y, *test, shots=shots) for shots in (2, 50)]
    assert sizes == [[2, 2]] * 5 + [[50, 50]] * 5 and scores[0] < scores[1]


# ----------------------------------------------------------------------------------------------------------- in words


def fake(value):
    return transfer.Run(
        None,
        None,
        None,
        0,
        [],
        {space: {"a": value, "b": 0.5} for space in ("h", "content", "joined")},
    )


def test_better_is_said_only_where_the_interval_excludes_zero():
    tasks = [
        transfer.Task("a", "content", None, None, ""),
        transfer.Task("b", "spatial", None, None, ""),
    ]
    found = transfer.differences(
        [fake(v) for v in (0.9, 0.91, 0.92)],
        [fake(v) for v in (0.7, 0.71, 0.73)],
        tasks,
        "joined",
        "content",
    )
    assert (
        found["a"] == pytest.approx(metrics.paired([0.9, 0.91, 0.92], [0.7, 0.71, 0.73]))
        and found["content"] == found["a"]
    )
    text = transfer.verdicts({"x": found}, ["a", "b"])
    assert "+0.20 ± 0.01, better" in text and "+0.00 ± 0.00, no clear difference" in text
    assert "one seed: none" in transfer.verdicts(
        {"x": transfer.differences([fake(1.0)], [fake(0.1)], tasks, "h", "h")}, ["a"]
    )
    assert plots.differences({"x": found}, {"a": "content", "b": "spatial"}).axes


def test_homes_follow_the_numbers():
    def row(a, b):
        return {
            "appearance": {"value": a, "std": 0.01, "n": 3},
            "spatial": {"value": b, "std": 0.01, "n": 3},
        }

    table = {
        "h": row(1, 1),
        "content": row(0.2, 0.6),
        "appearance": row(0.9, 0.1),
        "spatial": row(0.1, 0.4),
        "joined": row(1, 1),
    }
    good, bad = transfer.homes(table, ["content", "appearance", "spatial"]).splitlines()
    assert (
        "as promised" in good
        and "**not as promised**" in bad
        and "0.60 from another space (`content`)" in bad
    )


# --------------------------------------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("shots", [0, 3])
def test_a_whole_run(tmp_path, shots):
    setup, tasks = transfer.prepare(**PARAMS | {"out_dir": str(tmp_path)})
    runs, plain = [setup.fit(0)], [setup.fit(0, vanilla=True)]
    record = metrics.Metrics("transfer", {}, "cpu", tmp_path)
    record.add("main", [transfer.evaluate(setup, run, tasks, shots, 2) for run in runs])
    record.add("vanilla", [transfer.evaluate(setup, run, tasks, shots, 2) for run in plain])
    written = json.loads((tmp_path / "metrics.json").read_text())["tables"]
    assert set(written["main"]) == {"h", "content", "appearance", "spatial", "joined"} and set(
        written["vanilla"]
    ) == {"h", "content", "joined"}
    assert (
        set(written["main"]["h"]) == {task.name for task in tasks}
        and written["vanilla"]["joined"] == written["vanilla"]["content"]
    )
    assert set(transfer.by_kind(runs[0].table, tasks)["h"]) == set(transfer.KINDS)
    assert (
        "| shapes/place | spatial | 9 |" in transfer.listed(tasks)
        and len(transfer.worlds(tasks)) == 2
    )


def test_folders_of_mine(photographs, tmp_path):
    setup, tasks = transfer.prepare(
        **PARAMS
        | {"tasks": f"appearance:{photographs}, {photographs / 'train'}", "out_dir": str(tmp_path)}
    )
    assert [(task.name, task.kind) for task in tasks] == [
        (photographs.name, "appearance"),
        ("train", "content"),
    ]
    assert tasks[0].train.pixels.shape[1] == 3 and len(tasks[0].train) == 48


def test_sets_that_are_there_join_in(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("MSR_DATA", str(tmp_path))
    (tmp_path / "cifar10").symlink_to(photographs)
    assert [t.name for t in transfer.prepare(**PARAMS | {"out_dir": str(tmp_path / "out")})[1]][
        -1
    ] == "cifar10"


@pytest.mark.parametrize(
    "changes, says",
    [
        (
            {"tasks": "colour:FOLDER"},
            "unknown kind 'colour' of 'FOLDER'; choose content, appearance, spatial",
        ),
        ({"tasks": "/nowhere"}, "'/nowhere' is not a folder"),
        ({"shots": -1}, "shots = -1; give a whole number"),
        ({"n_l2": 0}, "n_l2 = 0"),
        ({"epoch": 1}, "unknown parameter 'epoch'"),
    ],
)
def test_bad_input_is_one_line(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says) as error:
        transfer.prepare(**PARAMS | {"out_dir": str(tmp_path)} | changes)
    assert "\n" not in str(error.value)


def test_a_task_without_classes(photographs, tmp_path):
    with pytest.raises(ValueError, match="has no class folders, so nothing to predict"):
        transfer.folders("content", str(photographs / "train" / "dark"), 16, 20)

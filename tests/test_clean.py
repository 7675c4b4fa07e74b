"""What a build keeps, sets aside and removes; what `make clean` says and removes."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import build
import code_of_pages

TRAINS, DRAWS = "msr/train/loop.py", "msr/report/plots.py"
CELL = {"cell_type": "code", "source": "import msr.train.loop\nimport msr.report.plots"}
CELL["metadata"] = {}
TEXT = {"cell_type": "markdown", "source": "Another text.", "metadata": {}}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A checkout in small, in which a notebook "trains" one network, of 2 epochs in 10 seconds."""
    for name in (TRAINS, DRAWS):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text('"""What it does."""\n\n\ndef f(x):\n    return x + 1\n')
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "n.ipynb").write_text(json.dumps({"cells": [CELL]}))
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(build, "declared", lambda notebook: {"out_dir", "epochs", "seeds"})
    monkeypatch.setattr(build, "run", lambda notebook, out, params: train(tmp_path, out, params))
    (tmp_path / "book" / "profiles").mkdir()
    for profile in build.PROFILES:
        (tmp_path / "book" / "profiles" / f"{profile}.yml").write_text("epochs: 2\n")
    return tmp_path


def train(root, out, params, seconds=10.0):
    """What papermill does: leave a network in out_dir, unless there is one, and a page."""
    folder = root / params["out_dir"] / "spaces_seed0"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        (folder / "config.json").write_text('{"training": {"batch_size": 100}}')
        lines = [{"step": 50, "epoch": 1}, {"step": 100, "epoch": 2}]
        speed = {"images_per_second": 100 * 100 / seconds}
        log = "".join(json.dumps(line | speed) + "\n" for line in lines)
        (folder / "log.jsonl").write_text(log)
    out.write_text(json.dumps({"metadata": {}, "cells": [CELL], "of": params}))


def edited(root, name, before, after):
    """Replace a text in a file of the library."""
    text = (root / name).read_text()
    assert before in text
    (root / name).write_text(text.replace(before, after))


def networks(root, profile):
    """The folders of the profile's runs that hold a network."""
    found = (root / "_build" / "runs" / profile).glob("*/spaces_seed0/model.safetensors")
    return sorted(path.parents[1].name for path in found)


@pytest.mark.parametrize(
    "name, before, after",
    [
        (TRAINS, "What it does.", "What it does, in other words."),
        (TRAINS, "    return x + 1\n", "    # one more\n    return (\n        x + 1\n    )\n"),
        (DRAWS, "x + 1", "x + 2"),
    ],
)
def test_networks_outlive_an_edit_that_cannot_change_them(book, name, before, after):
    build.execute("n", "paper", {})
    weights = book / "_build" / "runs" / "paper" / "n" / "spaces_seed0" / "model.safetensors"
    weights.write_text("days")
    edited(book, name, before, after)
    (book / "book" / "n.ipynb").write_text(json.dumps({"cells": [TEXT, CELL]}))
    build.execute("n", "paper", {"epochs": 2})
    assert weights.read_text() == "days" and networks(book, "paper") == ["n"]


def test_what_other_code_trained_is_set_aside_with_its_page(book, capsys):
    build.execute("n", "paper", {})
    for after in ("x + 2", "x + 3"):
        edited(book, TRAINS, "return x +", f"return {after} +")
        build.execute("n", "paper", {})
    kept, first, second = networks(book, "paper")
    assert kept == "n" and first.startswith("n.stale-") and second.startswith("n.stale-")
    assert (book / "_build" / "runs" / "paper" / first / "n.ipynb").exists()
    said = [line for line in capsys.readouterr().out.splitlines() if "other code" in line]
    assert len(said) == 2 and first in said[0] and "REUSE=1" in said[0]


def test_what_was_set_aside_can_be_used_again(book):
    build.execute("n", "paper", {})
    edited(book, TRAINS, "x + 1", "1 + x")
    build.execute("n", "paper", {}, reuse=True)
    assert networks(book, "paper") == ["n"]
    edited(book, DRAWS, "x + 1", "1 + x")
    build.execute("n", "paper", {})
    assert networks(book, "paper") == ["n"], "from then on it counts as this code's"


@pytest.mark.parametrize(
    "extra, seconds, left",
    [({}, 10, 1), ({"epochs": 1000}, 10, 2), ({}, 4000, 2)],
)
def test_only_what_trains_again_in_minutes_is_removed(book, monkeypatch, extra, seconds, left):
    """The quick profile as it is; not with other parameters, nor where it took long."""
    monkeypatch.setattr(build, "run", lambda _, out, params: train(book, out, params, seconds))
    build.execute("n", "quick", extra)
    edited(book, TRAINS, "x + 1", "x + 2")
    build.execute("n", "quick", {})
    assert len(networks(book, "quick")) == left


def test_a_folder_that_once_held_long_runs_is_never_removed(book):
    for extra in ({}, {"epochs": 1000}, {}):
        build.execute("n", "quick", extra)
    edited(book, TRAINS, "x + 1", "x + 2")
    build.execute("n", "quick", {})
    assert len(networks(book, "quick")) == 2


def test_runs_that_no_build_knows_are_set_aside(book):
    own = book / "_build" / "runs" / "quick" / "n" / "mine"
    own.mkdir(parents=True)
    (own / "weights").write_text("days")
    build.execute("n", "quick", {})
    assert [path.read_text() for path in (book / "_build").rglob("weights")] == ["days"]
    assert not own.exists()


@pytest.mark.parametrize("where", ["mine", "_build/mine"])
def test_a_folder_of_the_users_is_not_touched(book, where):
    """Each notebook gets a folder of its own in it."""
    for text in ("x + 1", "x + 2"):
        edited(book, TRAINS, "x + 1", text)
        build.execute("n", "quick", {"out_dir": where})
    assert [path.name for path in (book / where).iterdir()] == ["n"]
    assert [path.name for path in (book / where / "n").iterdir()] == ["spaces_seed0"]


def test_the_meaning_of_code_names_no_empty_field():
    """`ast.dump` writes those of the Python that runs, so its text differs between versions."""
    found = code_of_pages.meaning(
        ast.parse('"""Doc."""\n\ndef f():\n    """Doc."""  # one\n    return 1\n')
    )
    one = ["Return", ["value", ["Constant", ["value", "1"]]]]
    f = ["FunctionDef", ["name", "'f'"], ["args", ["arguments"]], ["body", [one]]]
    assert found == ["Module", ["body", [f]]]


# -------------------------------------------------------------------------------------- make clean


@pytest.fixture
def clean(monkeypatch, book):
    import clean

    monkeypatch.setattr(clean, "BUILD", book / "_build")
    return clean


def test_clean_says_what_it_removes_and_keeps_what_took_long(book, clean, capsys):
    for profile in ("quick", "paper"):
        build.execute("n", profile, {})
    (book / "_build" / "html").mkdir()
    (book / "_build" / "notes.txt").write_text("mine")
    capsys.readouterr()
    before = sorted((book / "_build").rglob("*"))
    clean.clean(dry=True)
    assert "would remove _build/runs/quick/n (" in capsys.readouterr().out
    assert sorted((book / "_build").rglob("*")) == before
    clean.clean()
    said = capsys.readouterr().out.splitlines()
    starts = {"kept: _build/executed/paper", "kept: _build/notes.txt", "kept: _build/runs/paper/n"}
    starts |= {f"removing _build/{path}" for path in ("executed/quick", "html", "runs/quick/n")}
    assert {line.partition(" (")[0] for line in said if " (" in line} == starts
    assert any("1 networks, 2 epochs, 0.0 h" in line for line in said)
    assert "`make clean ALL=1` removes it too" in "".join(said)
    left = {str(p.relative_to(book / "_build")) for p in (book / "_build").glob("*/*")}
    assert left == {"executed/paper", "runs/paper"} and networks(book, "paper") == ["n"]
    clean.clean(everything=True)
    assert not (book / "_build").exists()


def test_clean_needs_nothing_but_python(tmp_path):
    """`make clean` works where nothing is installed."""
    script = Path(build.__file__).with_name("clean.py")
    (tmp_path / "book").mkdir()
    copy = tmp_path / "book" / "clean.py"
    copy.write_text(script.read_text())
    (tmp_path / "_build" / "html").mkdir(parents=True)
    command = [sys.executable, "-I", "-S", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "removing _build/html" in done.stdout, done.stderr
    assert not (tmp_path / "_build").exists()


def test_a_link_is_removed_and_not_what_it_points_to(book, clean):
    (book / "disk").mkdir()
    (book / "disk" / "weights").write_text("days")
    (book / "_build").mkdir()
    (book / "_build" / "mine").symlink_to(book / "disk")
    clean.clean(everything=True)
    assert (book / "disk" / "weights").exists() and not (book / "_build").exists()

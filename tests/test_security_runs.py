"""Settings, checkpoints and YAML from strangers; and where a run writes.

SECURITY.md names these tests.
"""

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import small
import tiny
import torch
from hostile import entry, guarded, one_line, tar
from pictures import blob, noise
from small import IMAGENET

import build
from msr import safe, train
from msr.experiments import imagenet, launch
from msr.train import checkpoint, lines_of

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = Path(__file__).parent / "fixtures" / "run_0.1"  # a run's folder, written by version 0.1
DEEP = "[" * 50_000 + "]" * 50_000


# ------------------------------------------------------------------------------------- run.json


@pytest.mark.parametrize(
    "content, says",
    [
        (f'{{"lr": {DEEP}}}'.encode(), "nested too deeply"),
        (b'{"lr": 1e-3}' + b" " * 2**21, "more than 1,048,576 bytes"),
        (b'{"lr": 1e-3, "lr": 1}', "'lr' is given twice"),
        (b'{"lr": NaN}', "lr = nan; give a finite number"),
        (b'{"lr": ' + b"9" * 10_000 + b"}", "cannot be read as JSON"),
        (b'{"lr": 1e999}', "lr = inf; give a finite number"),
        (b'{"lr": {"a": 1}}', "lr = {'a': 1}; give a number"),
        (b'{"lr\xff": 1}', "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
    ],
)
def test_run_json_of_any_form_is_one_line(tmp_path, monkeypatch, capsys, content, says):
    (tmp_path / "run.json").write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["msr.train", str(tmp_path / "run.json")])
    with guarded(), pytest.raises(SystemExit) as end:
        launch.main()
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 2 and len(lines) == 1 and says in lines[0] and len(lines[0]) < 1000
    assert os.listdir(tmp_path) == ["run.json"]


# ------------------------------------------------------------------ a run's folder, made by others


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of a short run."""
    folder = tmp_path_factory.mktemp("run")
    train.fit(*tiny.make(tiny.images()), folder, progress=False)
    return folder


def harmed(run, tmp_path, change):
    """A copy of the run whose checkpoints were changed; `change` gets and returns the dict."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for path in checkpoint.checkpoints(folder):
        saved = change(torch.load(path, weights_only=True))
        torch.save(saved, path)
    return folder


def configured(**changes):
    """A change of a checkpoint's configuration."""

    def change(saved):
        return saved | {"config": json.dumps(json.loads(saved["config"]) | changes)}

    return change


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda saved: [saved], "no checkpoint in .* can be read"),
        (lambda saved: {}, "no checkpoint in .* can be read .*step is absent"),
        (lambda saved: saved | {"step": "9"}, "step is absent or of another type"),
        (lambda saved: saved | {"config": DEEP}, "nested too deeply"),
        (lambda saved: saved | {"config": "3"}, "no checkpoint in .* can be read"),
        (configured(training=[]), "its configuration is not one of msr"),
        (configured(steps="many"), "its configuration is not one of msr"),
        (lambda saved: saved | {"step": 10**9}, "it is of step 1000000000 of 9"),
        (
            configured(training={}, experiment={"groups": "", "options": [1]}),
            "the configuration of the run in .* cannot be read",
        ),
        (lambda saved: saved | {"model": {}}, "the checkpoint of step 9 does not fit this run"),
        (lambda saved: saved | {"objective": {"x": [1]}}, "does not fit this run"),
        (lambda saved: saved | {"optimizer": {}}, "does not fit this run"),
        (lambda saved: saved | {"rng": [1]}, "does not fit this run"),
        (lambda saved: saved | {"recent": torch.zeros(())}, "does not fit this run"),
    ],
)
def test_a_checkpoint_of_any_form_is_one_line(run, tmp_path, change, says):
    folder = harmed(run, tmp_path, change)
    before = sorted(path.name for path in folder.iterdir())
    one_line(lambda: train.fit(*tiny.make(tiny.images()), folder, progress=False), says)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_checkpoint_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "checkpoint-00000001.pt")
    one_line(lambda: checkpoint.latest(tmp_path), "not a regular file")


def test_a_log_of_any_form(run, tmp_path):
    """What is no line of a log is left out; config.json is never read."""
    folder = harmed(run, tmp_path, lambda saved: saved)
    right = lines_of(folder, 9)
    text = (folder / "log.jsonl").read_bytes()
    bad = [DEEP.encode(), b"\xff", b"3", b"[]", b'{"step": "x"}', b'{"a": 1}', b"null", b"{"]
    (folder / "log.jsonl").write_bytes(b"\n".join([*bad, b"", text]))
    (folder / "config.json").write_text(DEEP)
    (folder / "metrics.json").write_text(DEEP)
    assert lines_of(folder, 9) == right and right
    assert train.fit(*tiny.make(tiny.images()), folder, progress=False) == right


# ---------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    "text, says",
    [
        ("&a [1], *a", "cannot be read as YAML"),
        ("[&a [x, x], &b [*a, *a]]", "aliases"),
        ("!!python/object/apply:os.mkdir [ran]", "cannot be read as YAML"),
        ("[" * 2000, "cannot be read as YAML"),
        ("{", "cannot be read as YAML"),
        ("2001-99-99", "cannot be read as YAML"),
    ],
)
def test_yaml_of_the_books_build(tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["build.py", "-p", "epochs", text])
    with guarded(), pytest.raises(SystemExit, match=says) as end:
        build.main()
    assert "\n" not in end.value.code and not os.listdir(tmp_path)


def test_a_billion_laughs_in_a_profile(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with guarded(), pytest.raises(SystemExit, match=r"p.yml cannot be read as YAML: aliases"):
        build.plain("\n".join(lines), "p.yml")
    for path in (ROOT / "book" / "profiles").glob("*.yml"):
        assert build.plain(path.read_text(), path.name)


# ------------------------------------------------------------------------------- where a run writes


def contents(*folders):
    """All paths in folders."""
    return {path for folder in folders for path in folder.rglob("*")}


def test_a_run_writes_in_its_folder_alone(tmp_path, monkeypatch):
    """Names of classes and files are hostile: of members of a tar, and of files and folders."""
    small.few_shapes(monkeypatch)
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    (tmp_path / "data").mkdir()
    names = ["../../{}", str(tmp_path / "abs{}"), "a/../../../../{}", "~/{}", "-rf\n{}"]
    blocks = [
        entry(f"{names[i % 5].format(i)}.png", b"no image" if i == 7 else blob(noise(i), "PNG"))
        + entry(f"{names[i % 5].format(i)}.cls", f"../../class{i % 2}".encode())
        for i in range(220)
    ]
    tar(tmp_path / "data" / "a.tar", *blocks)
    root = tmp_path / "files"
    for name, i in itertools.product(("..evil", "$(touch x)", "<b>&\n", "%s {0}"), range(55)):
        (root / name).mkdir(exist_ok=True, parents=True)
        bad = name == "..evil" and i == 3
        (root / name / f"{i};`touch y`\n.png").write_bytes(b"" if bad else blob(noise(i), "PNG"))
    before = contents(tmp_path)
    for data_dir, out in ((str(tmp_path / "data" / "a.tar"), "tar"), (str(root), "files")):
        folder = tmp_path / "out" / out
        values = IMAGENET | {"data_dir": data_dir, "out_dir": str(folder), "vanilla": False}
        launch.run(values | {"batch_size": 32, "max_images": 0, "hidden": "8"})
        written = json.loads((folder / "spaces_seed0" / "files.json").read_text())
        assert len(written["skipped"]) == 1
    new = {path.relative_to(tmp_path) for path in contents(tmp_path) - before}
    assert {path.parts[0] for path in new} == {"out", "home"}
    kinds = ("config.json", "files.json", "log.jsonl", "model.safetensors", "checkpoint", "events.")
    assert all(p.name.startswith(kinds) for p in new if p.parts[0] == "out" and len(p.parts) > 3)
    index = tmp_path / "home" / "cache" / "msr" / "index"
    inside = [p for p in contents(tmp_path / "home") if p.is_file()]
    assert inside and all(path.parent == index for path in inside)


def test_every_test_that_the_page_names_is_there():
    """SECURITY.md claims nothing without a test."""
    page = (ROOT / "SECURITY.md").read_text()
    sources = [path.read_text() for path in (ROOT / "tests").glob("test_*.py")]
    named = {word for word in page.split("`") if word.startswith("test_") and ".py" not in word}
    assert len(named) > 20
    for name in named:
        assert any(f"def {name}(" in source for source in sources), name
    limits = (safe.IMAGE // 2**20, f"{safe.PIXELS:,}", safe.TEXT // 2**20)
    assert "{} MiB; {} pixels; {} MiB".format(*limits) in page.replace("\n", " ")
    assert imagenet.Parameters.NAME  # the experiment of the run above

"""A run that was interrupted ends as one that was not, and no earlier run is overwritten."""

import contextlib
import json
import os
import signal

import pytest
import tiny
import torch
from tiny import flat, make

from msr import safe, train
from msr.train import checkpoint, resume


@pytest.fixture(scope="module")
def data():
    return tiny.images()


def crash_at(batches, steps):
    """These batches, ending in an error before step `steps` of this start."""

    class Crashing(type(batches)):
        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch, start):
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt
                yield batch

    batches.__class__, batches.left = Crashing, steps
    return batches


def crashed(parts, steps, folder):
    """Train until an error before step `steps` of this start."""
    model, objective, views, batches, settings = parts
    with pytest.raises(KeyboardInterrupt):
        train.fit(
            model, objective, views, crash_at(batches, steps), settings, folder, progress=False
        )


def without_speed(lines):
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


# --------------------------------------------------------------------------------------- resumed


@pytest.mark.parametrize("save_every", [0, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "lars", "sgd"])
def test_a_run_that_was_cut_ends_as_one_that_was_not(data, tmp_path, save_every, optimizer, capsys):
    options = dict(optimizer=optimizer, save_every=save_every, epochs=4, log_every=5)
    options |= dict(adaptive=True, dual_warmup_epochs=0)
    whole = make(data, **options)
    expected = train.fit(*whole, out_dir=tmp_path / "whole", progress=False)
    for cut in (7, 4):
        crashed(make(data, **options), cut, tmp_path / "cut")
    parts = make(data, **options)
    log = train.fit(*parts, out_dir=tmp_path / "cut", progress=False)
    assert "resuming from step" in capsys.readouterr().out
    assert torch.equal(flat(parts[0]), flat(whole[0]))
    assert torch.equal(parts[1].lambdas, whole[1].lambdas)
    written = [json.loads(line) for line in tiny.log_text(tmp_path / "cut")]
    assert without_speed(log) == without_speed(expected) == without_speed(written)


def test_dropout_resumes_too(data, tmp_path):
    """A checkpoint holds the global random numbers, which the library's own step does not use."""
    weights = []
    for cut in (None, 5):
        for crash in [True, False] if cut else [False]:
            torch.manual_seed(3)
            model, objective, views, batches, settings = make(data)
            model.backbone.append(torch.nn.Dropout(0.5))
            batches = crash_at(batches, cut) if crash else batches
            with pytest.raises(KeyboardInterrupt) if crash else contextlib.nullcontext():
                folder = tmp_path / str(cut)
                train.fit(model, objective, views, batches, settings, folder, progress=False)
        weights.append(flat(model))
    assert torch.equal(*weights)


def test_a_complete_run_is_loaded_not_trained(data, tmp_path):
    whole = make(data)
    train.fit(*whole, out_dir=tmp_path, progress=False)
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    model, objective, views, batches, settings = make(data)
    batches = crash_at(batches, 0)
    log = train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    assert torch.equal(flat(model), flat(whole[0])) and log[-1]["step"] == 9
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before


def test_a_broken_checkpoint_gives_way_to_the_one_before(data, tmp_path, capsys):
    whole = make(data)
    train.fit(*whole, out_dir=tmp_path, progress=False)
    newest, _ = checkpoint.checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:1000])
    parts = make(data)
    train.fit(*parts, out_dir=tmp_path, progress=False)
    assert "trying the one before" in capsys.readouterr().out
    assert torch.equal(flat(parts[0]), flat(whole[0]))
    for path in checkpoint.checkpoints(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* can be read"):
        train.fit(*make(data), out_dir=tmp_path, progress=False)


def test_sigterm_saves_and_stops(data, tmp_path):
    model, objective, views, batches, settings = make(data)

    class Signalled(type(batches)):
        def epoch(self, epoch, start=0):
            for i, batch in enumerate(super().epoch(epoch, start)):
                if (epoch, i) == (1, 0):
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

    batches.__class__ = Signalled
    before = signal.getsignal(signal.SIGTERM)
    says = "stopped after step 4 of 9; the same command resumes from"
    with pytest.raises(train.Stopped, match=says):
        train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    assert checkpoint.latest(tmp_path)["step"] == 4 and signal.getsignal(signal.SIGTERM) is before


# ---------------------------------------------------------------------------- refused or set aside


def test_settings_that_changed(data, tmp_path, capsys):
    run = tmp_path / "run"
    crashed(make(data), 5, run)
    says = (
        r"unfinished run with other settings \(steps = 9, now 12; epochs = 3, now 4\); "
        "give those to resume it"
    )
    with pytest.raises(ValueError, match=says) as error:
        train.fit(*make(data, epochs=4), out_dir=run, progress=False)
    assert "\n" not in str(error.value)
    assert checkpoint.latest(run)["step"] == 3, "nothing is lost"
    train.fit(*make(data, save_every=4), out_dir=run, progress=False)
    first = train.fit(*make(data), out_dir=run, progress=False)
    assert "complete in" in capsys.readouterr().out and first[-1]["step"] == 9
    train.fit(*make(data, seed=1, lr=2e-3), out_dir=run, progress=False)
    says = "held a complete run with lr = 0.001, now 0.002: set aside as run.old"
    assert says in capsys.readouterr().out
    assert [json.loads(line) for line in tiny.log_text(tmp_path / "run.old")] == first
    train.fit(*make(data, lr=2e-3), out_dir=run, progress=False, fresh=True)
    assert (tmp_path / "run.old2").is_dir() and len(list(run.glob("events.*"))) == 1


def forget(folder, name):
    """Remove a training setting from the checkpoints, as if the run were older than it."""
    for path in checkpoint.checkpoints(folder):
        state = torch.load(path, weights_only=True)
        config = json.loads(state["config"])
        del config["training"][name]
        torch.save(state | {"config": json.dumps(config)}, path)


def test_a_setting_newer_than_the_run_counts_as_its_default(data, tmp_path, capsys):
    crashed(make(data), 5, tmp_path)
    forget(tmp_path, "backbone_rate")
    with pytest.raises(ValueError, match=r"other settings \(backbone_rate = 1.0, now 0.5\)"):
        train.fit(*make(data, backbone_rate=0.5), out_dir=tmp_path, progress=False)
    log = train.fit(*make(data), out_dir=tmp_path, progress=False)
    assert "resuming from step 3 of 9" in capsys.readouterr().out and log[-1]["step"] == 9
    forget(tmp_path, "backbone_rate")
    train.fit(*make(data), out_dir=tmp_path, progress=False)
    assert "complete in" in capsys.readouterr().out


def test_changes_by_name():
    old = {"training": {"epochs": 10, "save_every": 3}, "experiment": {"images": 5}}
    new = {"training": train.Training(epochs=20).model_dump(), "experiment": {"images": 6}}
    assert resume.changes(old, new) == ["images = 5, now 6", "epochs = 10, now 20"]


def test_records_of_version_0_1():
    """On images, lists were text and settings of training stood twice; on latents, as now."""
    training = train.Training().model_dump()
    older = {name: value for name, value in training.items() if name != "compile"}
    images = {"groups": "a,b", "sizes": "8,4,4", "lambdas": "", "lr": 3, "dim": 16, "init": ""}
    today = {"groups": ["a", "b"], "sizes": [8, 4, 4], "lambdas": []}
    today |= {"content_pairs": "query", "joint": True, "content_spread": 0.0}
    latents = {"sizes": [], "lr": 0.002, "options": [["temperature", 0.7]]}
    for before, now in ((images, today), (latents, latents), ({}, {})):
        old = {"training": older, "experiment": before}
        assert resume.changes(old, {"training": training, "experiment": now}) == []
    other = {"training": training, "experiment": today | {"sizes": [8, 4, 2]}}
    assert len(resume.changes({"training": older, "experiment": images}, other)) == 1


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    safe.write(tmp_path / "a", lambda file: file.write(b"old"))

    def fails(file):
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError):
        safe.write(tmp_path / "a", fails)
    assert (tmp_path / "a").read_bytes() == b"old"

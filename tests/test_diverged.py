"""Runs that go wrong on the way: a loss that becomes nan, and files that cannot be written."""

import contextlib
import errno
import json
import math
import resource

import pytest
import tiny
import torch
from tiny import flat, make

from msr import safe, train
from msr.train import checkpoint, diverged

# TensorBoard's thread ends where the disk is full
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(scope="module")
def data():
    return tiny.images()


def spoilt(batches, lr, limit=0.5):
    """These batches, which turn to nan from epoch 2 on if the rate is above a limit."""

    class Spoilt(type(batches)):
        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch, start):
                yield batch.float() / 255 * (math.nan if epoch >= 2 and lr > limit else 1)

    batches.__class__ = Spoilt
    return batches


def fit(data, folder, limit=0.5, **settings):
    """Train 4 epochs of 3 steps with sgd; a rate above the limit diverges after step 6."""
    settings = {"optimizer": "sgd", "epochs": 4, "lr": 1.0, "log_every": 100} | settings
    model, objective, views, batches, settings = make(data, **settings)
    batches = spoilt(batches, settings.lr, limit)
    return train.fit(model, objective, views, batches, settings, folder, progress=False), model


def test_a_run_that_diverged_goes_on_with_a_lower_rate(data, tmp_path, capsys):
    for lr in (1.0, 0.9):  # a second rate that is too high as well
        says = r"try a lower lr.*-p lr.*resumes from .*checkpoint-00000006.pt, the last good"
        with pytest.raises(train.NonFiniteLoss, match=says) as error:
            fit(data, tmp_path, lr=lr)
        assert "remove it to resume from checkpoint-00000003.pt" in str(error.value)
    momentum = checkpoint.latest(tmp_path)["optimizer"]["state"]
    with pytest.raises(ValueError, match=r"unfinished run with other settings \(adaptive = Fal"):
        fit(data, tmp_path, lr=0.1, adaptive=True)
    log, model = fit(data, tmp_path, lr=0.1, clip=1.0)
    said = capsys.readouterr().out
    assert (
        "resuming from step 6 of 12" in said and "with clip = 0.0, now 1.0; lr = 1.0, now" in said
    )
    assert "; the loss became nan or inf by step 9" in said
    assert log[-1]["step"] == 12 and math.isfinite(log[-1]["loss"]) and len(momentum) > 0
    written = json.loads((tmp_path / "config.json").read_text())
    changed = ["clip = 0.0, now 1.0", "lr = 1.0, now 0.1"]
    assert written["history"] == [{"step": 6, "changed": changed}]
    again = fit(data, tmp_path, lr=0.1, clip=1.0)[1]
    assert "complete in" in capsys.readouterr().out and torch.equal(flat(model), flat(again))


def test_a_cure_leaves_complete_runs_of_other_seeds_alone(data, tmp_path, capsys):
    fit(data, tmp_path / "seed0", lr=0.1)
    with pytest.raises(train.NonFiniteLoss):
        fit(data, tmp_path / "seed1", lr=1.0)
    capsys.readouterr()
    fit(data, tmp_path / "seed0", lr=0.05)
    assert "complete in" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"seed0", "seed1"}
    fit(data, tmp_path / "seed0", lr=0.05, batch_size=24)
    assert "set aside as seed0.old" in capsys.readouterr().out


def test_once_past_the_step_the_settings_are_fixed_again(data, tmp_path):
    with pytest.raises(train.NonFiniteLoss):
        fit(data, tmp_path)
    assert diverged.step_of(tmp_path) == 9
    assert diverged.incurable(tmp_path, 6, ["lr = 1, now 2", "seed = 1, now 2"]) == [
        "seed = 1, now 2"
    ]
    assert diverged.incurable(tmp_path, 9, ["lr = 1, now 2"]) == ["lr = 1, now 2"]
    for text in ('{"step": Infinity}', "[" * 10**5, "{}", '{"step": [1]}'):  # of strangers
        (tmp_path / "odd").mkdir(exist_ok=True)
        (tmp_path / "odd" / diverged.FILE).write_text(text)
        assert diverged.step_of(tmp_path / "odd") == 0
    assert diverged.incurable(tmp_path / "other", 6, ["lr = 1, now 2"]) == ["lr = 1, now 2"]


def test_a_run_that_did_not_diverge_keeps_its_rate(data, tmp_path):
    state = make(data, lr=0.1)
    train.fit(*state, out_dir=tmp_path, progress=False)
    checkpoint.checkpoints(tmp_path)[0].unlink()
    with pytest.raises(ValueError, match=r"other settings \(lr = 0.1, now 0.2\)"):
        train.fit(*make(data, lr=0.2), out_dir=tmp_path, progress=False)


def test_an_optimizer_that_can_no_longer_move_a_weight_is_not_saved(data, tmp_path):
    """Adam's second moment is infinite after a gradient of 1e30, and the weights stay finite."""
    model, *rest = make(data)

    def spike(module, args):
        if module.training and len(checkpoint.checkpoints(tmp_path)) == 1:
            weight = next(module.parameters())
            weight.grad_spike = weight.register_hook(lambda g: torch.full_like(g, 1e30))

    model.register_forward_pre_hook(spike)
    with pytest.raises(train.NonFiniteLoss, match="optimizer's state became nan or inf by step 6"):
        train.fit(model, *rest, out_dir=tmp_path, progress=False)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["checkpoint-00000003.pt"]


# ------------------------------------------------------------------------------------- a full disk


@contextlib.contextmanager
def full_disk(kind=resource.RLIMIT_FSIZE, room=2000):
    """No file may grow beyond a few bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def full_during(batches, epochs):
    """These batches; the disk is full during some epochs."""

    class Full(type(batches)):
        def epoch(self, epoch, start=0):
            with full_disk() if epoch in epochs else contextlib.nullcontext():
                yield from super().epoch(epoch, start)

    batches.__class__ = Full
    return batches


def test_a_full_disk_does_not_end_a_run(data, tmp_path, capsys):
    """The last batch's save comes while the next is not yet asked for, so in the same epoch."""
    expected = make(data)
    train.fit(*expected, progress=False)
    model, objective, views, batches, settings = make(data)
    batches = full_during(batches, {1})
    train.fit(model, objective, views, batches, settings, tmp_path, progress=False)
    said = capsys.readouterr().out
    assert "no checkpoint of step 6 in" in said and "the last one is checkpoint-00000003" in said
    steps = [path.name for path in checkpoint.checkpoints(tmp_path)]
    assert steps == ["checkpoint-00000009.pt", "checkpoint-00000003.pt"]
    assert torch.equal(flat(model), flat(expected[0])) and not list(tmp_path.glob("*.tmp"))


def test_a_run_that_cannot_save_its_end_says_so(data, tmp_path, capsys):
    model, objective, views, batches, settings = make(data, log_every=1)
    batches = full_during(batches, {1, 2})
    says = "trained to the end, but no checkpoint of step 9 .*; the last one is checkpoint-00000003"
    with pytest.raises(train.NotSaved, match=says) as error:
        train.fit(model, objective, views, batches, settings, tmp_path, progress=False)
    assert "\n" not in str(error.value)
    log, again = [], make(data, log_every=1)
    log = train.fit(*again, out_dir=tmp_path, progress=False)
    assert "resuming from step 3 of 9" in capsys.readouterr().out
    assert [line["step"] for line in log] == list(range(1, 10))
    assert torch.equal(flat(again[0]), flat(model))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    state = {"x": torch.zeros(10_000)}
    with full_disk(), pytest.raises(OSError) as error:
        safe.write(tmp_path / "a", lambda file: torch.save(state, file))
    assert error.value.errno == errno.EFBIG and not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(data, tmp_path):
    train.fit(*make(data), out_dir=tmp_path, progress=False)
    checkpoint.checkpoints(tmp_path)[0].unlink()
    (tmp_path / "checkpoint-00000009.pt.123.tmp").write_bytes(b"half")
    train.fit(*make(data), out_dir=tmp_path, progress=False)
    assert not list(tmp_path.glob("*.tmp")) and checkpoint.latest(tmp_path)["step"] == 9

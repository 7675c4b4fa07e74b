"""The loop learns, logs, saves, reproduces, and stops with one clear line."""
import contextlib
import json
import math
import os
import signal

import pytest
import torch

from msr import checkpoint, duals, models, optim, presets, train
from msr.config import Train
from msr.data import images
from msr.objective import Objective
from msr.spaces import Spaces
from msr.views import Views

S = 16
SPACES = Spaces.of(("appearance", "spatial"), (6, 3, 3))


@pytest.fixture(scope="module")
def data():
    return images.embedded(96, 32, S)[0]


def make(data, family="entropy", seed=0, paired=False, **settings):
    torch.manual_seed(seed)
    net, features = models.backbone("cnn", S, width=8)
    model = models.MultiSpace(net, features, SPACES, (32,))
    views = Views(*presets.preset("shapes").pipelines(S), SPACES.names[1:], paired)
    settings = Train(**{"epochs": 3, "batch_size": 32, "log_every": 2, **settings})
    return model, Objective(family, SPACES, paired=paired), views, images.Batches(data, settings.batch_size, seed), settings


@pytest.mark.parametrize("family", ["simclr", "vicreg", "barlow", "entropy"])
@pytest.mark.parametrize("paired", [False, True])
def test_the_loss_falls(data, family, paired):
    log = train.fit(*make(data, family, paired=paired, epochs=12, log_every=3, lr=3e-3), progress=False)
    assert log[-1]["loss"] < log[0]["loss"] and log[-1]["step"] == 36


def test_same_seed_same_weights(data):
    weights = []
    for seed in (0, 0, 1):
        parts = make(data, seed=seed)
        train.fit(*parts, progress=False)
        weights.append(torch.cat([p.flatten() for p in parts[0].parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_log_and_checkpoint(data, tmp_path):
    parts = make(data, adaptive=True, dual_warmup_epochs=0)
    log = train.fit(*parts, out_dir=tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == log and [line["step"] for line in log] == [2, 4, 6, 8, 9]
    wanted = {f"{term}/{space}" for term in ("align", "violation", "lambda") for space in SPACES.names}
    assert wanted | {"loss", "spread", "lr", "epoch", "images_per_second"} <= set(log[0])
    assert list(tmp_path.glob("events.*")), "TensorBoard"
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["checkpoint-00000009.pt", "checkpoint-00000006.pt"], "the last two"
    state = torch.load(tmp_path / "checkpoint-00000009.pt", weights_only=True)
    assert set(state) == {"model", "objective", "optimizer", "generator", "step", "rng", "recent", "config"} and state["step"] == 9
    assert set(state["rng"][0]) >= {"torch", "numpy", "python"}
    for name, value in parts[0].state_dict().items():
        assert torch.equal(state["model"][name], value)
    assert torch.equal(state["objective"]["lambdas"], parts[1].lambdas) and not torch.equal(parts[1].lambdas, torch.ones(3))
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(state["config"])
    assert json.loads(state["config"])["training"]["epochs"] == 3


def test_non_finite_loss_stops_and_keeps_what_was_good(data, tmp_path):
    model, objective, views, batches, settings = make(data, log_every=3)

    class Poisoned(type(batches)):
        def epoch(self, epoch, start=0):
            for i, batch in enumerate(super().epoch(epoch, start)):
                yield batch.float() / 255 * (math.nan if epoch == 1 and i == 1 else 1)
    batches.__class__ = Poisoned
    with pytest.raises(train.NonFiniteLoss, match=r"the loss became nan .* before step 6 of 9 .*try a lower lr.*checkpoint-00000003.pt"):
        train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    state = torch.load(tmp_path / "checkpoint-00000003.pt", weights_only=True)
    assert state["step"] == 3 and all(v.isfinite().all() for v in state["model"].values())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


# ---------------------------------------------------------------------------------------------------- stop and go on

def flat(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


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


@pytest.mark.parametrize("save_every", [0, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "lars", "sgd"])
def test_a_run_that_was_cut_ends_as_one_that_was_not(data, tmp_path, save_every, optimizer, capsys):
    options = dict(optimizer=optimizer, adaptive=True, dual_warmup_epochs=0, epochs=4, log_every=5, save_every=save_every)
    whole = make(data, **options)
    expected = train.fit(*whole, out_dir=tmp_path / "whole", progress=False)
    for cut in (7, 4):
        parts = list(make(data, seed=0, **options))
        parts[3] = crash_at(parts[3], cut)
        with pytest.raises(KeyboardInterrupt):
            train.fit(*parts, out_dir=tmp_path / "cut", progress=False)
    parts = make(data, **options)
    log = train.fit(*parts, out_dir=tmp_path / "cut", progress=False)
    assert "going on from step" in capsys.readouterr().out
    assert torch.equal(flat(parts[0]), flat(whole[0])) and torch.equal(parts[1].lambdas, whole[1].lambdas)
    def plain(lines):
        return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]
    assert plain(log) == plain(expected) == plain(json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines())


def test_dropout_goes_on_too(data, tmp_path):
    """The global random numbers, which the library's own step does not use, are part of a checkpoint."""
    weights = []
    for cut in (None, 5):
        for crash in ([True, False] if cut else [False]):
            torch.manual_seed(3)
            model, objective, views, batches, settings = make(data)
            model.backbone.append(torch.nn.Dropout(0.5))
            with pytest.raises(KeyboardInterrupt) if crash else contextlib.nullcontext():
                train.fit(model, objective, views, crash_at(batches, cut) if crash else batches, settings, tmp_path / str(cut), progress=False)
        weights.append(flat(model))
    assert torch.equal(*weights)


def test_settings_that_changed(data, tmp_path, capsys):
    model, objective, views, batches, settings = make(data)
    with pytest.raises(KeyboardInterrupt):
        train.fit(model, objective, views, crash_at(batches, 5), settings, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"unfinished run with other settings \(steps = 9, now 12; epochs = 3, now 4\); give those to go on with it") as error:
        train.fit(*make(data, epochs=4), out_dir=tmp_path / "run", progress=False)
    assert "\n" not in str(error.value) and checkpoint.latest(tmp_path / "run")["step"] == 3, "nothing is lost"
    train.fit(*make(data, save_every=4), out_dir=tmp_path / "run", progress=False)
    first = train.fit(*make(data), out_dir=tmp_path / "run", progress=False)
    assert "complete in" in capsys.readouterr().out and first[-1]["step"] == 9
    train.fit(*make(data, seed=1, lr=2e-3), out_dir=tmp_path / "run", progress=False)
    assert "held a complete run with lr = 0.001, now 0.002: set aside as run.old" in capsys.readouterr().out
    assert [json.loads(line) for line in (tmp_path / "run.old" / "log.jsonl").read_text().splitlines()] == first
    train.fit(*make(data, lr=2e-3), out_dir=tmp_path / "run", progress=False, fresh=True)
    assert (tmp_path / "run.old2").is_dir() and len(list((tmp_path / "run").glob("events.*"))) == 1


def test_a_complete_run_is_loaded_not_trained(data, tmp_path):
    whole, again = make(data), make(data, seed=0)
    train.fit(*whole, out_dir=tmp_path, progress=False)
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    log = train.fit(again[0], again[1], again[2], crash_at(again[3], 0), again[4], out_dir=tmp_path, progress=False)
    assert torch.equal(flat(again[0]), flat(whole[0])) and log[-1]["step"] == 9 and (tmp_path / "model.safetensors").stat().st_mtime_ns == before


def test_a_broken_checkpoint_gives_way_to_the_one_before(data, tmp_path, capsys):
    whole = make(data)
    train.fit(*whole, out_dir=tmp_path, progress=False)
    newest, before = checkpoint.checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:1000])
    parts = make(data)
    train.fit(*parts, out_dir=tmp_path, progress=False)
    assert "trying the one before" in capsys.readouterr().out and torch.equal(flat(parts[0]), flat(whole[0]))
    for path in checkpoint.checkpoints(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* can be read"):
        train.fit(*make(data), out_dir=tmp_path, progress=False)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    checkpoint.write(tmp_path / "a", lambda file: file.write(b"old"))
    def fails(file):
        file.write(b"ne")
        raise OSError("disk full")
    with pytest.raises(OSError):
        checkpoint.write(tmp_path / "a", fails)
    assert (tmp_path / "a").read_bytes() == b"old"


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
    with pytest.raises(train.Stopped, match="stopped after step 4 of 9; the same command goes on"):
        train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    assert checkpoint.latest(tmp_path)["step"] == 4 and signal.getsignal(signal.SIGTERM) is before


# ------------------------------------------------------------------------------------------------- rates of its parts

def test_the_backbones_own_rate(data):
    model, objective, views, batches, settings = make(data, backbone_rate=0.1)
    rates = {id(p): group["share"] for group in optim.make("sgd", model, 1.0, 0.0, 0.1).param_groups for p in group["params"]}
    assert all(rates[id(p)] == (0.1 if name.startswith("backbone.") else 1.0) for name, p in model.named_parameters())


def test_a_frozen_backbone_does_not_move(data):
    parts = make(data, backbone_rate=0.0)
    before = {name: value.clone() for name, value in parts[0].state_dict().items()}
    train.fit(*parts, progress=False)
    assert not torch.equal(parts[0].projector[0][0].weight, before["projector.0.0.weight"])
    assert all(torch.equal(v, before[k]) for k, v in parts[0].state_dict().items() if k.startswith("backbone."))


def test_batches_and_settings_agree(data):
    model, objective, views, batches, settings = make(data)
    with pytest.raises(ValueError, match="batches hold 32 images, the settings say batch_size 16"):
        train.fit(model, objective, views, batches, Train(batch_size=16), progress=False)


def test_dual_step_by_hand():
    lambdas, violation = torch.tensor([1.0, 0.05, 2.0]), torch.tensor([0.3, 0.0, 0.1])
    torch.testing.assert_close(duals.step(lambdas, violation, epsilon=0.1, rate=1.0), torch.tensor([1.2, 0.0, 2.0]))


def test_adaptive_weight_rises_while_the_constraint_is_broken(data):
    parts = make(data, adaptive=True, dual_warmup_epochs=0, epsilon=0.0, dual_rate=0.1, epochs=4)
    log = train.fit(*parts, progress=False)
    for space in SPACES.names:
        assert log[-1][f"lambda/{space}"] > log[0][f"lambda/{space}"] > 1


def test_schedule():
    share = [optim.warmup_cosine(s, total=100, warmup=10) for s in range(100)]
    assert share[0] == 0.1 and share[9] == share[10] == 1 and share[55] == pytest.approx(0.5) and 0 < share[99] < 0.001
    assert share[10:] == sorted(share[10:], reverse=True)


def test_lars_by_hand():
    w, b = torch.nn.Parameter(torch.tensor([[3.0, 4.0]])), torch.nn.Parameter(torch.tensor([1.0]))
    opt = optim.LARS([{"params": [w], "weight_decay": 0.1}, {"params": [b], "adapt": False}], lr=2.0, momentum=0.5, trust=0.01)
    w.grad, b.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.5])
    opt.step()
    g = torch.tensor([[0.3, 2.4]])                            # gradient + 0.1 w
    v = 0.01 * 5 / g.norm() * g
    torch.testing.assert_close(w.data, torch.tensor([[3.0, 4.0]]) - 2 * v)
    torch.testing.assert_close(b.data, torch.tensor([0.0]))
    before, w.grad, b.grad = w.data.clone(), torch.zeros(1, 2), torch.zeros(1)
    opt.param_groups[0]["weight_decay"] = 0.0
    opt.step()                                                # no gradient: momentum alone
    torch.testing.assert_close(w.data, before - 2 * 0.5 * v)
    torch.testing.assert_close(b.data, torch.tensor([-0.5]))


def test_biases_and_norms_are_left_out_of_decay():
    model = models.MultiSpace(*models.backbone("resnet18", 32), SPACES, (16,))
    weights, others = optim.parameter_groups(model, 1e-6)
    assert all(p.dim() > 1 for p in weights["params"]) and all(p.dim() <= 1 for p in others["params"])
    assert len(weights["params"]) + len(others["params"]) == len(list(model.parameters()))
    assert others["weight_decay"] == 0 and not others["adapt"]


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_optimizers_train(data, name):
    log = train.fit(*make(data, optimizer=name, lr=1e-3 if name == "adamw" else 0.5, clip=1.0), progress=False)
    assert math.isfinite(log[-1]["loss"])


@pytest.mark.parametrize("settings, error, says", [
    ({"lr": "1e-3"}, TypeError, r"lr = '1e-3' is a str; give a float \(0.001\)"), ({"epochs": 1.5}, TypeError, "give an int"),
    ({"epochs": 0}, ValueError, "give 1 or more"), ({"optimizer": "adam"}, ValueError, "choose adamw, lars, sgd"),
    ({"epoch": 3}, ValueError, "did you mean 'epochs'")])
def test_settings_are_checked(settings, error, says):
    with pytest.raises(error, match=says):
        Train.of(**settings)


def test_rate_scales_with_the_batch_but_for_adamw():
    assert Train(optimizer="lars", lr=0.5, batch_size=512).peak_lr == 1.0
    assert Train(optimizer="adamw", lr=1e-3, batch_size=512).peak_lr == 1e-3


def test_unknown_device():
    with pytest.raises(ValueError, match="choose auto, cpu, cuda"):
        train.pick_device("gpu")

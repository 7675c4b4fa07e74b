"""The loop learns, logs, saves, reproduces, and stops with one clear line."""
import json
import math

import pytest
import torch

from msr import duals, models, optim, presets, train
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
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert set(state) == {"model", "objective", "optimizer", "generator", "step", "rng", "recent", "config"} and state["step"] == 9
    for name, value in parts[0].state_dict().items():
        assert torch.equal(state["model"][name], value)
    assert torch.equal(state["objective"]["lambdas"], parts[1].lambdas) and not torch.equal(parts[1].lambdas, torch.ones(3))
    assert json.loads((tmp_path / "settings.json").read_text())["epochs"] == 3


def test_non_finite_loss_stops_and_keeps_what_was_good(data, tmp_path):
    model, objective, views, batches, settings = make(data, log_every=3)

    class Poisoned(type(batches)):
        def epoch(self, epoch):
            for i, batch in enumerate(super().epoch(epoch)):
                yield batch.float() / 255 * (math.nan if epoch == 1 and i == 1 else 1)
    batches.__class__ = Poisoned
    with pytest.raises(train.NonFiniteLoss, match=r"the loss became nan .* before step 6 of 9 .*try a lower lr.*checkpoint.pt"):
        train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3 and all(v.isfinite().all() for v in state["model"].values())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_folder_with_a_run_is_set_aside(data, tmp_path):
    first = train.fit(*make(data), out_dir=tmp_path / "run", progress=False)
    train.fit(*make(data, seed=1), out_dir=tmp_path / "run", progress=False)
    assert [json.loads(line) for line in (tmp_path / "run.old" / "log.jsonl").read_text().splitlines()] == first
    assert len(list((tmp_path / "run").glob("events.*"))) == 1


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

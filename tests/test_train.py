"""The loop learns, logs, saves and reproduces, and it stops with one clear line."""

import json
import math
import sys

import pytest
import tiny
import torch
from tiny import SPACES, flat, make

from msr import train
from msr.train import Training, checkpoint, device, optim


@pytest.fixture(scope="module")
def data():
    return tiny.images()


@pytest.mark.parametrize("family", ["simclr", "vicreg", "barlow", "entropy"])
@pytest.mark.parametrize("paired", [False, True])
def test_the_loss_falls(data, family, paired):
    parts = make(data, family, paired=paired, epochs=12, log_every=3, lr=3e-3)
    log = train.fit(*parts, progress=False)
    assert log[-1]["loss"] < log[0]["loss"] and log[-1]["step"] == 36


def test_same_seed_same_weights(data):
    weights = []
    for seed in (0, 0, 1):
        parts = make(data, seed=seed)
        train.fit(*parts, progress=False)
        weights.append(torch.cat([p.flatten() for p in parts[0].parameters()]))
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_log(data, tmp_path):
    log = train.fit(*make(data, adaptive=True), out_dir=tmp_path, progress=False)
    assert [json.loads(line) for line in tiny.log_text(tmp_path)] == log
    assert [line["step"] for line in log] == [2, 4, 6, 8, 9]
    terms = ("align", "violation", "lambda")
    wanted = {f"{term}/{space}" for term in terms for space in SPACES.names}
    assert wanted | {"loss", "spread", "lr", "epoch", "images_per_second"} <= set(log[0])
    assert list(tmp_path.glob("events.*")), "TensorBoard"


def test_checkpoint(data, tmp_path):
    model, objective, *rest = make(data, adaptive=True, dual_warmup_epochs=0)
    train.fit(model, objective, *rest, out_dir=tmp_path, progress=False)
    names = [path.name for path in checkpoint.checkpoints(tmp_path)]
    assert names == ["checkpoint-00000009.pt", "checkpoint-00000006.pt"], "the last two"
    state = torch.load(tmp_path / names[0], weights_only=True)
    parts = {"model", "objective", "optimizer", "generator", "step", "rng", "recent", "config"}
    assert set(state) == parts and state["step"] == 9
    assert set(state["rng"][0]) >= {"torch", "numpy", "python"}
    for name, value in model.state_dict().items():
        assert torch.equal(state["model"][name], value)
    assert torch.equal(state["objective"]["lambdas"], objective.lambdas)
    assert not torch.equal(objective.lambdas, torch.ones(3))
    config = json.loads(state["config"])
    assert json.loads((tmp_path / "config.json").read_text()) == config
    assert config["training"]["epochs"] == 3


def test_non_finite_loss_stops_and_keeps_what_was_good(data, tmp_path):
    model, objective, views, batches, settings = make(data, log_every=3)

    class Poisoned(type(batches)):
        def epoch(self, epoch, start=0):
            for i, batch in enumerate(super().epoch(epoch, start)):
                yield batch.float() / 255 * (math.nan if epoch == 1 and i == 1 else 1)

    batches.__class__ = Poisoned
    says = r"the loss became nan .* before step 6 of 9 .*try a lower lr.*checkpoint-00000003.pt"
    with pytest.raises(train.NonFiniteLoss, match=says):
        train.fit(model, objective, views, batches, settings, out_dir=tmp_path, progress=False)
    state = torch.load(tmp_path / "checkpoint-00000003.pt", weights_only=True)
    assert state["step"] == 3 and all(v.isfinite().all() for v in state["model"].values())
    assert len(tiny.log_text(tmp_path)) == 2


def test_a_compiled_network_trains_as_the_plain_one(data, monkeypatch):
    compiled, compile = [], torch.nn.Module.compile

    def without_generated_code(module, *args, **kwargs):
        compiled.append(type(module).__name__)
        return compile(module, *args, backend="eager", **kwargs)

    monkeypatch.setattr(torch.nn.Module, "compile", without_generated_code)
    plain, other = make(data, epochs=1), make(data, epochs=1, compile=True)
    train.fit(*plain, progress=False)
    assert compiled == []
    train.fit(*other, progress=False)
    assert compiled == ["MultiSpace"]
    assert list(other[0].state_dict()) == list(plain[0].state_dict())
    torch.testing.assert_close(flat(other[0]), flat(plain[0]))


def test_when_auto_compiles(monkeypatch):
    """On a GPU that has Triton, in a long run; the compiler's errors then fall back."""
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert not device.use_compile("auto", gpu, 10**6)
    assert not torch._dynamo.config.suppress_errors
    monkeypatch.setattr(device, "find_spec", lambda name: name)
    assert not device.use_compile("auto", cpu, 10**6) and not device.use_compile("auto", gpu, 10)
    assert not torch._dynamo.config.suppress_errors
    assert device.use_compile("auto", gpu, 10**6) and torch._dynamo.config.suppress_errors
    assert device.use_compile(True, cpu, 1) and not device.use_compile(False, gpu, 10**6)


# ---------------------------------------------------------------------------- rates of its parts


def test_a_frozen_backbone_does_not_move(data):
    model, *rest = make(data, backbone_rate=0.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train.fit(model, *rest, progress=False)
    assert not torch.equal(model.projector[0][0].weight, before["projector.0.0.weight"])
    backbone = {k: v for k, v in model.state_dict().items() if k.startswith("backbone.")}
    assert backbone and all(torch.equal(value, before[name]) for name, value in backbone.items())


def test_adaptive_weight_rises_while_the_constraint_is_broken(data):
    parts = make(data, adaptive=True, dual_warmup_epochs=0, epsilon=1e-3, dual_rate=0.1, epochs=4)
    log = train.fit(*parts, progress=False)
    for space in SPACES.names:
        assert log[-1][f"lambda/{space}"] > log[0][f"lambda/{space}"] > 1


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_optimizers_train(data, name):
    lr = 1e-3 if name == "adamw" else 0.5
    log = train.fit(*make(data, optimizer=name, lr=lr, clip=1.0), progress=False)
    assert math.isfinite(log[-1]["loss"])


# -------------------------------------------------------------------------------------- settings


def test_batches_and_settings_agree(data):
    parts, settings = make(data)[:4], Training(batch_size=16)
    with pytest.raises(ValueError, match="batches hold 32 images, the settings say batch_size 16"):
        train.fit(*parts, settings, progress=False)


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"lr": "fast"}, "^lr = 'fast'; give a number$"),
        ({"epochs": 1.5}, "^epochs = 1.5; give a whole number$"),
        ({"epochs": True}, "^epochs: True is not a number; give a number$"),
        ({"epochs": 0}, "^epochs = 0; give 1 or more$"),
        ({"lr": math.inf}, "^lr = inf; give a finite number$"),
        ({"optimizer": "adam"}, "^optimizer = 'adam'; give 'adamw', 'lars' or 'sgd'$"),
        ({"epoch": 3}, r"^unknown parameter 'epoch' \(did you mean 'epochs'\?\)$"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(ValueError, match=says) as error:
        Training(**settings)
    assert "\n" not in str(error.value)


def test_a_number_given_as_text_is_read():
    assert Training(lr="1e-3").lr == 1e-3


def test_rate_scales_with_the_batch_but_for_adamw():
    assert Training(optimizer="lars", lr=0.5, batch_size=512).peak_lr == 1.0
    assert Training(optimizer="adamw", lr=1e-3, batch_size=512).peak_lr == 1e-3


def test_unknown_device():
    with pytest.raises(ValueError, match="choose auto, cpu, cuda"):
        train.pick_device("gpu")


def test_without_tensorboard_the_log_is_lines_alone(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = train.fit(*make(data), out_dir=tmp_path, progress=False)
    assert "TensorBoard is not installed" in capsys.readouterr().out
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == log
    assert not list(tmp_path.glob("events.*"))

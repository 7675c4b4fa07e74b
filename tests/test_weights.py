"""Weights in and out: a run's folder, a safetensors file, a name; a network that begins where another ended."""

import json

import pytest
import safetensors.torch
import torch
import torchvision

import msr
from msr.experiments import imagenet as experiment
from msr import models
from msr import weights
from msr.spaces import Spaces
from test_experiment import SMALL

SPACES = Spaces.of(("appearance", "spatial"), (6, 3, 3))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(experiment, "N_VAL", 60)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of the simclr family, its setup and its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "N_VAL", 60)
        out = tmp_path_factory.mktemp("out")
        setup = experiment.prepare(**{**SMALL, "family": "simclr", "out_dir": str(out)})
        return setup, setup.fit(0), out


@pytest.mark.parametrize("form", ["folder", "file", "name", "file by name"])
def test_three_lines(run, form, tmp_path, monkeypatch):
    setup, trained, out = run
    monkeypatch.setenv("MSR_MODELS", str(tmp_path))
    (tmp_path / "mine").symlink_to(out / "spaces_seed0")
    (tmp_path / "alone.safetensors").write_bytes(
        (out / "spaces_seed0" / "model.safetensors").read_bytes()
    )
    path = {
        "folder": out / "spaces_seed0",
        "file": str(out / "spaces_seed0" / "model.safetensors"),
        "name": "mine",
        "file by name": "alone",
    }[form]
    loaded = msr.load(path)
    features = loaded(setup.val.pixels)
    for name, expected in setup.embed(trained, setup.val).items():
        if name != "joined":
            torch.testing.assert_close(
                features[name], torch.from_numpy(expected), atol=1e-5, rtol=1e-4
            )
    assert (
        loaded.spaces == setup.spaces
        and loaded.projector is loaded.model.projector
        and not loaded.model.training
    )
    torch.testing.assert_close(loaded(setup.val.pixels.float() / 255)["h"], features["h"])
    assert (
        loaded.config["training"]["epochs"] == 1 and loaded.config["network"]["backbone"] == "cnn"
    )


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda d: "no_such_name", "is not a run's folder"),
        (lambda d: d, "is not a run's folder"),
        (lambda d: text(d / "a.pth", b"not weights"), "holds no weights that can be read safely"),
        (
            lambda d: stored(d / "a.safetensors", {"a": torch.zeros(1)}),
            "does not say which network it holds",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_line(make, says, tmp_path):
    with pytest.raises(ValueError, match=says) as error:
        msr.load(make(tmp_path))
    assert "\n" not in str(error.value)


def text(path, blob):
    path.write_bytes(blob)
    return path


def stored(path, state):
    safetensors.torch.save_file(state, path) if path.suffix == ".safetensors" else torch.save(
        state, path
    )
    return str(path)


@pytest.mark.parametrize(
    "wrap, suffix",
    [
        (lambda s: s, ".pth"),
        (lambda s: s, ".safetensors"),
        (lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}, ".pth"),
        (
            lambda s: {
                "model": {f"module.encoder_q.{k}": v for k, v in s.items()}
                | {"module.queue": torch.zeros(3)}
            },
            ".pth",
        ),
        (
            lambda s: {
                k: v for k, v in s.items() if "num_batches" not in k and not k.startswith("fc.")
            },
            ".pth",
        ),
    ],
)
def test_torchvisions_file(wrap, suffix, tmp_path):
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18(weights=None)
    path = stored(tmp_path / f"resnet18{suffix}", wrap(theirs.state_dict()))
    assert weights.stem_of(path) == "large"
    model = models.build("resnet18", 64, {"content": 4}, (8,), stem="large")
    assert weights.begin_from(model, path) == f"backbone from {path}"
    x = torch.rand(2, 3, 64, 64)
    theirs.fc = torch.nn.Identity()
    torch.testing.assert_close(model.eval()(x)[0], theirs.eval()(x))


@pytest.mark.parametrize(
    "backbone, size, says",
    [
        (
            "resnet18",
            64,
            r"conv1.weight is shape \[64, 3, 7, 7\] in the file, \[64, 3, 3, 3\] here",
        ),
        ("resnet34", 224, "layer1.2.conv1.weight is not in the file"),
        ("cnn", 64, r"0.weight is shape \[128, 64, 1, 1\] in the file"),
    ],
)
def test_a_backbone_that_does_not_fit(backbone, size, says, tmp_path):
    path = stored(tmp_path / "a.pth", torchvision.models.resnet18(weights=None).state_dict())
    with pytest.raises(ValueError, match=says):
        weights.begin_from(models.build(backbone, size, {"content": 4}, (8,)), path)


def test_content_keeps_its_pretrained_space(run, tmp_path):
    """The fine-tuning experiment: plain self-supervision first, then style spaces beside its frozen content."""
    plain = experiment.prepare(
        **{
            **SMALL,
            "family": "simclr",
            "groups": "",
            "sizes": "8",
            "out_dir": str(tmp_path / "plain"),
        }
    )
    first = plain.fit(0)
    fine = {
        **SMALL,
        "family": "simclr",
        "sizes": "8,4,4",
        "separate_style": True,
        "init": str(tmp_path / "plain" / "spaces_seed0"),
        "out_dir": str(tmp_path / "fine"),
    }
    setup = experiment.prepare(**fine | {"backbone_rate": 0.0})
    assert setup.build(0)[0].loaded == ("backbone.", "projector.0.")
    before, after = plain.embed(first, plain.val), setup.embed(setup.fit(0), plain.val)
    assert (before["content"] == after["content"]).all() and (before["h"] == after["h"]).all(), (
        "frozen"
    )
    moved = experiment.prepare(
        **fine | {"out_dir": str(tmp_path / "moved"), "lr": 1e-3, "backbone_rate": 0.01}
    )
    run_, shares = moved.fit(0), {}
    for name, value in run_.model.state_dict().items():
        start = moved.build(0)[0].state_dict()[name]
        if name.endswith("weight"):
            shares[name.split(".")[0] + name.split(".")[1] * ("projector" in name)] = float(
                (value - start).abs().max()
            )
    assert 0 < shares["projector0"] < 0.1 * shares["projector1"]


def test_a_rate_of_its_own_needs_trained_weights():
    with pytest.raises(ValueError, match="backbone_rate 0.1 without init"):
        experiment.prepare(**SMALL | {"backbone_rate": 0.1})
    with pytest.raises(ValueError, match="'nothing/here' is not a run's folder"):
        experiment.prepare(**SMALL | {"init": "nothing/here"})


def test_the_folder_says_what_it_holds(run):
    folder = run[2] / "spaces_seed0"
    config = json.loads((folder / "config.json").read_text())
    assert {"training", "steps", "network", "experiment", "spaces", "family"} == set(config)
    assert weights.config_of(folder / "model.safetensors") == config

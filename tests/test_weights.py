"""Weights in and out: a run's folder, a file, a name; a network that begins where another ended."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import small
import torch
import torchvision
from small import SPRITES, imagenet_setup, sprites_setup

import msr
from msr import models, weights

FIXTURE = Path(__file__).parent / "fixtures" / "run_0.1"  # a run's folder, written by version 0.1


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of the simclr family: its setup, the run and its folder."""
    with pytest.MonkeyPatch.context() as patch:
        small.few_shapes(patch)
        out = tmp_path_factory.mktemp("out")
        setup = imagenet_setup(family="simclr", out_dir=str(out))
        return setup, setup.fit(0), out / "spaces_seed0"


# -------------------------------------------------------------------------------- trained networks


@pytest.mark.parametrize("form", ["folder", "file", "name", "file by name"])
def test_three_lines(run, form, tmp_path, monkeypatch):
    setup, trained, folder = run
    monkeypatch.setenv("MSR_MODELS", str(tmp_path))
    (tmp_path / "mine").symlink_to(folder)
    file = folder / "model.safetensors"
    (tmp_path / "alone.safetensors").write_bytes(file.read_bytes())
    given = {"folder": folder, "file": str(file), "name": "mine", "file by name": "alone"}
    loaded = msr.load(given[form])
    features = loaded(setup.val.pixels)
    for name, expected in setup.embed(trained, setup.val).items():
        if name != "joined":
            expected = torch.from_numpy(expected)
            torch.testing.assert_close(features[name], expected, atol=1e-5, rtol=1e-4)
    assert loaded.spaces == setup.spaces and loaded.projector is loaded.model.projector
    assert not loaded.model.training
    torch.testing.assert_close(loaded(setup.val.pixels.float() / 255)["h"], features["h"])
    assert loaded.config["training"]["epochs"] == 1
    assert loaded.config["network"]["backbone"] == "alexnet"


def test_a_run_of_version_0_1_gives_the_same_features():
    loaded = msr.load(FIXTURE)
    expected = safetensors.torch.load_file(FIXTURE / "expected.safetensors")
    images = expected.pop("images")
    features = loaded(images)
    assert set(features) == set(expected) == {"h", "content", "appearance", "spatial"}
    for name, value in expected.items():
        torch.testing.assert_close(features[name], value, atol=1e-5, rtol=0)
    config = json.loads((FIXTURE / "config.json").read_text())
    assert loaded.config == config and config["family"] == "simclr"
    spaces = list(config["spaces"].items())
    assert list(zip(loaded.spaces.names, loaded.spaces.sizes, strict=True)) == spaces
    shapes = {name: list(value.shape) for name, value in features.items()}
    assert shapes == {"h": [3, 64]} | {name: [3, size] for name, size in spaces}


def text(path, blob):
    """A file with these bytes."""
    path.write_bytes(blob)
    return path


def stored(path, state):
    """A file of weights, by its suffix of safetensors or of torch; returns its path as text."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


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


def test_the_folder_says_what_it_holds(run):
    folder = run[2]
    config = json.loads((folder / "config.json").read_text())
    assert {"training", "steps", "network", "experiment", "spaces", "family"} == set(config)
    assert weights.config_of(folder / "model.safetensors") == config


# ------------------------------------------------------------------- beginning from other weights


def momentum(state):
    """The weights as MoCo's training script saves them, beside its queue."""
    own = {f"module.encoder_q.{k}": v for k, v in state.items()}
    return {"model": own | {"module.queue": torch.zeros(3)}}


def bare(state):
    """The weights without counters and without the classifier."""
    return {k: v for k, v in state.items() if "num_batches" not in k and not k.startswith("fc.")}


@pytest.mark.parametrize(
    "wrap, suffix",
    [
        (lambda s: s, ".pth"),
        (lambda s: s, ".safetensors"),
        (lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}, ".pth"),
        (momentum, ".pth"),
        (bare, ".pth"),
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


def test_a_deeper_network_is_not_loaded_in_part(tmp_path):
    """Every weight of a resnet18 is also in a resnet34, with the same shape."""
    path = stored(tmp_path / "a.pth", torchvision.models.resnet34(weights=None).state_dict())
    model = models.build("resnet18", 64, {"content": 4}, (8,), stem="large")
    before = model.backbone.conv1.weight.clone()
    with pytest.raises(ValueError, match="it also has layer1.2.conv1.weight; give the") as error:
        weights.begin_from(model, path)
    assert "\n" not in str(error.value) and torch.equal(model.backbone.conv1.weight, before)


def moved(model, start):
    """{module: the largest change of a weight of it} since `start`, a state_dict."""
    changes = {}
    for name, value in model.state_dict().items():
        if name.endswith("weight"):
            first, second, *_ = name.split(".")
            module = first + second * (first == "projector")
            changes[module] = float((value - start[name]).abs().max())
    return changes


def test_content_keeps_its_pretrained_space(tmp_path):
    """The fine-tuning experiment: plain self-supervision, then styles beside its frozen content."""
    first = {"family": "simclr", "groups": "", "sizes": "8", "out_dir": str(tmp_path / "plain")}
    plain = imagenet_setup(**first)
    pretrained = plain.fit(0)
    fine = {"family": "simclr", "sizes": "8,4,4", "separate_style": True}
    fine["init"] = str(tmp_path / "plain" / "spaces_seed0")

    # a frozen backbone
    setup = imagenet_setup(**fine, backbone_rate=0.0, out_dir=str(tmp_path / "fine"))
    assert setup.build(0)[0].loaded == ("backbone.", "projector.0.")
    before, after = plain.embed(pretrained, plain.val), setup.embed(setup.fit(0), plain.val)
    for name in ("content", "h"):
        assert (before[name] == after[name]).all(), f"{name} is frozen"

    # a slow one
    slow = {"lr": 1e-3, "backbone_rate": 0.01, "out_dir": str(tmp_path / "moved")}
    setup = imagenet_setup(**fine, **slow)
    changes = moved(setup.fit(0).model, setup.build(0)[0].state_dict())
    assert 0 < changes["projector0"] < 0.1 * changes["projector1"]


def test_a_rate_of_its_own_needs_trained_weights():
    with pytest.raises(ValueError, match="backbone_rate 0.1 without init"):
        imagenet_setup(backbone_rate=0.1)
    with pytest.raises(ValueError, match="'nothing/here' is not a run's folder"):
        imagenet_setup(init="nothing/here")


def test_a_run_of_version_0_1_is_loaded_not_trained_again(tmp_path, capsys):
    """Its record has lists as text and other names; only what differs in truth counts."""
    values = SPRITES | {"seed": 0, "family": "simclr", "sizes": "4,3,3", "separate_style": True}
    values |= {"backbone": "vgg", "lr": 4e-3, "temperature": 0, "out_dir": str(tmp_path)}
    values["content_pairs"] = "query"  # as all versions up to 0.2 did
    shutil.copytree(FIXTURE, tmp_path / "spaces_seed0")
    run = sprites_setup(**values).fit(0)
    assert "complete in" in capsys.readouterr().out and run.log[-1]["step"] == 2
    sprites_setup(**values | {"sizes": "4,3,2"}).fit(0)
    out = capsys.readouterr().out
    assert "held a complete run with" in out and "now [4, 3, 2]" in out and "groups" not in out
    shutil.copytree(FIXTURE, tmp_path / "b" / "spaces_seed0")
    sprites_setup(**values | {"content_pairs": "all", "out_dir": str(tmp_path / "b")}).fit(0)
    assert "with content_pairs = 'query', now 'all': set aside" in capsys.readouterr().out

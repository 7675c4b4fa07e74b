"""Parameters are checked before any work, presets follow the data, and a whole small run gives whole tables."""

import json

import numpy as np
import pytest

from msr.experiments import imagenet as experiment
from msr.report import metrics
from msr.report import tables as report

SMALL = experiment.DEFAULTS | dict(
    image_size=16,
    epochs=1,
    seeds=1,
    batch_size=16,
    max_images=64,
    probe_images=60,
    precision="float32",
    device="cpu",
    num_workers=0,
    out_dir="",
)


@pytest.fixture(autouse=True)
def no_imagenet(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(experiment, "N_VAL", 60)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"groups": "apperance,spatial"}, "unknown group 'apperance'.*did you mean 'appearance'"),
        (
            {"family": "simclear"},
            "unknown family 'simclear'.*choose simclr, vicreg, barlow, entropy",
        ),
        ({"backbone": "resnet19"}, "unknown backbone 'resnet19'; choose cnn"),
        ({"epoch": 3}, "unknown parameter 'epoch' .did you mean 'epochs'"),
        ({"sizes": "8,4"}, "3 spaces .content, appearance, spatial. but 2 sizes"),
        ({"sizes": "8,four,4"}, "sizes = '8,four,4'; give whole numbers"),
        ({"sizes": "8,0,4"}, "at least one dimension"),
        ({"lambdas": "1,1"}, "one weight ≥ 0 per space"),
        ({"augmentation": "stong"}, "did you mean 'strong'"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'; choose adamw"),
        ({"precision": "fp16"}, "unknown precision 'fp16'; choose auto, bf16, float32"),
        ({"batch_size": 65}, "batch_size 65 is larger than the 64 training images"),
        ({"data_dir": "/nowhere/at/all"}, "data_dir '/nowhere/at/all' is not a folder"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"seeds": 0}, "seeds = 0; give a whole number, 1 or more"),
        ({"epochs": 0}, "epochs = 0; give 1 or more"),
        ({"image_size": 8}, "image_size = 8; give a whole number, 16 or more"),
        ({"image_size": "64"}, "image_size = '64'; give a whole number"),
        ({"lambdas": "1,a,1"}, "lambdas = '1,a,1'; give numbers"),
        ({"lr": "fast"}, "lr = 'fast'; give a number"),
        ({"paired": "maybe"}, "paired = 'maybe'; give True or False"),
        ({"devices": 3}, "batch_size 16 does not divide over 3 devices"),
        ({"devices": 0}, "devices = 0; give a whole number, 1 or more"),
        ({"max_bad": 2}, "max_bad = 2; give a number from 0 to 1"),
        ({"backbone_rate": -1, "init": "a"}, "backbone_rate = -1; give a number from 0 on"),
        ({"paired": True, "batch_size": 2}, "batch_size 2 is too small for paired views"),
    ],
)
def test_bad_input_is_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        experiment.prepare(**{**SMALL, **changes})
    assert "\n" not in str(error.value)


def test_the_command_lines_yes_and_no_and_numbers():
    setup = experiment.prepare(**{**SMALL, "paired": "true", "vanilla": "false", "lambdas": 2})
    assert setup.views.paired and setup.chosen["vanilla"] is False
    assert setup.build(0)[1].lambdas.tolist() == [2, 2, 2]


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="parameter 'val_dir' is missing"):
        experiment.prepare(data_dir="")


def test_too_few_held_out(photographs):
    with pytest.raises(ValueError, match="only 5 held-out images"):
        experiment.prepare(**{**SMALL, "data_dir": str(photographs / "train"), "batch_size": 8})


def test_a_number_as_text_is_named():
    with pytest.raises(TypeError, match="epochs = '3' is a str; give an int"):
        experiment.prepare(**{**SMALL, "epochs": "3"})


def test_presets_follow_the_data(photographs, monkeypatch):
    shapes = experiment.prepare(**SMALL).chosen
    assert (shapes["family"], shapes["backbone"], shapes["augmentation"]) == (
        "entropy",
        "cnn",
        "shapes",
    )
    photos = experiment.prepare(**{**SMALL, "data_dir": str(photographs)}).chosen
    assert (photos["family"], photos["augmentation"]) == ("simclr", "small")
    monkeypatch.setenv("IMAGENET_DIR", str(photographs))
    monkeypatch.setattr(
        experiment.Setup, "build", lambda self, seed: None
    )  # ResNet-50 with 8192s: not built here
    paper = experiment.prepare(**{**SMALL, "image_size": 224})
    c = paper.chosen
    assert (c["backbone"], c["optimizer"], c["lr"], c["hidden"], paper.spaces.dim) == (
        "resnet50",
        "lars",
        0.5,
        (8192, 8192),
        2048,
    )
    assert (
        experiment.prepare(**{**SMALL, "image_size": 224, "family": "vicreg"}).chosen["lr"] == 0.3
    )
    assert (
        paper.views.query.transforms["blur"].p == 1.0
        and paper.views.key.transforms["blur"].p == 0.1
    )


def test_other_groups_get_even_sizes():
    setup = experiment.prepare(**{**SMALL, "groups": "color,crop,flip", "augmentation": "medium"})
    assert setup.spaces.names == ("content", "color", "crop", "flip") and setup.spaces.sizes == (
        10,
        2,
        2,
        2,
    )
    assert experiment.even_sizes(16, 0) == [16] and sum(experiment.even_sizes(128, 3)) == 128


@pytest.mark.parametrize("paired", [False, True])
def test_a_whole_run(tmp_path, paired):
    setup = experiment.prepare(**{**SMALL, "out_dir": str(tmp_path), "paired": paired})
    record = metrics.Metrics("imagenet", SMALL, "cpu", tmp_path)
    run, plain = setup.fit(0), setup.fit(0, vanilla=True)
    assert json.loads((tmp_path / "spaces_seed0" / "config.json").read_text())["spaces"] == {
        "content": 8,
        "appearance": 4,
        "spatial": 4,
    }
    assert plain.log[-1]["step"] == run.log[-1]["step"] * (1 if paired else 2), (
        "equal views processed"
    )
    assert plain.model.spaces.dim == run.model.spaces.dim
    main = record.add("main", [setup.probe(run)])
    record.add("vanilla", [setup.probe(plain)])
    record.add("sensitivity", [setup.sensitivity(run)])
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert set(written) == {
        "notebook",
        "params",
        "device",
        "seconds",
        "versions",
        "commit",
        "tables",
    }
    assert set(written["tables"]["main"]) == {"h", "content", "appearance", "spatial", "joined"}
    assert {
        "shape_linear",
        "shape_knn",
        "color_linear",
        "position",
        "brightness",
        "hue",
        "crop_x",
        "crop_size",
    } <= set(main["h"])
    assert set(written["tables"]["sensitivity"]["content"]) == {"appearance", "spatial"}
    assert set(main["h"]["hue"]) == {"value", "std", "n"} and main["h"]["hue"]["n"] == 1
    labels, styles = report.columns(main)
    assert "one seed: none" in report.compare([run], [plain], labels + styles, metrics.paired)
    assert "| shape (linear) |" in report.best_spaces(main, labels, setup.spaces.names)


def test_two_processes_train_what_one_trains(tmp_path):
    """`devices = 2`: spawned workers, the same views and data order, weights and log through files; and the run is then complete for one."""
    alone = experiment.prepare(**{**SMALL, "out_dir": str(tmp_path / "one")}).fit(0)
    setup = experiment.prepare(**{**SMALL, "out_dir": str(tmp_path / "two"), "devices": 2})
    run = setup.fit(0)
    assert [line["step"] for line in run.log] == [line["step"] for line in alone.log]
    assert run.log[0]["loss"] == pytest.approx(alone.log[0]["loss"], abs=1e-4)
    again = experiment.prepare(**{**SMALL, "out_dir": str(tmp_path / "two")}).fit(0)
    assert all(
        (a == b).all()
        for a, b in zip(run.model.state_dict().values(), again.model.state_dict().values())
    )


def test_what_stops_the_workers_is_one_line(tmp_path, monkeypatch):
    setup = experiment.prepare(**{**SMALL, "out_dir": str(tmp_path), "devices": 2})
    monkeypatch.setitem(setup.asked, "family", "simclear")
    with pytest.raises(
        ValueError, match="^unknown family 'simclear'.*choose simclr, vicreg, barlow, entropy"
    ):
        setup.fit(0)


def test_no_groups_is_plain_self_supervision(tmp_path):
    setup = experiment.prepare(**{**SMALL, "groups": "", "out_dir": str(tmp_path)})
    run = setup.fit(0)
    assert setup.spaces.names == ("content",) and setup.spaces.dim == 16
    assert set(setup.sensitivity(run)["content"]) == {"appearance", "spatial"}
    assert report.promises(metrics.over_seeds([setup.probe(run)]), setup.spaces.names) == ""


def test_sentences_follow_the_numbers():
    def cells(**values):
        return {k: {"value": v, "std": None, "n": 1} for k, v in values.items()}

    table = {
        "content": cells(shape_linear=0.2, hue=0.1),
        "appearance": cells(shape_linear=0.7, hue=0.9),
        "spatial": cells(shape_linear=0.1, hue=0.0),
    }
    shape, hue = report.promises(table, list(table)).splitlines()
    assert (
        "**not as promised**" in shape
        and "0.70 elsewhere (`appearance`)" in shape
        and hue.endswith("as promised.")
    )
    close = {
        name: {"hue": {"value": v, "std": 0.05, "n": 3}}
        for name, v in (("content", 0.10), ("appearance", 0.14))
    }
    assert "**undecided**" in report.promises(close, list(close))
    close["appearance"]["hue"]["value"] = 0.3
    assert "by a narrow lead" in report.promises(close, list(close))
    table = {"content": cells(a=0.1, b=0.2), "a": cells(a=0.8, b=0.4), "b": cells(a=0.1, b=0.5)}
    text = report.sensitivity_sentence(table, list(table))
    assert (
        "`a` reacts to its own group with 0.80 and to the other with 0.40: 2.0 times" in text
        and "`content` reacts with 0.20 at most" in text
    )


def test_flat_folder_skips_label_probes(photographs, tmp_path, monkeypatch):
    import shutil

    for i, path in enumerate(sorted((photographs / "train").rglob("*.*"))):
        shutil.copy(path, tmp_path / f"{i}{path.suffix}")
    monkeypatch.setattr(experiment, "MIN_VAL", 5)
    setup = experiment.prepare(
        **{**SMALL, "data_dir": str(tmp_path), "batch_size": 8, "out_dir": str(tmp_path / "out")}
    )
    table = metrics.over_seeds([setup.probe(setup.fit(0))])
    labels, styles = report.columns(table)
    assert labels == [] and "hue" in styles


def test_mean_and_spread_over_seeds():
    table = metrics.over_seeds([{"h": {"a": v}} for v in (1.0, 2.0, 6.0)])
    assert table["h"]["a"] == {
        "value": 3.0,
        "std": pytest.approx(np.std([1, 2, 6], ddof=1)),
        "n": 3,
    }
    assert metrics.over_seeds([{"h": {"a": 1.0}}])["h"]["a"]["std"] is None


def test_paired_interval():
    # differences 1, 2, 3: mean 2, standard error 1/√3, t(2) at 97.5 % = 4.3027
    assert metrics.paired([2, 4, 6], [1, 2, 3]) == (2.0, pytest.approx(4.3027 / 3**0.5, rel=1e-4))

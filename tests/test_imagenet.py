"""The experiment on images: bad input in one line, defaults by the images, small whole runs."""

import json
import shutil
from dataclasses import replace

import pytest
import small
from small import IMAGENET, imagenet_setup

from msr.experiments import imagenet
from msr.experiments.plan import Plan
from msr.report import metrics, sentences, tables


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


# ------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"groups": "apperance,spatial"}, "unknown group 'apperance'.*did you mean 'appearance'"),
        (
            {"family": "simclear"},
            "unknown family 'simclear' .did you mean 'simclr'.*choose simclr, vicreg, barlow, entr",
        ),
        ({"backbone": "resnet19"}, "unknown backbone 'resnet19' .did you mean"),
        ({"epoch": 3}, "unknown parameter 'epoch' .did you mean 'epochs'"),
        ({"sizes": "8,4"}, "3 spaces .content, appearance, spatial. but 2 sizes"),
        ({"sizes": "8,four,4"}, "sizes = 'four'; give a whole number"),
        ({"sizes": [8, 4.5, 4]}, "sizes = 4.5; give a whole number"),
        ({"sizes": "8,0,4"}, "sizes = '0'; give 1 or more"),
        ({"sizes": True}, "sizes: True is not a number; give a number"),
        ({"lambdas": "1,1"}, "one weight ≥ 0 per space"),
        ({"lambdas": "1,1,-1"}, "one weight ≥ 0 per space"),
        ({"lambdas": "1,a,1"}, "lambdas = 'a'; give a number"),
        ({"augmentation": "stong"}, "did you mean 'strong'"),
        ({"optimizer": "adam"}, "optimizer = 'adam'; give '', 'adamw', 'lars' or 'sgd'"),
        ({"precision": "fp16"}, "precision = 'fp16'; give 'auto', 'bf16' or 'float32'"),
        ({"batch_size": 65}, "batch_size 65 is larger than the 64 training images"),
        ({"data_dir": "/nowhere/at/all"}, "data_dir '/nowhere/at/all' is not a folder"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"seeds": 0}, "seeds = 0; give 1 or more"),
        ({"seeds": True}, "seeds: True is not a number; give a number"),
        ({"epochs": 0}, "epochs = 0; give 1 or more"),
        ({"epochs": 1.5}, "epochs = 1.5; give a whole number"),
        ({"image_size": 8}, "image_size = 8; give 16 or more"),
        ({"image_size": -1}, "image_size = -1; give 0 or more"),
        ({"image_size": "large"}, "image_size = 'large'; give a whole number"),
        ({"lr": "fast"}, "lr = 'fast'; give a number"),
        ({"lr": float("inf")}, "lr = inf; give a finite number"),
        ({"paired": "maybe"}, "paired = 'maybe'; give True or False"),
        ({"devices": 3}, "batch_size 16 does not divide over 3 devices"),
        ({"devices": 0}, "devices = 0; give 1 or more"),
        ({"devices": 2, "device": "cpu:0"}, "devices 2 with device 'cpu:0'"),
        ({"max_bad": 2}, "max_bad = 2; give 1 or less"),
        ({"backbone_rate": -1, "init": "a"}, "backbone_rate = -1; give 0 or more"),
        ({"paired": True, "batch_size": 2}, "batch_size 2 is too small for paired views"),
        ({"loss_settings": "beta=1"}, "unknown setting 'beta' of family 'entropy'"),
    ],
)
def test_bad_input_is_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        imagenet_setup(**changes)
    assert "\n" not in str(error.value)


def test_the_command_lines_yes_and_no_and_numbers():
    setup = imagenet_setup(paired="true", vanilla="false", lambdas=2, epochs="3")
    assert setup.views.paired and setup.config.vanilla is False and setup.training.epochs == 3
    assert setup.build(0)[1].lambdas.tolist() == [2, 2, 2]


@pytest.mark.parametrize("lambdas, plain", [([2], 2), ([3, 1, 1], 3), ([], 25)])
def test_plain_self_supervision_has_the_lambda_of_content(lambdas, plain, tmp_path):
    setup = imagenet_setup(lambdas=lambdas, family="vicreg", out_dir=str(tmp_path))
    assert setup.build(0, vanilla=True)[1].lambdas.tolist() == [plain]
    setup.fit(0, vanilla=True, progress=False)
    config = json.loads((tmp_path / "vanilla_seed0" / "config.json").read_text())
    assert config["experiment"].get("plain_lambda") == (plain if lambdas else None)


def test_a_missing_parameter_has_its_default():
    setup = imagenet_setup()
    assert setup.config.val_dir == "" and setup.views.groups == ("appearance", "spatial")
    assert setup.asked == imagenet.Parameters(**IMAGENET), "as given, nothing filled in"


def test_too_few_held_out(photographs):
    with pytest.raises(ValueError, match="only 5 held-out images"):
        imagenet_setup(data_dir=str(photographs / "train"), batch_size=8)


def test_presets_follow_the_images(photographs, monkeypatch):
    shapes = imagenet_setup().config
    small = ("entropy", "alexnet", "shapes", 1.0)
    found = (shapes.family, shapes.backbone, shapes.augmentation, shapes.content_spread)
    assert found == small
    photos = imagenet_setup(data_dir=str(photographs)).config
    assert (photos.family, photos.augmentation) == ("simclr", "small")
    monkeypatch.setenv("IMAGENET_DIR", str(photographs))
    monkeypatch.setattr(Plan, "build", lambda self, seed: None)  # a ResNet-50 takes long to build
    paper = imagenet_setup(image_size=224)
    c = paper.config
    assert (c.backbone, c.optimizer, c.lr, c.hidden) == ("resnet50", "lars", 0.5, (8192, 8192))
    assert paper.spaces.dim == 2048
    assert imagenet_setup(image_size=224, family="vicreg").config.lr == 0.3
    query, key = (side.transforms["blur"].p for side in (paper.views.query, paper.views.key))
    assert query == 1.0 and key == 0.1


def test_a_preset_gives_way_to_what_is_given():
    c = imagenet_setup(width=8, hidden=[], lr=0.01, temperature=0.5, sizes="3,2,2").config
    assert (c.width, c.hidden, c.lr, c.sizes) == (8, (512,), 0.01, (3, 2, 2))
    assert c.settings_of_loss == {"temperature": 0.5}
    assert imagenet_setup(optimizer="sgd").config.lr == 0.3


@pytest.mark.parametrize("given, weight", [({}, 1.0), ({"content_spread": 0}, 0.0)])
def test_a_weight_of_zero_is_given_and_not_empty(given, weight):
    setup = imagenet_setup(**given)
    assert setup.config.content_spread == setup.build(0)[1].content_spread == weight
    assert setup.build(0, vanilla=True)[1].content_spread == weight, "all of ours but the styles"


def test_warmup_is_a_tenth_of_a_short_run_unless_it_is_given():
    assert imagenet_setup().training.warmup_epochs == pytest.approx(0.1)
    assert imagenet_setup(epochs=40).training.warmup_epochs == 2
    assert imagenet_setup(warmup_epochs=0.5).training.warmup_epochs == 0.5
    assert imagenet_setup(warmup_epochs=0).training.warmup_epochs == 0


def test_other_groups_get_even_sizes():
    setup = imagenet_setup(groups="color,crop,flip", augmentation="medium")
    assert setup.spaces.names == ("content", "color", "crop", "flip")
    assert setup.spaces.sizes == (12, 4, 4, 4)
    assert imagenet.even_sizes(16, 0) == [16] and sum(imagenet.even_sizes(128, 3)) == 128


def test_rendered_sprites_by_name():
    setup = imagenet_setup(data_dir="sprites", image_size=0)
    assert setup.source == "rendered images, `sprites`" and setup.config.image_size == 48
    assert setup.config.augmentation == "shapes" and set(setup.val.labels) == {"shape", "color"}


# ------------------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("paired", [False, True])
def test_a_whole_run(tmp_path, paired):
    setup = imagenet_setup(out_dir=str(tmp_path), paired=paired)
    record = metrics.Metrics("imagenet", setup.config.model_dump(), "cpu", tmp_path)
    run, plain = setup.fit(0), setup.fit(0, vanilla=True)
    sizes = {"content": 16, "appearance": 4, "spatial": 4}
    config = json.loads((tmp_path / "spaces_seed0" / "config.json").read_text())
    assert config["spaces"] == sizes
    steps = run.log[-1]["step"] * (1 if paired else 2)
    assert plain.log[-1]["step"] == steps, "equal views processed"
    assert plain.model.spaces.dim == run.model.spaces.dim

    # the tables
    main = record.add("main", [setup.probe(run)])
    vanilla = record.add("vanilla", [setup.probe(plain)])
    record.add("sensitivity", [setup.sensitivity(run)])
    written = json.loads((tmp_path / "metrics.json").read_text())
    parts = {"notebook", "params", "device", "seconds", "versions", "commit", "tables"}
    assert set(written) == parts
    assert set(written["tables"]["main"]) == {"h", *sizes, "joined"}
    targets = {"shape_linear", "shape_knn", "color_linear", "position"}
    assert targets | {"brightness", "hue", "crop_x", "crop_size"} <= set(main["h"])
    assert set(written["tables"]["sensitivity"]["content"]) == {"appearance", "spatial"}
    assert set(main["h"]["hue"]) == {"value", "std", "n", "values"} and main["h"]["hue"]["n"] == 1

    # the sentences
    labels, styles = tables.columns(main, setup.views.targets())
    assert "one seed: no verdict" in tables.compare(main, vanilla, labels + styles)
    assert "| shape (linear) |" in tables.best_spaces(main, labels, setup.spaces.names)
    facts = setup.facts()
    assert facts.spaces == sizes and facts.probed == (60, 60) and facts.n_train == 64
    assert "64 images for training" in sentences.made_by("imagenet", "smoke", facts)


def test_two_processes_train_what_one_trains(tmp_path):
    """With `devices` 2 there are two workers: the views and the order of the data stay the same.

    Weights and log come back through files, and the run is complete for one process too.
    """
    alone = imagenet_setup(out_dir=str(tmp_path / "one")).fit(0)
    run = imagenet_setup(out_dir=str(tmp_path / "two"), devices=2).fit(0)
    assert [line["step"] for line in run.log] == [line["step"] for line in alone.log]
    assert run.log[0]["loss"] == pytest.approx(alone.log[0]["loss"], abs=1e-4)
    again = imagenet_setup(out_dir=str(tmp_path / "two")).fit(0)
    pairs = zip(run.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    assert all((a == b).all() for a, b in pairs)


def test_what_stops_the_workers_is_one_line(tmp_path):
    setup = imagenet_setup(out_dir=str(tmp_path), devices=2)
    wrong = setup.asked.model_copy(update={"family": "simclear"})
    says = "^unknown family 'simclear'.*choose simclr, vicreg, barlow, entropy"
    with pytest.raises(ValueError, match=says):
        replace(setup, asked=wrong).fit(0)


def test_no_groups_is_plain_self_supervision(tmp_path):
    setup = imagenet_setup(groups="", out_dir=str(tmp_path))
    run = setup.fit(0)
    assert setup.spaces.names == ("content",) and setup.spaces.dim == 24
    assert set(setup.sensitivity(run)["content"]) == {"appearance", "spatial"}
    table = metrics.over_seeds([setup.probe(run)])
    homes = setup.views.homes([*setup.val.labels, *setup.val.factors])
    assert homes and sentences.promises(table, setup.spaces.names, homes) == ""


def test_a_folder_without_classes_skips_label_probes(photographs, tmp_path, monkeypatch):
    for i, path in enumerate(sorted((photographs / "train").rglob("*.*"))):
        shutil.copy(path, tmp_path / f"{i}{path.suffix}")
    monkeypatch.setattr(imagenet, "MIN_VAL", 5)
    out_dir = str(tmp_path / "out")
    setup = imagenet_setup(data_dir=str(tmp_path), batch_size=8, out_dir=out_dir)
    table = metrics.over_seeds([setup.probe(setup.fit(0))])
    labels, styles = tables.columns(table, setup.views.targets())
    assert labels == [] and "hue" in styles

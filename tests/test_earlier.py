"""Networks trained earlier are read, never trained, renamed or written to."""

import json
import shutil

import pytest
import safetensors.torch
import small
import torch
from small import TRANSFER, imagenet_setup

from msr.experiments import earlier, launch, transfer
from msr.train import Stopped, loop

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A folder with two seeds of networks with style spaces, and of plain ones."""
    root = tmp_path_factory.mktemp("earlier")
    with pytest.MonkeyPatch.context() as patch:
        small.few_shapes(patch)
        setup = imagenet_setup(out_dir=str(root / "runs"), seeds=2, width=8)
        for seed in (0, 1):
            setup.fit(seed)
            setup.fit(seed, vanilla=True)
    return root / "runs"


@pytest.fixture(autouse=True)
def no_training(there, monkeypatch):
    """Nothing is trained or rendered for training, and no file of the runs changes."""
    small.few_shapes(monkeypatch)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in there.rglob("*")}
    yield
    assert before == {
        path: (path.stat().st_mtime_ns, path.stat().st_size) for path in there.rglob("*")
    }
    assert [path.name for path in there.parent.iterdir()] == ["runs"]


def prepared(where, **changes):
    return transfer.prepare(transfer.Parameters(**TRANSFER | {"trained": str(where)} | changes))


def test_networks_are_read_whatever_the_other_parameters(there, monkeypatch):
    monkeypatch.setattr(transfer, "load_data", lambda *_: pytest.fail("training images were read"))
    setup = prepared(there, epochs=7, batch_size=9, seeds=5, seed=40, fresh=True, image_size=0)
    runs, baseline = earlier.networks(setup)
    assert [run.seed for run in runs] == [run.seed for run in baseline] == [0, 1]
    assert setup.spaces.names == ("content", "appearance", "spatial")
    assert (setup.config.image_size, setup.config.seeds, setup.config.family) == (16, 2, "entropy")
    text = earlier.made_by("transfer", setup)
    assert "in `runs`, which it reads and does not change" in text and "seed 0, 1, on cpu" in text
    assert "no verdicts" not in text and "left out" not in text


def test_how_they_were_trained_is_in_their_parameters(there):
    """So that the page finds a kept run of the same experiment."""
    trained, config = imagenet_setup(width=8, out_dir="").config, prepared(there).config
    for name in ("augmentation", "lambdas", "content_spread", "width", "hidden", "batch_size"):
        assert getattr(config, name) == getattr(trained, name), name


def test_networks_that_the_page_beside_them_did_not_have_are_left_out(there, tmp_path):
    """An earlier page had more seeds, one of them unfinished; the last one had seed 0 alone."""
    shutil.copytree(there, tmp_path / "r")
    (tmp_path / "r" / "spaces_seed4").mkdir()
    (tmp_path / "r" / "metrics.json").write_text(json.dumps({"params": {"seed": 0, "seeds": 1}}))
    runs, baseline = earlier.networks(prepared(tmp_path / "r", out_dir=str(tmp_path / "out")))
    assert [run.seed for run in runs] == [run.seed for run in baseline] == [0]
    (tmp_path / "r" / "metrics.json").write_text("{")
    (tmp_path / "r" / "spaces_seed4").rmdir()
    assert len(earlier.folders(str(tmp_path / "r"))) == 4


def test_they_are_the_networks_that_were_trained(there):
    """The features are those that the experiment that trained them gives."""
    trained = imagenet_setup(out_dir=str(there), seeds=2, width=8)
    setup = prepared(there)
    for vanilla, runs in zip((False, True), earlier.networks(setup), strict=True):
        expected = trained.embed(trained.fit(1, vanilla), trained.val_probe)
        found = setup.embed(runs[1], trained.val_probe)
        assert all((found[space] == z).all() for space, z in expected.items())


@pytest.mark.parametrize(
    "form", ["spaces_seed1", "vanilla_seed1", "spaces_seed1/model.safetensors"]
)
def test_a_single_network_has_no_baseline(there, form):
    setup = prepared(there / form)
    (run,), baseline = earlier.networks(setup)
    assert run.seed == 1 and baseline == [] and setup.spaces == run.model.spaces
    text = earlier.made_by("transfer", setup)
    assert "no seeds to compare and no verdicts" in text and "that comparison is left out" in text
    tasks = transfer.rendered(60, 60, setup.config.image_size)[:1]
    table = transfer.evaluate(setup, run, tasks, n_l2=1)
    assert set(table) == {"h", "joined", *run.model.spaces.names}


def copied(there, tmp_path, *names):
    for name in names:
        shutil.copytree(there / name, tmp_path / name)
    return tmp_path


def test_plain_networks_of_other_seeds_are_refused(there, tmp_path):
    where = copied(there, tmp_path, "spaces_seed0", "spaces_seed1", "vanilla_seed1")
    says = r"of seeds .0, 1. and plain networks of seeds .1.; both need the same seeds"
    with pytest.raises(ValueError, match=says) as error:
        prepared(where)
    assert "\n" not in str(error.value)


def test_networks_that_differ_are_refused(there, tmp_path):
    where = copied(there, tmp_path, "spaces_seed0")
    imagenet_setup(out_dir=str(where), width=4, seed=3).fit(3)
    with pytest.raises(ValueError, match="differ: seed 3 has network.width = 8, now 4; give a fol"):
        prepared(where)


def test_an_unfinished_run_is_refused(there, tmp_path, monkeypatch):
    save = loop.State.save

    def saved(self, *rest):
        save(self, *rest)
        raise Stopped("stopped")

    monkeypatch.setattr(loop.State, "save", saved)
    with pytest.raises(Stopped):
        imagenet_setup(out_dir=str(tmp_path), epochs=2).fit(0)
    with pytest.raises(ValueError, match="is unfinished .step 4 of 8.: resume its training first"):
        prepared(tmp_path / "spaces_seed0")


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"image_size": 32}, "image_size = 32, there 16.; leave these parameters out"),
        ({"groups": "color", "image_size": 0}, "groups = .'color',., there"),
        ({"family": "simclr"}, "family = 'simclr', there 'entropy'"),
        ({"trained": "/nowhere"}, "'/nowhere' is not a run's folder"),
        ({"tasks": "/nowhere"}, "'/nowhere' is not a folder"),
    ],
)
def test_what_does_not_fit_is_one_line(there, changes, says):
    with pytest.raises(ValueError, match=says) as error:
        prepared(**{"where": there} | changes) if "trained" not in changes else prepared("/nowhere")
    assert "\n" not in str(error.value)


def test_the_command_has_nothing_to_train(there):
    with pytest.raises(ValueError, match="nothing to train; leave trained empty to train"):
        launch.run({"experiment": "transfer", "trained": str(there), "device": "cpu"})


def test_weights_that_are_no_run(there, tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="does not say which network it holds"):
        earlier.network(str(tmp_path / "a.pth"), CPU)


@pytest.mark.parametrize(
    "change",
    [{"training": {}}, {"training": {"seed": "<script>"}}, {"steps": "many"}, {"family": ["a"]}],
)
def test_a_strangers_record_is_one_line(there, tmp_path, change):
    path = tmp_path / "model.safetensors"
    with safetensors.safe_open(there / "spaces_seed0" / "model.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    metadata["config"] = json.dumps(json.loads(metadata["config"]) | change)
    safetensors.torch.save_file(weights, path, metadata)
    with pytest.raises(ValueError, match="does not say how it was trained|unknown|family") as error:
        prepared(path)
    assert "\n" not in str(error.value)


def test_the_settings_shown_are_those_of_the_networks(there):
    setup = prepared(there, epochs=7, batch_size=9)
    assert (setup.config.epochs, setup.config.batch_size) == (1, 16)

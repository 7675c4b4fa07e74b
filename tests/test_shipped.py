"""The networks that come with the library: small, of a run that is kept, and as good as it says."""

import json

import pytest
import small
from sklearn.neighbors import KNeighborsClassifier
from small import imagenet_setup, sprites_setup

import keep
import msr
from msr import weights
from msr.data import RENDERED
from msr.experiments.shipped import shipped
from msr.report import kept
from msr.weights import stored

NOTEBOOKS = {network: notebook for notebook, network in keep.NETWORKS.items()}
LARGEST = 3 * 10**6  # bytes


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    """A folder without networks, and no cache of any."""
    monkeypatch.setenv("MSR_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_each_is_the_first_network_of_a_run_that_is_kept():
    assert weights.shipped() == sorted(NOTEBOOKS)
    for name, notebook in NOTEBOOKS.items():
        record = json.loads((kept.RESULTS / f"{notebook}.json").read_text())
        config = msr.load(name).config
        origin = config["provenance"]
        assert [origin[k] for k in ("notebook", "commit", "versions", "device")] == [
            record[k] for k in ("notebook", "commit", "versions", "device")
        ]
        assert origin["seed"] == config["training"]["seed"] == record["params"]["seed"]
        assert config["training"]["epochs"] == record["params"]["epochs"]
        path = stored.locate(name)
        assert path.stat().st_size <= LARGEST
        assert b"/home" not in path.read_bytes() and b"/work" not in path.read_bytes()


@pytest.mark.parametrize(
    "name, size, home",
    [
        ("shapes", 48, {"texture": "content", "color": "appearance"}),
        ("sprites", 32, {"shape": "content", "color": "appearance"}),
    ],
)
def test_each_encodes_what_its_page_says(name, size, home):
    """Against the accuracy in the table of its own seed, with fewer images to fit on."""
    record = json.loads((kept.RESULTS / f"{NOTEBOOKS[name]}.json").read_text())
    table = record["tables"]["main" if name == "shapes" else "strong"]
    fit, test = RENDERED[name](n_train=800, n_val=400, size=size)
    z, z_test = (msr.load(name)(split.pixels) for split in (fit, test))
    for factor, space in home.items():
        near = KNeighborsClassifier(5).fit(z[space], fit.labels[factor])
        found = near.score(z_test[space], test.labels[factor])
        key = factor if name == "sprites" else f"{factor}_knn"
        assert found > table[space][key]["values"][0] - 0.1, (factor, found)
        other = next(iter({*home.values()} - {space}))
        blind = KNeighborsClassifier(5).fit(z[other], fit.labels[factor])
        assert found > blind.score(z_test[other], test.labels[factor]) + 0.2, factor


def test_a_page_takes_one_only_for_the_network_that_it_trains(tmp_path, monkeypatch):
    small.few_shapes(monkeypatch)
    own = {"backbone": "alexnet", "width": 32, "image_size": 48, "sizes": (16, 4, 4)}
    setup = imagenet_setup(
        family="entropy", hidden=(512,), out_dir=str(tmp_path), **own, batch_size=8
    )
    run = shipped(setup, "shapes")
    assert run is not None and run.log == [] and run.seed == 0
    features = setup.embed(run, setup.val)
    assert features["appearance"].shape == (len(setup.val), 4)
    assert shipped(setup, "sprites") is None
    assert shipped(sprites_setup(out_dir=str(tmp_path)), "sprites") is None
    (tmp_path / "shapes").write_text("a file of this name in the working folder is not taken")
    assert shipped(setup, "shapes") is not None


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run of sprites, seed 20, and a function that writes its metrics."""
    monkeypatch.setattr(keep, "RESULTS", tmp_path)
    monkeypatch.setattr(keep, "SHIPPED", tmp_path / "shipped")
    config = msr.load("sprites").config
    folder = tmp_path / "sprites"
    network = folder / f"spaces_seed{config['training']['seed']}"
    network.mkdir(parents=True)
    (network / "model.safetensors").write_bytes(stored.locate("sprites").read_bytes())

    def write(**given):
        params = {"seed": 20, "epochs": config["training"]["epochs"], "out_dir": "/x"} | given
        (folder / "metrics.json").write_text(json.dumps(WHERE | {"params": params}))
        return folder / "metrics.json"

    return write


WHERE = {"notebook": "sprites", "commit": "a" * 12, "versions": {"torch": "2"}, "device": "cpu"}


def test_keeping_a_run_ships_its_first_network(run, tmp_path):
    keep.keep(run())
    found = weights.config_of(tmp_path / "shipped" / "sprites.safetensors")
    assert found["provenance"] == WHERE | {"seed": 20}
    assert (tmp_path / "sprites.json").exists()


def test_a_run_on_other_images_ships_nothing(run, tmp_path):
    keep.keep(run(npz="dsprites.npz"))
    assert (tmp_path / "sprites.json").exists() and not (tmp_path / "shipped").exists()


@pytest.mark.parametrize("given", [{"seed": 21}, {"epochs": 1}])
def test_a_network_that_is_not_that_of_the_run_keeps_nothing(given, run, tmp_path):
    with pytest.raises(SystemExit, match="cannot be read|is of another run"):
        keep.keep(run(**given))
    assert not (tmp_path / "sprites.json").exists() and not (tmp_path / "shipped").exists()


def test_a_name_that_nobody_knows_is_told_the_ones_that_are_there():
    with pytest.raises(ValueError, match=r"'nothing' is not .* or one of shapes"):
        msr.load("nothing")

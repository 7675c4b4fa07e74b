"""A trained network on any images: what it takes, what it refuses, and that nothing is silent."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import small
import torch
from pictures import noise
from PIL import Image
from small import imagenet_setup
from torchvision.transforms import functional

import msr
from msr import models
from msr.data.folders import sources
from msr.data.places import Place


@pytest.fixture(scope="module")
def run(tmp_path_factory, photographs):
    """A short run on files: its setup, the run, the network as it is loaded, and its files."""
    with pytest.MonkeyPatch.context() as patch:
        small.few_shapes(patch)
        out = tmp_path_factory.mktemp("out")
        setup = imagenet_setup(
            data_dir=str(photographs), family="simclr", backbone="cnn", out_dir=str(out)
        )
        trained = setup.fit(0)
    files = list(sources(Place(str(photographs / "val"), "data_dir")).source.names)
    return setup, trained, msr.load(out / "spaces_seed0"), files


@pytest.fixture(scope="module")
def network(run):
    return run[2]


def same(a, b, rows=slice(None), atol=1e-5):
    """Whether two answers agree, the second in some of its rows."""
    assert set(a) - {"joined"} == set(b) - {"joined"}
    for name in a:
        if name != "joined":
            expected = torch.as_tensor(b[name])[rows]
            torch.testing.assert_close(torch.as_tensor(a[name]), expected, atol=atol, rtol=1e-4)


def test_a_file_has_the_features_that_the_experiment_gives_it(run):
    """Photographs that are not square, in three colour modes and of many sizes, in batches."""
    setup, trained, network, files = run
    expected = setup.embed(trained, setup.val_probe)
    assert len(files) == len(expected["h"]) == 24
    same(network(files, batch_size=7), expected)
    same(network(Path(files[3])), expected, rows=[3])
    pngs = [i for i, file in enumerate(files) if file.endswith("png")]  # JPEGs decode smaller
    same(network([Image.open(files[i]) for i in pngs]), expected, rows=pngs)
    square = next(i for i in pngs if Image.open(files[i]).size == (40, 40))
    pixels = setup.readable(setup.val_probe).fetch(torch.tensor([square]))
    same(network(pixels), expected, rows=[square])
    mixed = [files[1], Image.open(files[pngs[0]]), pixels[0]]
    same(network(mixed), expected, rows=[1, pngs[0], square])


def test_any_size_is_the_centre_square_resized(network):
    """As torchvision resizes it, with antialiasing; what lies beside the square does not count."""
    square = torch.rand(5, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    resized = functional.resize(square, [16, 16], antialias=True)
    same(network(square), network(resized), atol=1e-4)
    wide = torch.nn.functional.pad(square, (20, 20), value=0.5)  # to the left and right
    same(network(wide), network(square))
    same(network(wide.mT), network(square.mT))
    images = (wide * 255).round().to(torch.uint8)
    same(network(images), network(images / 255))
    same(network(images.numpy()), network(images))
    same(network(list(images), batch_size=2), network(images))


def test_batches_change_nothing(network, monkeypatch):
    images = torch.rand(9, 3, 20, 24)
    seen = []
    hook = network.backbone.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    whole, parts = network(images), network(images, batch_size=4)
    hook.remove()
    assert seen == [9, 4, 4, 1]
    same(parts, whole)
    monkeypatch.setattr("msr.weights.pictures.PIXELS", 1)  # large images are resized one by one
    same(network(images), whole)


def test_no_images_have_no_features(network):
    for none in ([], torch.zeros(0, 3, 16, 16)):
        assert {name: len(value) for name, value in network(none).items()} == {
            name: 0 for name in ("h", *network.spaces.names)
        }


def test_pictures_of_other_modes_are_welcome(network):
    picture = noise(0, (30, 40))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    answers = network([picture.convert("L"), picture.convert("L").convert("RGBA"), deep])
    for other in (1, 2):
        same({k: v[other] for k, v in answers.items()}, answers, rows=0)
    jpeg = picture.convert("CMYK")
    assert network(jpeg)["h"].isfinite().all() and jpeg.size == (40, 30)


@pytest.mark.parametrize(
    "images, says",
    [
        (torch.rand(2, 3, 16, 16) * 255, r"hold floats from .* to 25.*; give floats in \[0, 1\]"),
        (torch.rand(2, 3, 16, 16) * 2 - 1, "hold floats from -"),
        (torch.full((2, 3, 16, 16), float("nan")), "hold floats from nan to nan"),
        (torch.tensor([0.0, float("inf")]).repeat(1, 3, 4, 8), "to inf; give floats"),
        (torch.ones(2, 3, 16, 16, dtype=torch.long), r"are int64; give uint8, or floats in"),
        (np.ones((2, 3, 16, 16), np.uint16), "are uint16; give uint8"),
        (np.ones((2, 3, 16, 16), object), "are object; give uint8"),
        (torch.ones(2, 3, 16, 16, dtype=torch.bool), "are bool; give uint8"),
        (torch.rand(2, 3, 16, 16).to_sparse(), "are a sparse or an empty"),
        (torch.rand(2, 3, 16, 16, device="meta"), "are a sparse or an empty"),
        (np.ones((2, 3, 16, 16), np.longdouble), "are float128|are longdouble; give uint8"),
        (torch.rand(3, 16, 16), r"have the shape \[3, 16, 16\]; give \[N, 3, H, W\]"),
        (torch.rand(2, 1, 16, 16), r"have the shape \[2, 1, 16, 16\]"),
        (torch.rand(2, 16, 16, 3), "channels stand before height and width"),
        (torch.rand(2, 3, 0, 16), r"have the shape \[2, 3, 0, 16\]"),
        (torch.rand(3), r"have the shape \[3\]"),
        ([torch.rand(1, 3, 16, 16)], r"have the shape \[1, 3, 16, 16\]; give \[3, H, W\]"),
        ([torch.rand(3, 16, 16), torch.rand(3, 16, 16) * 9], "hold floats from"),
        ("no/such/file.jpg", "'no/such/file.jpg' is not a file"),
        ([3], "an image is a int; give paths, PIL images or tensors"),
        (3, "images are a int; give a tensor, or a list"),
        (None, "images are a NoneType"),
        (Image.new("F", (20, 20)), "mode F"),
        (Image.new("RGB", (4, 20)), "a PIL image cannot be read as an image: 4 × 20 pixels"),
        (__file__, "cannot be read as an image: cannot identify"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(network, images, says):
    with pytest.raises(ValueError, match=says) as error:
        network(images)
    assert "\n" not in str(error.value)


def test_a_batch_size_of_none_is_refused(network):
    with pytest.raises(ValueError, match="batch_size = 0; give a whole number, 1 or more"):
        network(torch.rand(1, 3, 16, 16), batch_size=0)


# ----------------------------------------------------------------------------------- which network


def plain_fit(out, net, epochs=1):
    """Train a network by `msr.fit` itself, which is told nothing of how it was made."""
    data = msr.data.RENDERED["shapes"](n_train=32, n_val=8, size=16)[0]
    spaces = msr.Spaces.of(("appearance", "spatial"), (4, 2, 2))
    views = msr.Views(*msr.pipelines("shapes", 16), spaces.names[1:])
    model = net(spaces)
    objective, batches = msr.Objective("simclr", spaces), msr.Batches(data, 16)
    settings = msr.Training(epochs=epochs, batch_size=16, precision="float32")
    log = msr.fit(model, objective, views, batches, settings, out_dir=out, progress=False)
    return model, data, log


def by_hand(spaces):
    return msr.MultiSpace(*msr.backbone("cnn", 16, width=4), spaces, hidden=[8])


def built(spaces):
    named = dict(zip(spaces.names, spaces.sizes))
    return models.build("cnn", 16, named, (8,), width=4, separate_style=True)


@pytest.mark.parametrize("net", [by_hand, built])
def test_what_fit_writes_can_be_loaded(net, tmp_path):
    model, data, _ = plain_fit(tmp_path / "mine", net)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    trained = msr.load(tmp_path / "mine")
    assert torch.equal(before, torch.get_rng_state()), "loading draws no random numbers"
    expected = msr.evaluate.embed(model, data.loaded, msr.pipelines("shapes", 16)[0])
    torch.testing.assert_close(trained(data.loaded)["h"], torch.from_numpy(expected["h"]))
    assert all(p.requires_grad and p.device.type == "cpu" for p in trained.model.parameters())


def test_a_network_of_ones_own_says_how_it_is_loaded(tmp_path):
    def foreign(spaces):
        return msr.MultiSpace(models.cnn(3, 4)[0], 64, spaces, hidden=(8,))

    model, _, _ = plain_fit(tmp_path / "mine", foreign)
    with pytest.raises(ValueError, match="build the network and use its load_state_dict"):
        msr.load(tmp_path / "mine")
    again = foreign(model.spaces)
    again.load_state_dict(safetensors.torch.load_file(tmp_path / "mine" / "model.safetensors"))


def test_a_run_that_did_not_yet_say_its_network_is_loaded_not_trained_again(tmp_path, capsys):
    """Earlier versions of `fit` did not write it."""
    plain_fit(tmp_path / "mine", by_hand)
    for path in (tmp_path / "mine").glob("checkpoint-*.pt"):
        state = torch.load(path, weights_only=True)
        config = json.loads(state["config"])
        del config["network"]
        torch.save(state | {"config": json.dumps(config)}, path)
    plain_fit(tmp_path / "mine", by_hand)
    assert "complete in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "config, says",
    [
        ({"experiment": {"latents": {}}}, "holds an encoder of latents, which takes no images"),
        ({"network": {"backbone": "cnn"}}, "describes a network that cannot be built"),
        ({"network": {"backbone": "cnm", "image_size": 16, "spaces": {"a": 1}}}, "backbone 'cnm'"),
        (
            {"network": {"backbone": "cnn", "image_size": 16, "spaces": {"a": 1}}},
            "weight is absent in the file, ",
        ),
        (
            {"network": {"backbone": "cnn", "image_size": 16, "spaces": {"a": 1}, "width": 10**9}},
            "describes a network that cannot be built",
        ),
    ],
)
def test_a_file_that_holds_no_network_says_so_in_one_line(config, says, tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"b": torch.zeros(1)}, path, {"config": json.dumps(config)})
    with pytest.raises(ValueError, match=says) as error:
        msr.load(path)
    assert "\n" not in str(error.value)


def test_a_configuration_that_is_no_json_is_one_line(tmp_path):
    for text in ("{", "[" * 100_000):
        path = tmp_path / "a.safetensors"
        safetensors.torch.save_file({"b": torch.zeros(1)}, path, {"config": text})
        with pytest.raises(ValueError, match="cannot be read as JSON: ") as error:
            msr.load(path)
        assert "\n" not in str(error.value)


def test_a_device_that_is_not_there_is_one_line(run, monkeypatch):
    folder = Path(run[0].config.out_dir) / "spaces_seed0"
    with pytest.raises(ValueError, match="device 'cuda:77' cannot be used") as error:
        msr.load(folder, device="cuda:77")
    assert "\n" not in str(error.value)

"""Folders of every form, torchvision's sets, rendered datasets, and errors for nothing to read."""

import hashlib
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
import torchvision
from pictures import same
from PIL import Image

from msr import data
from msr.augment import shift_hue
from msr.data import RENDERED, Batches, Images, files, images, torchvision_sets, trifeature

# ---------------------------------------------------------------------------------------- folders


def test_train_and_val_folders(photographs):
    train, val = data.load(photographs, 16)
    assert (len(train), len(val)) == (48, 24) and train.classes == {"class": ["dark", "light"]}
    assert train.pixels.shape == (48, 3, 21, 21)  # 4/3 of the view's side
    assert train.pixels.dtype == torch.uint8
    light = train.labels["class"] == 1
    assert train.pixels[light].float().mean() > train.pixels[~light].float().mean() + 50


def test_class_folders_alone_are_split(photographs):
    train, val = data.load(photographs / "train", 16, val_share=0.25)
    assert (len(train), len(val)) == (36, 12) and set(val.labels) == {"class"}
    again = data.load(photographs / "train", 16, val_share=0.25)[1]
    assert torch.equal(val.pixels, again.pixels)


def test_flat_folder_has_no_labels(photographs, tmp_path):
    for i, path in enumerate(sorted((photographs / "train").rglob("*.*"))):
        shutil.copy(path, tmp_path / f"{i}{path.suffix}")
    train, val = data.load(tmp_path, 16)
    assert not train.labels and len(train) + len(val) == 48


@pytest.mark.parametrize(
    "make, says", [(lambda d: d / "nowhere", "is not a folder"), (lambda d: d, "no images in")]
)
def test_nothing_to_read(tmp_path, make, says):
    with pytest.raises(ValueError, match=says):
        data.load(make(tmp_path), 16)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folder(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train").chmod(0)
    with pytest.raises(ValueError, match="cannot be read|no images"):
        data.load(tmp_path, 16)


def test_image_beside_class_folders(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "d")
    Image.new("RGB", (20, 20)).save(tmp_path / "d/train/stray.png")
    with pytest.raises(ValueError, match="stray.png' lies beside class folders"):
        data.load(tmp_path / "d", 16)


def test_held_out_images_from_elsewhere(photographs):
    train, val = data.load(photographs / "train", 16, val_dir=str(photographs / "val"))
    assert (len(train), len(val)) == (48, 24)
    assert torch.equal(val.pixels, data.load(photographs, 16)[1].pixels)
    with pytest.raises(ValueError, match="val_dir '/nowhere' is not a folder"):
        data.load(photographs / "train", 16, val_dir="/nowhere")


def test_held_out_images_are_not_the_training_images(photographs):
    train_dir = str(photographs / "train")
    with pytest.raises(ValueError, match="train' holds the training images; give another"):
        data.load(train_dir, 16, val_dir=train_dir)


def test_val_with_classes_that_train_lacks(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "d")
    (tmp_path / "d/val/dark").rename(tmp_path / "d/val/dusk")
    with pytest.raises(ValueError, match="classes that .* lacks: dusk"):
        data.load(tmp_path / "d", 16)


def test_limits_before_anything_is_decoded(photographs, monkeypatch):
    train, val = data.load(photographs, 16, max_images=10, max_val=5)
    assert (len(train), len(val), len(train.labels["class"])) == (10, 5, 10)
    monkeypatch.setattr(files.Decoder, "__getitem__", None)
    with pytest.raises(ValueError, match="batch_size 64 is larger than the 48 training images"):
        data.load(photographs, 16, at_least=64)


# ---------------------------------------------------------------------------------------- batches


def test_streaming_equals_memory(photographs, monkeypatch):
    kept, _ = data.load(photographs, 16)
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    streamed, _ = data.load(photographs, 16)
    assert streamed.pixels is None
    for workers in (0, 1):
        a = list(Batches(kept, 16, seed=3).epoch(2))
        b = list(Batches(streamed, 16, seed=3, num_workers=workers).epoch(2))
        assert len(a) == 3 and all(same(x, y) for x, y in zip(a, b))


def test_batches_cover_the_images_once_in_a_new_order_each_epoch():
    pixels = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 3, 4, 4)
    batches = Batches(Images(4, pixels), 16, seed=1)

    def numbers(epoch):
        return torch.cat([batch[:, 0, 0, 0] for batch in batches.epoch(epoch)])

    assert len(batches) == 3 and len(numbers(0).unique()) == 48
    assert not torch.equal(numbers(0), numbers(1))
    assert torch.equal(numbers(0), numbers(0))


def test_an_epoch_from_its_middle(photographs, monkeypatch):
    for memory in (images.IN_MEMORY, 0):
        monkeypatch.setattr(images, "IN_MEMORY", memory)
        batches = Batches(data.load(photographs, 16)[0], 8, seed=3)
        whole, tail = list(batches.epoch(1)), list(batches.epoch(1, start=4))
        assert len(tail) == 2 and all(same(a, b) for a, b in zip(whole[4:], tail))


def test_batch_larger_than_the_data():
    with pytest.raises(ValueError, match="batch_size 64 is larger than the 48 training images"):
        Batches(Images(16, torch.zeros(48, 3, 16, 16, dtype=torch.uint8)), 64)


# ------------------------------------------------------------------------------- torchvision's sets


def test_torchvision_form(tmp_path, monkeypatch):
    """A tiny set in CIFAR-10's own pickle format, with the checksums that torchvision checks."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3072)
    contents = {
        "data_batch_1": {"data": pixels, "labels": [0, 1, 2, 3]},
        "test_batch": {"data": pixels, "labels": [0, 1, 2, 3]},
        "batches.meta": {"label_names": [str(i) for i in range(10)]},
    }
    sums = {}
    for name, content in contents.items():
        blob = pickle.dumps(content)
        (folder / name).write_bytes(blob)
        sums[name] = hashlib.md5(blob).hexdigest()
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["batches.meta"]})
    train, val = data.load(tmp_path, 16)
    assert train.pixels.shape == (4, 3, 16, 16)
    assert train.labels["class"].tolist() == [0, 1, 2, 3] and len(train.classes["class"]) == 10


def test_sets_that_are_there(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("MSR_DATA", str(tmp_path))
    assert torchvision_sets.held() == {}
    shutil.copytree(photographs, tmp_path / "cifar10")
    assert torchvision_sets.held() == {"cifar10": str(tmp_path / "cifar10")}


def test_a_local_folder_goes_before_torchvisions_name(photographs, tmp_path, monkeypatch):
    shutil.copytree(photographs, tmp_path / "cifar10")
    monkeypatch.chdir(tmp_path)
    assert torchvision_sets.torchvision_name("cifar10") is None
    assert torchvision_sets.torchvision_name("cifar100") == "cifar100"
    assert len(data.load("cifar10", 16)[0]) == 48


# ------------------------------------------------------------------------ every rendered dataset


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_dataset_keeps_its_contract(name):
    train, val = RENDERED[name](n_train=40, n_val=20, size=24, seed=1, device="cpu")
    for split, n in ((train, 40), (val, 20)):
        assert len(split) == n and split.size == 24
        assert split.pixels.shape == (n, 3, 24, 24) and split.pixels.dtype == torch.uint8
        assert split.labels and set(split.labels) == set(split.classes)
        for label, y in split.labels.items():
            assert y.shape == (n,) and y.dtype == torch.long
            assert 0 <= y.min() and y.max() < len(split.classes[label])
        for factor in split.factors.values():
            assert factor.shape in {(n,), (n, 2)} and factor.dtype == torch.float32
    assert train.classes == val.classes and set(train.factors) == set(val.factors)


@pytest.mark.parametrize("name", RENDERED)
def test_a_rendered_dataset_is_seeded_and_its_splits_differ(name):
    def load(seed):
        return RENDERED[name](n_train=40, n_val=20, size=24, seed=seed, device="cpu")

    (train, val), again = load(1), load(1)
    for split, other in zip((train, val), again):
        assert torch.equal(split.pixels, other.pixels)
        assert all(torch.equal(split.labels[k], other.labels[k]) for k in split.labels)
        assert all(torch.equal(split.factors[k], other.factors[k]) for k in split.factors)
    assert not torch.equal(train.pixels, load(2)[0].pixels)
    rows = {image.numpy().tobytes() for image in train.pixels}
    assert not rows & {image.numpy().tobytes() for image in val.pixels}


# --------------------------------------------------------------------------------- the trifeature


def one(**changes):
    factors = {k: v[:1] for k, v in trifeature.sample(1, 0).items()}
    return factors | {k: torch.tensor([v]) for k, v in changes.items()}


def color_of(image):
    """How far each pixel [S, S] of an image [3, S, S] is from grey."""
    return image.amax(0) - image.amin(0)


@pytest.mark.parametrize("shape", range(10))
def test_the_object_is_where_the_label_says(shape):
    image = trifeature.render(one(shape=shape, texture=0, x=0.6, y=0.4, size=0.2, angle=0.0), 64)[0]
    mask = color_of(image) > 0.3
    ys, xs = mask.nonzero().float().add(0.5).div(64).unbind(1)
    assert abs(xs.mean() - 0.6) < 0.06 and abs(ys.mean() - 0.4) < 0.06
    assert 0.4 * 0.2**2 < mask.float().mean() < 1.1 * 3.1416 * 0.2**2


def test_area_of_a_disc():
    image = trifeature.render(one(shape=0, texture=0, x=0.5, y=0.5, size=0.25), 128)[0]
    share = (color_of(image) / color_of(image).max()).mean()
    assert abs(share - 3.14159 * (0.95 * 0.25) ** 2) < 0.002


def test_colours_are_hues_and_hue_jitter_maps_one_to_the_next():
    rendered = torch.cat([trifeature.render(one(color=c), 32) for c in range(10)])
    turned = shift_hue(rendered, torch.full((10,), 0.1))
    torch.testing.assert_close(turned, rendered.roll(-1, 0), atol=2e-3, rtol=0)


def test_shapes_and_textures_all_differ():
    place = {"x": 0.5, "y": 0.5, "size": 0.3, "angle": 0.0}
    pairs = [(shape, texture) for shape in range(10) for texture in range(10)]
    rendered = [trifeature.render(one(shape=s, texture=t, **place), 48) for s, t in pairs]
    flat = torch.cat(rendered).flatten(1)
    distance = torch.cdist(flat, flat) + torch.eye(100) * 99
    assert distance.min() > 1

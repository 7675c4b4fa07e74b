"""Folders of every shape, the embedded images, and what is said when there is nothing to read."""
import os
import shutil

import pytest
import torch
from PIL import Image

from msr.data import images, trifeature


def test_train_and_val_folders(photographs):
    train, val = images.load(photographs, 16)
    assert (len(train), len(val)) == (48, 24) and train.classes == {"class": ["dark", "light"]}
    assert train.pixels.shape == (48, 3, 18, 18) and train.pixels.dtype == torch.uint8           # 8/7 of the view's side
    light = train.labels["class"] == 1
    assert train.pixels[light].float().mean() > train.pixels[~light].float().mean() + 50


def test_class_folders_alone_are_split(photographs):
    train, val = images.load(photographs / "train", 16, val_share=0.25)
    assert (len(train), len(val)) == (36, 12) and set(val.labels) == {"class"}
    again = images.load(photographs / "train", 16, val_share=0.25)[1]
    assert torch.equal(val.pixels, again.pixels)


def test_flat_folder_has_no_labels(photographs, tmp_path):
    for i, path in enumerate(sorted((photographs / "train").rglob("*.*"))):
        shutil.copy(path, tmp_path / f"{i}{path.suffix}")
    train, val = images.load(tmp_path, 16)
    assert not train.labels and len(train) + len(val) == 48


def test_streaming_equals_memory(photographs, monkeypatch):
    kept = images.load(photographs, 16)[0]
    monkeypatch.setattr(images, "IN_MEMORY", 0)
    streamed = images.load(photographs, 16)[0]
    assert streamed.pixels is None
    for workers in (0, 1):
        a = list(images.Batches(kept, 16, seed=3).epoch(2))
        b = list(images.Batches(streamed, 16, seed=3, num_workers=workers).epoch(2))
        assert len(a) == 3 and all(torch.equal(x, y) for x, y in zip(a, b))


def test_batches_cover_the_images_once_in_a_new_order_each_epoch():
    data = images.Images(4, torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 3, 4, 4))
    batches = images.Batches(data, 16, seed=1)
    first, second = ([b[:, 0, 0, 0] for b in batches.epoch(e)] for e in (0, 1))
    assert len(batches) == 3 and len(torch.cat(first).unique()) == 48 and not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(torch.cat(first), torch.cat([b[:, 0, 0, 0] for b in batches.epoch(0)]))


def test_torchvision_form(tmp_path):
    """CIFAR-10's own pickle format, a tiny one; what torchvision checks is its checksums, so those are matched."""
    import hashlib
    import pickle

    import numpy as np
    import torchvision
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums = {}
    for name in ["data_batch_1", "test_batch"]:
        blob = pickle.dumps({"data": np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3072), "labels": [0, 1, 2, 3]})
        (folder / name).write_bytes(blob)
        sums[name] = hashlib.md5(blob).hexdigest()
    meta = pickle.dumps({"label_names": [str(i) for i in range(10)]})
    (folder / "batches.meta").write_bytes(meta)
    kind = torchvision.datasets.CIFAR10
    old = kind.train_list, kind.test_list, kind.meta
    try:
        kind.train_list, kind.test_list = [["data_batch_1", sums["data_batch_1"]]], [["test_batch", sums["test_batch"]]]
        kind.meta = {**kind.meta, "md5": hashlib.md5(meta).hexdigest()}
        train, val = images.load(tmp_path, 16)
    finally:
        kind.train_list, kind.test_list, kind.meta = old
    assert train.pixels.shape == (4, 3, 16, 16) and train.labels["class"].tolist() == [0, 1, 2, 3] and len(train.classes["class"]) == 10


@pytest.mark.parametrize("make, says", [
    (lambda d: d / "nowhere", "is not a folder"), (lambda d: d, "no images in")])
def test_nothing_to_read(tmp_path, make, says):
    with pytest.raises(ValueError, match=says):
        images.load(make(tmp_path), 16)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folder(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train").chmod(0)
    with pytest.raises(ValueError, match="cannot be read|no images"):
        images.load(tmp_path, 16)


def test_image_beside_class_folders(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "d")
    Image.new("RGB", (20, 20)).save(tmp_path / "d/train/stray.png")
    with pytest.raises(ValueError, match="stray.png' lies beside class folders"):
        images.load(tmp_path / "d", 16)


def test_held_out_images_from_elsewhere(photographs):
    train, val = images.load(photographs / "train", 16, val_dir=str(photographs / "val"))
    assert (len(train), len(val)) == (48, 24) and torch.equal(val.pixels, images.load(photographs, 16)[1].pixels)
    with pytest.raises(ValueError, match="val_dir '/nowhere' is not a folder"):
        images.load(photographs / "train", 16, val_dir="/nowhere")


def test_an_epoch_from_its_middle(photographs, monkeypatch):
    for memory in (images.IN_MEMORY, 0):
        monkeypatch.setattr(images, "IN_MEMORY", memory)
        batches = images.Batches(images.load(photographs, 16)[0], 8, seed=3)
        whole, tail = list(batches.epoch(1)), list(batches.epoch(1, start=4))
        assert len(tail) == 2 and all(torch.equal(a, b) for a, b in zip(whole[4:], tail))


def test_sets_that_are_there(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("MSR_DATA", str(tmp_path))
    assert images.held() == {}
    shutil.copytree(photographs, tmp_path / "cifar10")
    assert images.held() == {"cifar10": str(tmp_path / "cifar10")}


def test_limits_before_anything_is_decoded(photographs, monkeypatch):
    train, val = images.load(photographs, 16, max_images=10, max_val=5)
    assert (len(train), len(val), len(train.labels["class"])) == (10, 5, 10)
    monkeypatch.setattr(images.Decoder, "__getitem__", None)
    with pytest.raises(ValueError, match="batch_size 64 is larger than the 48 training images"):
        images.load(photographs, 16, at_least=64)


def test_a_local_folder_goes_before_torchvisions_name(photographs, tmp_path, monkeypatch):
    shutil.copytree(photographs, tmp_path / "cifar10")
    monkeypatch.chdir(tmp_path)
    assert images.torchvision_name("cifar10") is None and images.torchvision_name("cifar100") == "cifar100"
    assert len(images.load("cifar10", 16)[0]) == 48


def test_val_with_classes_that_train_lacks(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "d")
    (tmp_path / "d/val/dark").rename(tmp_path / "d/val/dusk")
    with pytest.raises(ValueError, match="classes that .* lacks: dusk"):
        images.load(tmp_path / "d", 16)


def test_batch_larger_than_the_data():
    with pytest.raises(ValueError, match="batch_size 64 is larger than the 48 training images"):
        images.Batches(images.embedded(48, 10, 16)[0], 64)


# -------------------------------------------------------------------------------------------------- embedded images

def test_embedded_reproduce_and_splits_differ():
    a, b = images.embedded(40, 20, 24), images.embedded(40, 20, 24)
    assert torch.equal(a[0].pixels, b[0].pixels) and torch.equal(a[1].labels["shape"], b[1].labels["shape"])
    assert not torch.equal(a[0].pixels[:20], a[1].pixels) and a[0].pixels.shape == (40, 3, 24, 24)


def one(**changes):
    return {k: v[:1] for k, v in trifeature.sample(1, 0).items()} | {k: torch.tensor([v]) for k, v in changes.items()}


@pytest.mark.parametrize("shape", range(10))
def test_the_object_is_where_the_label_says(shape):
    image = trifeature.render(one(shape=shape, texture=0, x=0.6, y=0.4, size=0.2, angle=0.0), 64)[0]
    mask = (image.amax(0) - image.amin(0)) > 0.3                                              # coloured
    ys, xs = mask.nonzero().float().add(0.5).div(64).unbind(1)
    assert abs(xs.mean() - 0.6) < 0.06 and abs(ys.mean() - 0.4) < 0.06
    assert 0.4 * 0.2**2 < mask.float().mean() < 1.1 * 3.1416 * 0.2**2


def test_area_of_a_disc():
    image = trifeature.render(one(shape=0, texture=0, x=0.5, y=0.5, size=0.25), 128)[0]
    share = ((image.amax(0) - image.amin(0)) / (image.amax(0) - image.amin(0)).max()).mean()
    assert abs(share - 3.14159 * (0.95 * 0.25)**2) < 0.002


def test_colours_are_hues_and_hue_jitter_maps_one_to_the_next():
    from msr.augment import shift_hue
    images_ = torch.cat([trifeature.render(one(color=c), 32) for c in range(10)])
    turned = shift_hue(images_, torch.full((10,), 0.1))
    torch.testing.assert_close(turned, images_.roll(-1, 0), atol=2e-3, rtol=0)


def test_shapes_and_textures_all_differ():
    base = [trifeature.render(one(shape=s, texture=t, x=0.5, y=0.5, size=0.3, angle=0.0), 48)[0] for s in range(10) for t in range(10)]
    flat = torch.stack(base).flatten(1)
    distance = torch.cdist(flat, flat) + torch.eye(100) * 99
    assert distance.min() > 1

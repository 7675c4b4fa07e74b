"""Probes read image files when they need them, a piece at a time, without the unreadable ones."""

import json
import shutil

import numpy as np
import pytest
import torch
from small import imagenet_setup

from msr import data, evaluate
from msr.data import files, images
from msr.evaluate import features
from msr.experiments import imagenet, launch
from msr.experiments.setup import side_by_side


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded, in order."""
    seen, decode = [], files.decode

    def watched(source, *rest):
        seen.append(str(source))
        return decode(source, *rest)

    monkeypatch.setattr(files, "decode", watched)
    return seen


@pytest.fixture
def in_files(monkeypatch):
    """No split is small enough to be decoded into memory."""
    monkeypatch.setattr(images, "AT_ONCE", 0)


@pytest.fixture
def folder(photographs, tmp_path):
    """The photographs, of which two for training and one held out cannot be read."""
    root = tmp_path / "broken"
    shutil.copytree(photographs, root)
    for name in ("train/dark/3.jpg", "train/light/8.png", "val/dark/5.jpg"):
        (root / name).write_bytes(b"no image")
    return root


def setup_of(folder, out_dir, **changes):
    given = dict(data_dir=str(folder), batch_size=8, out_dir=str(out_dir), max_bad=0.5)
    return imagenet_setup(**given | changes)


def test_training_decodes_no_probe_sets(folder, tmp_path, decoded, in_files):
    run = dict(
        image_size=16, epochs=1, batch_size=8, width=4, seeds=1, vanilla=False, num_workers=0,
        device="cpu", max_bad=0.5, data_dir=str(folder), out_dir=str(tmp_path / "out"),
    )  # fmt: skip
    launch.run(json.loads(json.dumps(run)))
    held_out = {name for name in decoded if "/val/" in name}
    assert len(held_out) <= imagenet.MIN_VAL < 24, "a sample, to find a folder of broken files"
    train = sum("/train/" in name for name in decoded)
    assert train < 48 + 48 / 2, "each training image once, and replacements of the unreadable"


def test_files_give_the_tables_of_images_in_memory(folder, tmp_path, monkeypatch):
    """Features, labels and draws stay aligned where files are left out, in pieces of any size."""
    setup = setup_of(folder, tmp_path)
    run = setup.fit(0)
    expected = setup.probe(run), setup.sensitivity(run)
    assert len(setup.readable(setup.val_probe)) == 23
    monkeypatch.setattr(images, "AT_ONCE", 0)
    monkeypatch.setattr(features, "DECODED", 5)
    setup = setup_of(folder, tmp_path)
    assert setup.readable(setup.train_probe).pixels is None
    assert (setup.probe(run), setup.sensitivity(run)) == expected


def test_embedding_in_pieces(photographs, tmp_path):
    setup = setup_of(photographs, tmp_path)
    model, views = setup.build(0)[0], setup.views
    split = setup.val_probe
    assert split.pixels is None
    whole = evaluate.embed(model, split.decoded(), views.query)
    for batch_size in (1, 5, 7, 512):
        some = evaluate.embed(model, split, views.query, batch_size=batch_size)
        assert list(some) == list(whole)
        for space in whole:
            np.testing.assert_allclose(some[space], whole[space], rtol=1e-5, atol=1e-6)
    parts = [len(piece) for piece in features.pieces(split, 10)]
    assert parts == [10, 10, 4]


def test_an_unreadable_file_is_left_out_or_named(folder):
    split = data.load(folder, 16, max_bad=0.5, decode_val=False)[1]
    with pytest.raises(ValueError, match="val/dark/5.jpg cannot be read") as error:
        list(features.pieces(split, 4))
    assert "\n" not in str(error.value)
    found = evaluate.readable(split)
    assert len(found) == 23 and found.pixels is None
    expected = data.load(folder, 16, max_bad=0.5)[1]
    pieces = list(features.pieces(found, 4))
    assert torch.equal(torch.cat([piece.pixels for piece in pieces]), expected.pixels)
    assert torch.equal(torch.cat([piece.aspect for piece in pieces]), expected.aspect)
    assert torch.equal(found.labels["class"], expected.labels["class"])


def test_the_pictures_of_rows(folder, tmp_path, in_files):
    setup = setup_of(folder, tmp_path)
    shown = setup.pictures(setup.val_probe, np.array([[7, 3], [7, 22]]).flat)
    kept = setup.readable(setup.val_probe).decoded().loaded
    assert list(shown) == [3, 7, 22]
    assert all(torch.equal(image, kept[row]) for row, image in shown.items())


def test_a_held_out_folder_of_broken_files_stops_before_training(folder, tmp_path):
    for path in (folder / "val").rglob("*.*"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of 20 files can be read, such as .*val/"):
        setup_of(folder, tmp_path)


def test_a_factor_and_a_target_of_one_name_are_both_kept(tmp_path):
    """The hue of an image, and the change of hue that was drawn."""
    assert side_by_side({"hue": 0.1, "x": 0.2}, {"hue": 0.9}) == {
        "hue_factor": 0.1, "x": 0.2, "hue": 0.9,
    }  # fmt: skip

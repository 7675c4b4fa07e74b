"""Images are known by their listing: a moved folder is resumed, and other images are named."""

import json
import shutil

import pytest
import torch
from pictures import blob, noise
from small import imagenet_setup
from test_shards import write_tar

from msr import data
from msr.experiments import imagenet
from msr.train import checkpoint, resume


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(imagenet, "MIN_VAL", 4)
    for i in range(40):
        path = tmp_path / "d" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)
    return tmp_path / "d"


def setup(tmp_path, data_dir, **changes):
    out_dir = str(tmp_path / "out")
    settings = dict(max_images=0, probe_images=50, width=4, hidden="8", sizes="4,2,2")
    return imagenet_setup(data_dir=str(data_dir), out_dir=out_dir, **settings | changes)


def unfinished(run):
    """Make a complete run of two steps an unfinished one: delete its newest checkpoint."""
    checkpoint.checkpoints(run)[0].unlink()


def test_a_moved_folder_is_resumed(folder, tmp_path, capsys):
    setup(tmp_path, folder, save_every=1).fit(0)
    unfinished(tmp_path / "out" / "spaces_seed0")
    folder.rename(tmp_path / "elsewhere")
    setup(tmp_path, tmp_path / "elsewhere", save_every=1).fit(0)
    assert "resuming from step 1 of 2" in capsys.readouterr().out
    setup(tmp_path, tmp_path / "elsewhere").fit(0)
    assert "complete in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda d: (d / "a" / "00.png").unlink(), "the training images differ: 36 before, 35 now"),
        (
            lambda d: (d / "a" / "00.png").rename(d / "a" / "0.png"),
            "the training images differ: 36, with other names or sizes",
        ),
        (
            lambda d: (d / "a" / "00.png").write_bytes(blob(noise(99, (40, 40)), "PNG")),
            "the training images differ: 36, with other names or sizes",
        ),
    ],
)
def test_other_images_are_named(folder, tmp_path, change, says):
    setup(tmp_path, folder, save_every=1).fit(0)
    unfinished(tmp_path / "out" / "spaces_seed0")
    change(folder)
    with pytest.raises(ValueError, match=rf"unfinished run with other settings \({says}\)"):
        setup(tmp_path, folder).fit(0)


def test_moved_shards_have_the_same_listing(tmp_path):
    for s in range(2):
        members = {f"{s}{i:02d}.png": blob(noise(i), "PNG") for i in range(10)}
        (tmp_path / "d").mkdir(exist_ok=True)
        write_tar(tmp_path / "d" / f"in-{s}.tar", members)
    here = data.load(tmp_path / "d", 16)[0].listing
    shutil.copytree(tmp_path / "d", tmp_path / "e")
    assert here and data.load(f"{tmp_path}/e/in-*.tar", 16)[0].listing == here
    write_tar(tmp_path / "e" / "in-1.tar", {"a.png": blob(noise(0), "PNG")})
    assert data.load(tmp_path / "e", 16)[0].listing != here


def test_a_rendered_set_is_known_by_its_name(tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(imagenet, "N_VAL", 50)
    for data_dir, name in (("", "shapes"), ("shapes", "shapes"), ("sprites", "sprites")):
        assert imagenet_setup(data_dir=data_dir).train.listing == name


def records(tmp_path, folder):
    """The record of a run on this folder today, and that of version 0.2, without a listing."""
    setup(tmp_path, folder).fit(0)
    path = tmp_path / "out" / "spaces_seed0" / "config.json"
    today = json.loads(path.read_text())
    old = json.loads(path.read_text())
    del old["experiment"]["listing"]
    return old, today


def test_runs_without_a_listing_are_compared_by_path(folder, tmp_path):
    old, today = records(tmp_path, folder)
    assert resume.changes(old, today) == [] == resume.changes(old, old)
    moved = json.loads(json.dumps(today).replace(str(folder), "/elsewhere"))
    assert resume.changes(today, moved) == []
    assert resume.changes(old, moved) == [f"data_dir = '{folder}', now '/elsewhere'"]


def test_a_complete_run_of_version_0_2_is_found(folder, tmp_path, capsys):
    records(tmp_path, folder)
    for path in checkpoint.checkpoints(tmp_path / "out" / "spaces_seed0"):
        state = torch.load(path, weights_only=True)
        config = json.loads(state["config"])
        del config["experiment"]["listing"]
        torch.save(state | {"config": json.dumps(config)}, path)
    setup(tmp_path, folder).fit(0)
    assert "complete in" in capsys.readouterr().out

"""Held-out images are no training images: places that lie in each other, shards, and copies."""

import io
import shutil

import pytest
from pictures import blob, noise
from test_shards import write_tar

from msr import data
from msr.data import copies, images


def pictures(folder, numbers):
    """Files of noise in two classes below a folder."""
    for i in numbers:
        path = folder / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(i).save(path)


def names(split):
    return list(split.decoder.source.names)


@pytest.fixture
def files(monkeypatch):
    """Let the images stay files, whose names can be compared."""
    monkeypatch.setattr(images, "IN_MEMORY", 0)


# ---------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("how", ["text", "trailing slash", "link", "relative"])
def test_held_out_images_inside_data_dir_are_left_out(tmp_path, files, monkeypatch, capsys, how):
    pictures(tmp_path / "d", range(24))
    pictures(tmp_path / "d" / "held", range(24, 48))
    val_dir = str(tmp_path / "d" / "held")
    if how == "link":
        (tmp_path / "link").symlink_to(val_dir)
        val_dir = str(tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    val_dir = {"trailing slash": f"{val_dir}/", "relative": "d/../d/held"}.get(how, val_dir)
    train, val = data.load(tmp_path / "d", 16, val_dir=val_dir)
    assert train.classes == {"class": ["a", "b"]} and (len(train), len(val)) == (24, 24)
    assert not any("/d/held/" in name for name in names(train))
    assert capsys.readouterr().out == f"24 images of '{val_dir}' are left out of training\n"


def test_a_class_that_is_a_link_to_the_held_out_images_is_left_out(tmp_path, files):
    pictures(tmp_path / "d", range(24))
    pictures(tmp_path / "val", range(24, 48))
    (tmp_path / "d" / "c").symlink_to(tmp_path / "val")
    assert len(data.load(tmp_path / "d", 16, val_dir=str(tmp_path / "val"))[0]) == 24


@pytest.mark.parametrize("val_dir", ["d/", "./d", "link", "."])
def test_training_images_inside_val_dir_are_refused(tmp_path, monkeypatch, val_dir):
    pictures(tmp_path / "d", range(24))
    (tmp_path / "link").symlink_to(tmp_path / "d")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="holds the training images.*; give another") as error:
        data.load("d", 16, val_dir=val_dir)
    assert "\n" not in str(error.value)


def test_a_home_folder_is_the_same_by_its_short_name(tmp_path, monkeypatch):
    pictures(tmp_path / "d", range(24))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match="holds the training images"):
        data.load(tmp_path / "d", 16, val_dir="~/d")


def test_nothing_left_to_train_on(tmp_path):
    pictures(tmp_path / "d" / "held", range(24))
    with pytest.raises(ValueError, match="no images in .*outside .*held"):
        data.load(tmp_path / "d", 16, val_dir=str(tmp_path / "d" / "held"))


# ----------------------------------------------------------------------------------------- shards


def shard(path, numbers):
    path.parent.mkdir(exist_ok=True)
    write_tar(path, {f"{i:03d}.png": blob(noise(i), "PNG") for i in numbers})


@pytest.mark.parametrize(
    "train, val, where",
    [
        ("train-{}.tar", "val-{}.tar", "d"),
        ("imagenet1k-train-{}.tar", "imagenet1k-validation-{}.tar", "d"),
        ("train{}.tar", "test{}.tar", "d/*.tar"),
    ],
)
def test_shards_are_held_out_by_their_names(tmp_path, files, capsys, train, val, where):
    for s in (0, 1):
        shard(tmp_path / "d" / train.format(s), range(10 * s, 10 * s + 10))
    shard(tmp_path / "d" / val.format(0), range(20, 30))
    sides = data.load(str(tmp_path / where), 16)
    assert [len(side) for side in sides] == [20, 10]
    assert not {name for side in sides[:1] for name in names(side) if val.format(0) in name}
    assert "2 shards to train on, 1 shards held out, by name" in capsys.readouterr().out


def test_shards_of_unclear_kinds_are_refused(tmp_path):
    shard(tmp_path / "d" / "in-0.tar", range(10))
    shard(tmp_path / "d" / "val-0.tar", range(10, 20))
    with pytest.raises(ValueError, match="several kinds, such as 'in-0.tar' and 'val-0.tar'; give"):
        data.load(tmp_path / "d", 16)
    assert len(data.load(tmp_path / "d" / "in-*.tar", 16, val_dir=f"{tmp_path}/d/val-*.tar")[0])


def test_a_shard_on_both_sides_is_refused(tmp_path):
    for s in (0, 1):
        shard(tmp_path / "d" / f"in-{s}.tar", range(10 * s, 10 * s + 10))
    with pytest.raises(
        ValueError, match="shard '.*in-1.tar' is both in data_dir .* and in val_dir"
    ):
        data.load(tmp_path / "d" / "in-{0..1}.tar", 16, val_dir=f"{tmp_path}/d/in-1.tar")


# ----------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_the_same_image_on_both_sides_is_said(tmp_path, files, capsys, kind):
    for side, numbers in (("train", range(30)), ("val", range(24, 40))):
        if kind == "files":
            pictures(tmp_path / side, numbers)
        else:
            shard(tmp_path / f"{side}-0.tar", numbers)
    data.load(tmp_path, 16)
    out = capsys.readouterr().out.splitlines()[-1]
    assert out.startswith("warning: held-out image '") and "024.png' equals training image '" in out
    assert "of 16 held-out images 6 do so" in out


def test_copies_under_other_names_are_found(tmp_path, capsys):
    pictures(tmp_path / "train", range(30))
    pictures(tmp_path / "val", range(40, 50))
    shutil.copy(tmp_path / "train" / "a" / "006.png", tmp_path / "val" / "b" / "x.png")
    data.load(tmp_path, 16)
    assert "b/x.png' equals training image '" in capsys.readouterr().out


def test_different_images_are_not_called_copies(tmp_path, capsys):
    pictures(tmp_path / "train", range(30))
    pictures(tmp_path / "val", range(30, 50))
    for path in tmp_path.rglob("*.png"):  # all of one length
        path.write_bytes(path.read_bytes().ljust(3000, b"\0"))
    data.load(tmp_path, 16)
    assert capsys.readouterr().out == ""


class Many:
    """A million files of 100 lengths that nobody has; what is asked for is counted."""

    def __init__(self, n, content):
        self.names = [f"{content}/{i}" for i in range(n)]
        self.content, self.asked, self.opened = content, 0, 0

    def __len__(self):
        return len(self.names)

    def length(self, i):
        self.asked += 1
        return 1000 + i % 100

    def open(self, i):
        self.opened += 1
        return io.BytesIO(f"{self.content} {i}".encode())


def test_the_search_for_copies_is_bounded():
    train, val = Many(300_000, "a"), Many(50_000, "b")
    assert copies.find(train, val) == []
    assert train.asked <= 2 * copies.LOOKED_AT and train.opened <= copies.READ
    assert val.asked <= copies.HELD_OUT and val.opened <= copies.HELD_OUT


def test_held_out_folders_among_the_classes(tmp_path):
    """FOLDER/a, FOLDER/b and FOLDER/val/a: val is no third class."""
    for where in ("a", "b", "val/a", "val/b"):
        (tmp_path / where).mkdir(parents=True)
        for i in range(6):
            noise(i + len(where)).save(tmp_path / where / f"{i}.png")
    with pytest.raises(
        ValueError, match="beside them 'val' with the same class 'a'; move"
    ) as error:
        data.load(tmp_path, 16)
    assert "\n" not in str(error.value)
    train, val = data.load(tmp_path, 16, val_dir=str(tmp_path / "val"))
    assert (len(train), len(val)) == (12, 12) and train.classes["class"] == ["a", "b"]


@pytest.mark.parametrize("other", ["eval_000", "dev_000", "more"])
def test_shards_of_which_only_some_say_what_they_are(tmp_path, other):
    for name in ("training_000", other):
        members = {f"{i}.png": blob(noise(i)) for i in range(12)}
        (tmp_path / "in").mkdir(exist_ok=True)  # the name of tmp_path says "test"
        write_tar(tmp_path / "in" / f"{name}.tar", members)
    with pytest.raises(ValueError, match="holds shards of several kinds, such as"):
        data.load(tmp_path / "in", 16)
    assert len(data.load(str(tmp_path / "in" / "training_*.tar"), 16)[0]) == 11


def test_images_beside_shards(tmp_path):
    write_tar(tmp_path / "a.tar", {f"{i}.png": blob(noise(i)) for i in range(12)})
    noise(0).save(tmp_path / "b.gif")
    with pytest.raises(ValueError, match="holds shards and image files, such as 'b.gif'; give the"):
        data.load(tmp_path, 16)
    assert len(data.load(f"{tmp_path}/*.tar", 16)[0]) == 11

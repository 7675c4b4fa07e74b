"""A flat folder of held-out images: its classes from the files that are usual, or a clear line."""

import os

import numpy as np
import pytest
import scipy.io
from pictures import noise

from msr import data

WNIDS = ("n01440764", "n01443537", "n02119789")


@pytest.fixture
def imagenet(tmp_path):
    """ImageNet in small: train/<wnid>/, and a flat val/ with 12 images, of classes 0, 1, 2, 0, …"""
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    (root / "val").mkdir(parents=True)
    for i in range(12):
        (root / "train" / WNIDS[i % 3]).mkdir(parents=True, exist_ok=True)
        noise(i).save(root / "train" / WNIDS[i % 3] / f"{WNIDS[i % 3]}_{i}.JPEG")
        noise(100 + i).save(root / "val" / f"ILSVRC2012_val_{i + 1:08d}.JPEG")
    return root


def devkit(folder):
    """The development kit's files: ids are not in the order of the WordNet ids, as there."""
    (folder / "data").mkdir(parents=True)
    ids = {"n02119789": 1, "n01443537": 2, "n01440764": 3, "n00001740": 4}
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(i, wnid, "a word", int(i > 3)) for wnid, i in ids.items()]
    scipy.io.savemat(folder / "data" / "meta.mat", {"synsets": np.array(rows, dtype=kind)})
    lines = "".join(f"{ids[WNIDS[i % 3]]}\n" for i in range(12))
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(lines)


def solution(path):
    """Kaggle's table, in another order than the images."""
    rows = [f"ILSVRC2012_val_{i + 1:08d},{WNIDS[i % 3]} 85 1 499 272 \n" for i in range(12)]
    path.write_text("ImageId,PredictionString\n" + "".join(rows[::-1]))


def lines(path):
    path.write_text("".join(f"ILSVRC2012_val_{i + 1:08d}.JPEG {WNIDS[i % 3]}\n" for i in range(12)))


@pytest.mark.parametrize(
    "give",
    [
        lambda root: devkit(root / "ILSVRC2012_devkit_t12"),
        lambda root: devkit(root / "val" / "ILSVRC2012_devkit_t12"),
        lambda root: solution(root / "val" / "LOC_val_solution.csv"),
        lambda root: solution(root.parents[2] / "LOC_val_solution.csv"),
        lambda root: lines(root / "val.txt"),
        lambda root: lines(root / "val" / "labels.txt"),
    ],
)
def test_the_classes_come_from_the_usual_files(imagenet, capsys, give):
    give(imagenet)
    train, val = data.load(imagenet, 16)
    assert val.classes == train.classes == {"class": list(WNIDS)}
    assert val.labels["class"].tolist() == [i % 3 for i in range(12)]
    assert "the classes of the 12 images in" in capsys.readouterr().out


def test_tiny_imagenets_annotations(imagenet):
    (imagenet / "val").rename(imagenet / "images")
    (imagenet / "val").mkdir()
    (imagenet / "images").rename(imagenet / "val" / "images")
    lines(imagenet / "val" / "val_annotations.txt")
    assert data.load(imagenet, 16)[1].labels["class"].tolist() == [i % 3 for i in range(12)]


def test_without_such_a_file_it_is_said_what_the_folder_is(imagenet):
    (imagenet / "val" / "notes.txt").write_text("nothing of use\n")
    says = "flat folder of 12 held-out images without classes, but .* class folders; .*LOC_val_sol"
    with pytest.raises(ValueError, match=says) as error:
        data.load(imagenet, 16)
    assert "\n" not in str(error.value)


def test_an_image_without_a_line(imagenet):
    path = imagenet / "val.txt"
    lines(path)
    path.write_text(path.read_text().replace("_00000003.JPEG", "_00000099.JPEG"))
    with pytest.raises(ValueError, match="gives image 'ILSVRC2012_val_00000003' no class"):
        data.load(imagenet, 16)
    path.write_text(path.read_text().replace("_00000099.JPEG n02119789", "_00000003.JPEG n0"))
    with pytest.raises(ValueError, match="00003' the class n0, which training lacks"):
        data.load(imagenet, 16)


def test_a_damaged_kit(imagenet):
    devkit(imagenet / "ILSVRC2012_devkit_t12")
    (imagenet / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"no")
    with pytest.raises(ValueError, match="with its meta.mat cannot be read"):
        data.load(imagenet, 16)


def test_one_training_folder_has_no_labels(tmp_path):
    """train/images/ and a flat val/: one class is none."""
    for where in ("train/images", "val"):
        (tmp_path / where).mkdir(parents=True)
        for i in range(12):
            noise(i + len(where)).save(tmp_path / where / f"{i}.png")
    train, val = data.load(tmp_path, 16)
    assert (len(train), len(val)) == (12, 12) and not train.labels and not val.labels


def test_files_of_strangers(imagenet):
    """A pipe is not waited for; what is too large to be such a file is not read."""
    os.mkfifo(imagenet / "val" / "classes.txt")
    devkit(imagenet.parent)
    (imagenet.parent / "data").rename(imagenet / "data")
    with open(imagenet / "data" / "meta.mat", "ab") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="meta.mat cannot be read: 1,073,741,824 bytes, more than"):
        data.load(imagenet, 16)
    (imagenet / "data" / "meta.mat").unlink()
    with pytest.raises(ValueError, match="is a flat folder of 12 held-out images"):
        data.load(imagenet, 16)

"""CIFAR-10, CIFAR-100 and STL-10, read by torchvision and downloaded if absent."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets
from torchvision.transforms.functional import resize

from msr import dist
from msr.data import cache
from msr.data.images import Images


@dataclass(frozen=True)
class TorchvisionSet:
    """One of torchvision's sets: where its files lie, and how torchvision reads them."""

    folder: str  # name of the folder that holds the files
    side: int  # side of the images in pixels
    reader: Any  # torchvision's class for the set
    splits: tuple[dict[str, Any], dict[str, Any]]  # its arguments for train and for val
    labels: str = "targets"  # its attribute that holds the labels


CIFAR_SPLITS = {"train": True}, {"train": False}
STL10_SPLITS = {"split": "train"}, {"split": "test"}
TORCHVISION = {
    "cifar10": TorchvisionSet("cifar-10-batches-py", 32, datasets.CIFAR10, CIFAR_SPLITS),
    "cifar100": TorchvisionSet("cifar-100-python", 32, datasets.CIFAR100, CIFAR_SPLITS),
    "stl10": TorchvisionSet("stl10_binary", 96, datasets.STL10, STL10_SPLITS, "labels"),
}


def cache_home() -> Path:
    """Return the folder of the sets that are given by name: $MSR_DATA, else msr's cache folder.

    The latter is ~/.cache/msr by default (see `msr.data.cache.home`).
    """
    return Path(os.environ.get("MSR_DATA") or cache.home()).expanduser()


def held() -> dict[str, str]:
    """Return {name: data_dir for `msr.data.load`} of the sets that need no download.

    A set is found in `cache_home()`, either as <name>/train/<class>/… or in torchvision's form.
    """
    home, found = cache_home(), {}
    for name, known in TORCHVISION.items():
        if (home / name / "train").is_dir():
            found[name] = str(home / name)
        elif (home / known.folder).is_dir():
            found[name] = str(home / known.folder)
    return found


def torchvision_name(data_dir: str | Path) -> str | None:
    """Return the name of the torchvision set that `data_dir` stands for, or None.

    data_dir stands for a set if it is a folder that holds the set's folder in torchvision's form,
    such as cifar-10-batches-py, or is that folder, or if it is the set's name and there is no
    folder of that name. Raises ValueError, one line, for a folder that holds several sets.
    """
    root, name = Path(data_dir).expanduser(), str(data_dir).lower()
    for other, known in TORCHVISION.items():
        if os.path.isdir(root) and Path(os.path.abspath(root)).name == known.folder:
            return other
    inside = [other for other, known in TORCHVISION.items() if os.path.isdir(root / known.folder)]
    if len(inside) > 1:
        folders = " or ".join(str(root / TORCHVISION[other].folder) for other in inside)
        raise ValueError(f"data_dir '{data_dir}' holds {' and '.join(inside)}; give {folders}")
    if inside:
        return inside[0]
    return name if name in TORCHVISION and not os.path.isdir(root) else None


def home_of(data_dir: str | Path) -> Path:
    """Return the folder for torchvision that holds the set which `data_dir` stands for."""
    root = Path(data_dir).expanduser()
    if not os.path.isdir(root):
        return cache_home()
    own = Path(os.path.abspath(root)).name in {known.folder for known in TORCHVISION.values()}
    return Path(os.path.abspath(root)).parent if own else root


def load(name: str, root: Path, size: int) -> tuple[Images, Images]:
    """Return (train, val) of a set in the folder `root`, downloaded to it if absent.

    name: a key of `TORCHVISION`. Images larger than `size` × `size` pixels are resized to that;
    smaller ones stay as they are. Of STL-10 the 5,000 labelled training images are used. Every rank
    calls this: rank 0 downloads first, then, where that left nothing, one rank of each other
    machine, and the rest read. Raises ValueError, one line, on every rank, if the set is absent and
    cannot be downloaded.
    """
    known, splits = TORCHVISION[name], []
    turn = 0 if dist.rank() == 0 else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
    for now in range(3):
        error = ""
        if now == turn:
            try:
                root.mkdir(parents=True, exist_ok=True)
                splits = [known.reader(root, **split, download=True) for split in known.splits]
            except Exception as problem:
                error = f"{problem}" or type(problem).__name__
        error = next((e for e in dist.everyone(error) if e), "")
        if error:
            raise ValueError(
                f"{name} is not in '{root}' and could not be downloaded ({error}); "
                "put torchvision's files there"
            )
    train, val = (_images(known, split, size) for split in splits)
    return replace(train, listing=name), replace(val, listing=name)


def _images(known: TorchvisionSet, split: Any, size: int) -> Images:
    """Return a split that torchvision read as `Images`, with its pixels in memory."""
    pixels = torch.from_numpy(split.data)
    if pixels.shape[-1] == 3:  # CIFAR has its channels last
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.shape[-1] > size:  # the random crop enlarges smaller ones
        small = pixels.new_empty(len(pixels), 3, size, size)
        for part, out in zip(pixels.split(1024), small.split(1024)):
            out.copy_(resize(part, [size, size], antialias=True))
        pixels = small
    label = torch.as_tensor(getattr(split, known.labels)).long()
    classes = {"class": list(split.classes)}
    return Images(size, pixels.contiguous(), labels={"class": label}, classes=classes)

"""Loading a user's images: a folder of files, tar shards, or a torchvision set by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch

from msr import safe
from msr.data import files, shards, torchvision_sets
from msr.data.files import Decoder, Inspection, Source
from msr.data.images import Images, at_most, enough, in_memory

VAL_NAMES = ("val", "valid", "validation", "test")  # held-out folders beside train; first found


def load(
    data_dir: str | Path,
    size: int,
    val_share: float = 0.1,
    seed: int = 0,
    num_workers: int = 0,
    max_images: int = 0,
    max_val: int = 0,
    at_least: int = 1,
    val_dir: str = "",
    max_bad: float = 0.1,
) -> tuple[Images, Images]:
    """Return (train, val), read from a folder, from tar shards, or from a torchvision set.

    data_dir: a folder of `<class>/…` folders, a flat folder of files (which has no labels), a
    folder of tar shards, or a pattern such as ``/data/train-{000000..000146}.tar``; or a folder
    that holds `train` in one of these forms. The held-out images are those of `val_dir`, in any of
    these forms; else those of `val` (or `valid`, `validation`, `test`) beside `train`; else the
    share `val_share`, drawn at random. data_dir may also be `cifar10`, `cifar100` or `stl10`,
    downloaded to `torchvision_sets.cache_home()` if absent, or a folder that holds one of these in
    torchvision's form; they have held-out images of their own.

    size: side of the views in pixels. seed: of every random choice made here. num_workers:
    processes that decode files. max_images, max_val: keep at most this many training and held-out
    images (0: all). at_least: the fewest training images allowed, such as one batch. max_bad: share
    of the files that may be unreadable; these are skipped, and recorded in `Images.inspection`.

    Small splits are decoded into memory. Raises ValueError, one line, for a place that cannot be
    read, for too few images or too many unreadable ones, and for classes that do not agree.
    """
    root = Path(data_dir).expanduser()
    name = torchvision_sets.torchvision_name(data_dir)
    if name:
        home = root if root.is_dir() else torchvision_sets.cache_home()
        train, val = torchvision_sets.load(name, home, size)
    else:
        train, val = _load_files(str(data_dir), val_dir, size, val_share, seed)
    train, val = at_most(train, max_images, seed), at_most(val, max_val, seed)
    enough(train, at_least)
    if train.inspection:
        train.inspection.total, train.inspection.max_bad = len(train) + len(val), max_bad
    return in_memory(train, num_workers), in_memory(val, num_workers)


def _load_files(
    data_dir: str, val_dir: str, size: int, val_share: float, seed: int
) -> tuple[Images, Images]:
    """Return what `folders` returns; raise ValueError, one line, for an unreadable data_dir."""
    if not Path(data_dir).expanduser().is_dir() and not shards.is_pattern(data_dir):
        raise ValueError(
            f"data_dir '{data_dir}' is not a folder (nor one of "
            f"{', '.join(torchvision_sets.TORCHVISION)}, nor a pattern of tar files); "
            "give a folder of images"
        )
    try:
        return folders(data_dir, val_dir, size, val_share, seed)
    except OSError as error:
        raise ValueError(
            f"data_dir '{data_dir}' cannot be read: {error.strerror} ({error.filename})"
        ) from None


def folders(
    data_dir: str, val_dir: str, size: int, val_share: float, seed: int
) -> tuple[Images, Images]:
    """Return (train, val) from folders or shards, not yet decoded; both share one `Inspection`.

    Arguments as for `load`. Raises ValueError, one line, if there is no image, if fewer than 10 are
    to be split at random, or if the held-out images have a class that training lacks.
    """
    train_dir, val_dir = places(data_dir, val_dir)
    inspection = Inspection()
    found = sources(train_dir)
    side = stored_size(found.source, size)
    inspection.skipped |= found.problems
    train = _images(found, found.classes, size, side, inspection)
    if val_dir:
        held_out = _in_classes(sources(val_dir), val_dir, found.classes, train_dir)
        inspection.skipped |= held_out.problems
        return train, _images(held_out, found.classes, size, side, inspection)
    if len(train) < 10:
        raise ValueError(
            f"only {len(train)} images in '{train_dir}': too few to hold some out; give 10 or more"
        )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    n_val = max(1, round(val_share * len(order)))
    return train.pick(order[n_val:].sort().values), train.pick(order[:n_val].sort().values)


def places(data_dir: str, val_dir: str) -> tuple[str, str]:
    """Return the place of the training images and that of the held-out images.

    The second is "" if the held-out images are to be split off the training images. Raises
    ValueError, one line, if val_dir is neither a folder nor a pattern of tar files, or if it is
    the same text as the place of the training images.
    """
    root = Path(data_dir).expanduser()
    train_dir = data_dir
    if (root / "train").is_dir():
        train_dir = str(root / "train")
        inside = [str(root / name) for name in VAL_NAMES if (root / name).is_dir()]
        val_dir = val_dir or next(iter(inside), "")
    if val_dir and not Path(val_dir).expanduser().is_dir() and not shards.is_pattern(val_dir):
        raise ValueError(f"val_dir '{val_dir}' is not a folder, nor a pattern of tar files")
    if val_dir == train_dir:
        raise ValueError(f"val_dir '{val_dir}' holds the training images; give another, or none")
    return train_dir, val_dir


class Found(NamedTuple):
    """The N images of one place, listed but not decoded."""

    source: Source
    classes: list[str]  # sorted; "" stands for images that lie in no class folder
    label: torch.Tensor  # long [N]: each image's class, an index into `classes`
    problems: dict[str, str]  # {shard: what is wrong with it}


def sources(where: str) -> Found:
    """List the images of a folder of files, a folder of tar shards, or a pattern of tar files.

    Nothing is decoded. Raises ValueError, one line, if there is no image, or if some images lie in
    class folders and others beside these.
    """
    if shards.is_pattern(where):
        paths = shards.expand(where)
    else:
        paths = sorted(str(path) for path in Path(where).expanduser().glob("*.tar"))
    found = _from_shards(paths) if paths else _from_files(Path(where).expanduser())
    if not len(found.source):
        raise ValueError(
            f"no images in '{where}' (looked for {', '.join(files.EXTENSIONS)}, all subfolders)"
            + "".join(f"; {path}: {what}" for path, what in found.problems.items())
        )
    if len(found.classes) > 1 and "" in found.classes:
        stray = int((found.label == found.classes.index("")).nonzero()[0])
        raise ValueError(
            f"'{safe.shown(found.source.names[stray])}' lies beside class folders; "
            "move it into one, or keep all images in one flat folder"
        )
    return found


def _from_shards(paths: list[str]) -> Found:
    """List the images of shards; classes that are numbers come first, sorted as numbers."""
    source, names, problems = shards.read(paths)

    def place(name: str) -> tuple[bool, int, str]:
        number = name.isdecimal()  # isdigit() holds for "²", which is no number
        return not number, int(name) if number else 0, name

    classes = sorted(set(names), key=place)
    number = {name: i for i, name in enumerate(classes)}
    return Found(source, classes, torch.tensor([number[name] for name in names]), problems)


def _from_files(root: Path) -> Found:
    """List the images of a folder; an image's class is its folder directly below `root`."""
    found = files.index(root)
    tops = [Path(folder).parts[0] if folder else "" for folder in found]
    classes = sorted({top for top, names in zip(tops, found.values()) if names})
    number = {name: i for i, name in enumerate(classes)}
    counts = torch.tensor([len(names) for names in found.values()])
    label = torch.tensor([number.get(top, 0) for top in tops]).repeat_interleave(counts)
    paths = (os.path.join(root, folder, name) for folder, names in found.items() for name in names)
    return Found(files.Files(files.Strings(paths)), classes, label, {})


def _in_classes(found: Found, where: str, classes: list[str], train_dir: str) -> Found:
    """Renumber the held-out images' labels by the training images' `classes`.

    Without training classes (a flat folder) nothing is changed. Raises ValueError, one line, for a
    class that the training images lack.
    """
    if classes == [""]:
        return found
    lacking = sorted(set(found.classes) - set(classes))
    if lacking:
        raise ValueError(
            f"'{where}' has classes that '{train_dir}' lacks: "
            + ", ".join(map(safe.shown, lacking[:5]))
        )
    number = torch.tensor([classes.index(name) for name in found.classes])
    return found._replace(label=number[found.label])


def _images(
    found: Found, classes: list[str], size: int, side: int, inspection: Inspection
) -> Images:
    """Return found images as a split, to be decoded to `side` × `side` pixels.

    It has labels if there are two classes or more.
    """
    labelled = len(classes) > 1
    return Images(
        size,
        files=Decoder(found.source, side),
        labels={"class": found.label} if labelled else {},
        classes={"class": classes} if labelled else {},
        inspection=inspection,
    )


def stored_size(source: Source, size: int) -> int:
    """Return the side in pixels to which images are decoded, for views of `size` × `size` pixels.

    It is 8/7 of `size` (256 for 224). It is `size` itself if the images are small: the shorter
    sides of about 16 of them are measured, and their median is at most `size`.
    """
    sides = []
    for i in range(0, len(source), max(1, len(source) // 16)):
        try:
            with safe.image(source.open(i)) as image:
                sides.append(min(image.size))
        except Exception:  # decoding will record this file as unreadable
            continue
    return round(size * 8 / 7) if sides and sorted(sides)[len(sides) // 2] > size else size

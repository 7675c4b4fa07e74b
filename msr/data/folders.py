"""A user's images: a folder of files, tar shards, or the name of one of torchvision's sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from msr.data import files, shards, torchvision_sets
from msr.data.files import Decoder, Inspection, Source
from msr.data.images import Images, at_most, enough, in_memory

VAL_NAMES = ("val", "valid", "validation", "test")  # folders of held-out images beside train


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
    """Return (train, val) from a folder, from tar shards, or from a named set.

    `train/<class>/…` with `val/<class>/…` (or `test`) holds files or tar shards. `<class>/…` alone,
    a flat folder, a folder of shards, or a pattern such as /data/train-{000000..000146}.tar is
    split at random with a `val_share` held out, or `val_dir` holds the held-out images in any of
    these forms. A flat folder has no labels. `cifar10`, `cifar100` and `stl10` name torchvision's
    sets (downloaded to ~/.cache/msr when absent); a folder that holds one of them in torchvision's
    form works too.

    max_images, max_val: keep at most this many training and held-out images (0: all).
    at_least: a batch; fewer training images are an error, found before any file is decoded.
    max_bad: the share of files that may be unreadable; they are skipped, and named in `inspection`.
    Raises ValueError, one line, when there is nothing to read.
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
    """Return `folders(…)`; a data_dir that is none or cannot be read raises one line."""
    if not Path(data_dir).expanduser().is_dir() and not shards.is_pattern(data_dir):
        raise ValueError(
            f"data_dir '{data_dir}' is not a folder (nor one of "
            f"{', '.join(torchvision_sets.TORCHVISION)}, nor a pattern of tar files); "
            "give a folder of images"
        )
    try:
        return folders(data_dir, val_dir, size, val_share, seed)
    except PermissionError as error:
        raise ValueError(
            f"data_dir '{data_dir}' cannot be read: {error.strerror} ({error.filename})"
        ) from None


def folders(
    data_dir: str, val_dir: str, size: int, val_share: float, seed: int
) -> tuple[Images, Images]:
    """Return (train, val), undecoded; one `Inspection` serves both.

    Raises ValueError, one line, where there is nothing to read, or the classes do not agree.
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
    """Return where the training and the held-out images lie; "" where these must be held out.

    Raises ValueError, one line, where val_dir is neither a folder nor a pattern, or is no other
    place than the training images'.
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
    """The images of one place, unread."""

    source: Source
    classes: list[str]  # sorted; "" is the class of images beside class folders, or in none
    label: torch.Tensor  # long [N]: each image's class
    problems: dict[str, str]  # {shard: what is wrong with it}


def sources(where: str) -> Found:
    """List a folder of files, a folder of tar shards, or a pattern of them, without decoding.

    Raises ValueError, one line, where there is no image, or some lie beside class folders.
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
            f"'{found.source.names[stray]}' lies beside class folders; "
            "move it into one, or keep all images in one flat folder"
        )
    return found


def _from_shards(paths: list[str]) -> Found:
    """List shards; classes that are numbers are sorted as numbers, and come first."""
    source, names, problems = shards.read(paths)

    def place(name: str) -> tuple[bool, int, str]:
        return not name.isdigit(), int(name) if name.isdigit() else 0, name

    classes = sorted(set(names), key=place)
    number = {name: i for i, name in enumerate(classes)}
    return Found(source, classes, torch.tensor([number[name] for name in names]), problems)


def _from_files(root: Path) -> Found:
    """List a folder's files; the class of an image is the folder directly below root."""
    found = files.index(root)
    tops = [Path(folder).parts[0] if folder else "" for folder in found]
    classes = sorted({top for top, names in zip(tops, found.values()) if names})
    number = {name: i for i, name in enumerate(classes)}
    counts = torch.tensor([len(names) for names in found.values()])
    label = torch.tensor([number.get(top, 0) for top in tops]).repeat_interleave(counts)
    paths = (os.path.join(root, folder, name) for folder, names in found.items() for name in names)
    return Found(files.Files(files.Strings(paths)), classes, label, {})


def _in_classes(found: Found, where: str, classes: list[str], train_dir: str) -> Found:
    """Number the held-out images' classes as the training images' are; a flat folder has none."""
    if classes == [""]:
        return found
    lacking = sorted(set(found.classes) - set(classes))
    if lacking:
        raise ValueError(
            f"'{where}' has classes that '{train_dir}' lacks: {', '.join(lacking[:5])}"
        )
    number = torch.tensor([classes.index(name) for name in found.classes])
    return found._replace(label=number[found.label])


def _images(
    found: Found, classes: list[str], size: int, side: int, inspection: Inspection
) -> Images:
    """Return the split of found images, stored at `side`; labelled where there are two classes."""
    labelled = len(classes) > 1
    return Images(
        size,
        files=Decoder(found.source, side),
        labels={"class": found.label} if labelled else {},
        classes={"class": classes} if labelled else {},
        inspection=inspection,
    )


def stored_size(source: Source, size: int) -> int:
    """Return the side at which images are kept, for views of `size` pixels.

    8/7 of the view's side (256 for 224), or the view's side where the median of some images'
    shorter sides is no larger than it.
    """
    sides = []
    for i in range(0, len(source), max(1, len(source) // 16)):
        try:
            with Image.open(source.open(i)) as image:
                sides.append(min(image.size))
        except Exception:  # the inspection names it when it is decoded
            continue
    return round(size * 8 / 7) if sides and sorted(sides)[len(sides) // 2] > size else size

"""Where the training images and the held-out images lie, and that these places lie apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msr import dist
from msr.data import shards
from msr.data.files import EXTENSIONS

VAL_NAMES = ("val", "valid", "validation", "test")  # held-out folders beside train; first found
TRAIN_NAMES = ("train", "training")


@dataclass(frozen=True)
class Place:
    """Where the images of one split lie: in shards, or in a folder of files."""

    text: str  # as it was given or found, for messages
    parameter: str  # data_dir or val_dir, for messages
    shards: tuple[str, ...] = ()  # paths of tar files; empty for a folder of image files

    @property
    def root(self) -> Path:
        """The folder of image files."""
        return Path(self.text).expanduser()


def say(line: str) -> None:
    """Print one line, on the first of several ranks."""
    if dist.rank() == 0:
        print(line, flush=True)


# ------------------------------------------------------------------------------------- two places


def find(data_dir: str, val_dir: str) -> tuple[Place, Place | None]:
    """Return the place of the training images and that of the held-out images.

    The second is None if the held-out images are to be split off the training images. They are the
    images of val_dir, else of a folder `val` (see VAL_NAMES) beside `train`, else the shards named
    so beside shards named `train`. Raises ValueError, one line, if val_dir is neither a folder nor
    a pattern of tar files, or if the training images lie in it.
    """
    root, train_dir = Path(data_dir).expanduser(), data_dir
    if os.path.isdir(root / "train"):  # unlike Path.is_dir, False where nothing may be read
        train_dir = str(root / "train")
        inside = [str(root / name) for name in VAL_NAMES if os.path.isdir(root / name)]
        val_dir = val_dir or next(iter(inside), "")
    _check_val_dir(train_dir, val_dir)
    mine, beside = by_name(train_dir)
    train = Place(train_dir, "data_dir", mine)
    if not val_dir:
        if not beside:
            return train, None
        say(
            f"'{train_dir}': {len(mine)} shards to train on, {len(beside)} shards held out, by name"
        )
        return train, Place(train_dir, "val_dir", beside)
    theirs, held_out = by_name(val_dir)
    val = Place(val_dir, "val_dir", held_out or theirs)
    same = {os.path.realpath(path) for path in val.shards}
    for path in train.shards:
        if os.path.realpath(path) in same:
            raise ValueError(
                f"shard '{path}' is both in data_dir '{train_dir}' and in val_dir '{val_dir}'; "
                "give patterns without common shards"
            )
    return train, val


def _check_val_dir(train_dir: str, val_dir: str) -> None:
    """Raise ValueError, one line, for a val_dir that is no place, or contains train_dir."""
    if not val_dir:
        return
    if not os.path.isdir(os.path.expanduser(val_dir)) and not shards.is_pattern(val_dir):
        raise ValueError(f"val_dir '{val_dir}' is not a folder, nor a pattern of tar files")
    train, val = (Path(os.path.realpath(os.path.expanduser(d))) for d in (train_dir, val_dir))
    if train == val or val in train.parents:
        raise ValueError(
            f"val_dir '{val_dir}' holds the training images"
            + (f" of '{train_dir}'" if train != val else "")
            + "; give another, or none"
        )


def by_name(where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the shards of a folder or pattern to train on, and those held out by their names.

    Names such as ``train-0000.tar`` and ``val-0000.tar`` tell both kinds apart. All shards are of
    the first kind if their names do not differ in this. Both are empty for a folder without shards.
    Raises ValueError, one line, if only some shards say by their names what they are, or none is
    for training.
    """
    if shards.is_pattern(where):
        paths = shards.expand(where)
    else:
        paths = sorted(str(path) for path in Path(where).expanduser().glob("*.tar"))
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(_kind(path), []).append(path)
    held_out = [name for name in VAL_NAMES if name in kinds]
    if len(kinds) < 2:
        return tuple(paths), ()
    if "" in kinds or "train" not in kinds:
        some, other = (Path(kinds[kind][0]).name for kind in list(kinds)[:2])
        raise ValueError(
            f"'{where}' holds shards of several kinds, such as '{some}' and '{other}'; give one "
            "pattern for data_dir and one for val_dir, or name the shards train-… and val-…"
        )
    return tuple(kinds["train"]), tuple(kinds[held_out[0]])


def _kind(path: str) -> str:
    """Return "train", or one of VAL_NAMES, if a shard's name has that word, else its folder's."""
    for part in (Path(path).stem, Path(path).parent.name):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in TRAIN_NAMES or word in VAL_NAMES:
                return "train" if word in TRAIN_NAMES else word
    return ""


def shared(
    train: Place, val: Place, train_folders: Iterable[str], val_folders: Iterable[str]
) -> list[str]:
    """Return those of the training images' folders that hold held-out images too.

    Both places are folders of files. train_folders, val_folders: the folders in them that hold
    images, relative to the place. Symbolic links are resolved.
    """
    held_out = {os.path.realpath(val.root / folder) for folder in val_folders}
    return [f for f in train_folders if os.path.realpath(train.root / f) in held_out]


def check_classes(place: Place, folders: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError, one line, if a class folder is really one of held-out images.

    It is if it has the name of one and holds folders of the other classes. folders: {folder
    relative to the place: names of its images}.
    """
    inside: dict[str, set[str]] = {}  # {class folder: names of the folders in it}
    for folder, names in folders.items():
        parts = Path(folder).parts
        if names and parts:
            inside.setdefault(parts[0], set()).update(parts[1:2])
    for name in VAL_NAMES:
        both = inside.get(name, set()) & (inside.keys() - {name})
        if both:
            raise ValueError(
                f"'{place.text}' holds class folders, and beside them '{name}' with the same "
                f"class '{min(both)}'; move the classes into '{place.text}/train', or give "
                f"val_dir '{place.text}/{name}'"
            )


def check_beside_shards(place: Place) -> None:
    """Raise ValueError, one line, if image files lie beside the shards of a folder."""
    if place.root.is_dir():
        for name in sorted(os.listdir(place.root)):
            if name.lower().endswith(EXTENSIONS):
                raise ValueError(
                    f"'{place.text}' holds shards and image files, such as '{name}'; give the "
                    f"pattern '{place.text}/*.tar', or move one kind away"
                )

"""Loading a user's images: a folder of files, tar shards, or a torchvision set by its name."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from msr import safe
from msr.data import copies, faults, files, ground_truth, places, shards, torchvision_sets
from msr.data.files import Decoder, Inspection, Source
from msr.data.images import Images, at_most, enough, in_memory
from msr.data.places import Place

SIZES = 1000  # files of a folder whose lengths are part of its listing's digest


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
    decode_val: bool = True,
) -> tuple[Images, Images]:
    """Return (train, val), read from a folder, from tar shards, or from a torchvision set.

    data_dir: a folder of `<class>/…` folders, a flat folder of files (which has no labels), a
    folder of tar shards, or a pattern such as ``/data/train-{000000..000146}.tar``; or a folder
    that holds `train` in one of these forms. The held-out images are those of `val_dir`, in any of
    these forms; else those of `val` (or `valid`, `validation`, `test`) beside `train`, folders or
    names of shards; else the share `val_share`, drawn at random. Images of a val_dir inside
    data_dir are left out of training, and a printed line warns of held-out images that are training
    images too (see `msr.data.copies`). data_dir may also be `cifar10`, `cifar100` or `stl10`,
    downloaded to `torchvision_sets.cache_home()` if absent, or a folder that holds one of these in
    torchvision's form; they have held-out images of their own.

    size: side of the views in pixels. seed: of every random choice made here. num_workers:
    processes that decode files. max_images, max_val: keep at most this many training and held-out
    images (0: all). at_least: the fewest training images allowed, such as one batch. max_bad: share
    of the files that may be unreadable; these are skipped, and recorded in `Images.inspection`.

    Small splits are decoded into memory, the held-out one only with `decode_val`. Raises
    ValueError, one line, for a place that cannot be read, for too few images or too many unreadable
    ones, and for classes that do not agree.
    """
    name = torchvision_sets.torchvision_name(data_dir)
    if name:
        train, val = torchvision_sets.load(name, torchvision_sets.home_of(data_dir), size)
    else:
        train, val = folders(str(data_dir), val_dir, size, val_share, seed)
    found = len(train) + len(val)
    train, val = at_most(train, max_images, seed), at_most(val, max_val, seed)
    enough(train, at_least)
    if train.inspection:
        train.inspection.total, train.inspection.max_bad = len(train) + len(val), max_bad
        train.inspection.check_lost(found)
    return in_memory(train, num_workers), in_memory(val, num_workers) if decode_val else val


def folders(
    data_dir: str, val_dir: str, size: int, val_share: float, seed: int
) -> tuple[Images, Images]:
    """Return (train, val) from folders or shards, not yet decoded; both share one `Inspection`.

    Arguments as for `load`. Raises ValueError, one line, for a place that cannot be read or holds
    no image, if fewer than 10 images are to be split at random, or if the held-out images have a
    class that training lacks.
    """
    if not os.path.isdir(os.path.expanduser(data_dir)) and not shards.is_pattern(data_dir):
        raise ValueError(
            f"data_dir '{data_dir}' is not a folder (nor one of "
            f"{', '.join(torchvision_sets.TORCHVISION)}, nor a pattern of tar files); "
            "give a folder of images"
        )
    here, there = places.find(data_dir, val_dir)
    held_out = sources(there) if there else None
    found = sources(here, there)
    inspection = Inspection()
    for some in (found, held_out) if held_out else (found,):
        inspection.skipped |= some.problems
        inspection.lost |= some.lost
    side = stored_size(found.source, size)
    train = _images(found, found.classes, size, side, inspection)
    if held_out and there:
        held_out = _in_classes(held_out, there, found.classes, here)
        val = _images(held_out, found.classes, size, side, inspection)
    elif len(train) < 10:
        raise ValueError(
            f"only {len(train)} images in '{here.text}': too few to hold some out; give 10 or more"
        )
    else:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        n_val = max(1, round(val_share * len(order)))
        train, val = (train.pick(rows.sort().values) for rows in (order[n_val:], order[:n_val]))
    group = found.source.group
    if group is not None and shards.window(group, found.label) > shards.WINDOW:
        places.say(
            f"'{here.text}': its shards are sorted by class, so images are shuffled over all of "
            "them; shards in random order are read faster"
        )
    copies.warn(train.decoder.source, val.decoder.source)
    return train, val


@dataclass(frozen=True)
class Found:
    """The N images of one place, listed but not decoded."""

    source: Source
    classes: list[str]  # sorted; "" stands for images that lie in no class folder
    label: torch.Tensor  # long [N]: each image's class, an index into `classes`
    listing: str  # a digest of names and lengths, the same wherever the images lie
    problems: dict[str, str] = field(default_factory=dict)  # {shard: what is wrong with it}
    lost: dict[str, int] = field(default_factory=dict)  # {shard: its number of lost images}


def sources(place: Place, apart_from: Place | None = None) -> Found:
    """List the images of a place; nothing is decoded.

    apart_from: the place of held-out images; those of its folders that lie in this place too are
    left out, which a printed line says. Raises ValueError, one line, if the place cannot be read,
    if there is no image, or if some images lie in class folders and others beside these.
    """
    try:
        if place.shards:
            places.check_beside_shards(place)
            found = _from_shards(list(place.shards))
        else:
            found = _from_files(place, apart_from)
    except OSError as error:
        raise ValueError(
            f"{place.parameter} '{place.text}' cannot be read: {error.strerror} ({error.filename})"
        ) from None
    if not len(found.source):
        raise ValueError(
            f"no images in '{place.text}' (looked for {', '.join(files.EXTENSIONS)}, all "
            f"subfolders{f' outside {apart_from.text}' if apart_from else ''})"
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
    index = shards.read(paths)

    def place(name: str) -> tuple[bool, int, str]:
        number = name.isdecimal() and len(name) < 19  # isdigit() holds for "²", which is no number
        return not number, int(name) if number else 0, name

    classes = sorted(set(index.classes), key=place)
    number = {name: i for i, name in enumerate(classes)}
    label = torch.tensor([number[name] for name in index.classes], dtype=torch.long)
    return Found(index.images, classes, label, index.listing, index.problems, index.lost)


def _from_files(place: Place, apart_from: Place | None) -> Found:
    """List the images of a folder; an image's class is its folder directly below the place."""
    found = files.index(place.root)
    if apart_from and not apart_from.shards:
        shared = places.shared(place, apart_from, found, files.index(apart_from.root))
        left_out = sum(len(found.pop(folder)) for folder in shared)
        if left_out:
            places.say(f"{left_out} images of '{apart_from.text}' are left out of training")
    places.check_classes(place, found)
    tops = [Path(folder).parts[0] if folder else "" for folder in found]
    classes = sorted({top for top, names in zip(tops, found.values()) if names})
    number = {name: i for i, name in enumerate(classes)}
    counts = torch.tensor([len(names) for names in found.values()], dtype=torch.long)
    tops_label = torch.tensor([number.get(top, 0) for top in tops], dtype=torch.long)
    root = os.path.abspath(place.root)
    paths = (os.path.join(root, folder, name) for folder, names in found.items() for name in names)
    source = files.Files(files.Strings(paths))
    return Found(source, classes, tops_label.repeat_interleave(counts), _listing(found, source))


def _listing(found: dict[str, list[str]], source: files.Files) -> str:
    """Return a digest of the names below a folder, and of the lengths of up to `SIZES` files.

    The files whose lengths count are spread evenly, since to ask for all takes minutes on a network
    disk.
    """
    digest = hashlib.sha256(json.dumps([item for item in found.items() if item[1]]).encode())
    for i in range(0, len(source), max(1, len(source) // SIZES)):
        digest.update(f"{source.length(i)} ".encode())
    return digest.hexdigest()[:32]


def _in_classes(found: Found, there: Place, classes: list[str], here: Place) -> Found:
    """Renumber the held-out images' labels by the training images' `classes`.

    With fewer than two training classes there are no labels, so all become 0. The classes of a flat
    folder come from a file (see `msr.data.ground_truth`). Raises ValueError, one line, for a class
    that the training images lack, and for a flat folder without such a file.
    """
    if len(classes) < 2:
        return replace(found, label=torch.zeros_like(found.label))
    lacking = sorted(set(found.classes) - set(classes))
    if lacking and len(found.classes) == 1 and not there.shards:
        label = _by_truth(found, there, classes)
        if label is not None:
            return replace(found, label=label)
    if lacking == [""]:
        raise ValueError(
            f"'{there.text}' is {'shards' if there.shards else 'a flat folder'} of "
            f"{len(found.label):,} held-out images without classes, but '{here.text}' has class "
            f"folders; move the images into class folders, or put {ground_truth.TRUTH} with "
            f"meta.mat, {ground_truth.SOLUTION} or a text of lines 'file class' beside them"
        )
    if lacking:
        raise ValueError(
            f"'{there.text}' has classes that '{here.text}' lacks: "
            + ", ".join(map(safe.shown, lacking[:5]))
        )
    number = torch.tensor([classes.index(name) for name in found.classes])
    return replace(found, label=number[found.label])


def _by_truth(found: Found, there: Place, classes: list[str]) -> torch.Tensor | None:
    """Return the labels, long [N], of held-out images without class folders, or None.

    They come from a file (see `msr.data.ground_truth`). Raises ValueError, one line, if it does not
    give every image one of the `classes`.
    """
    names = [Path(name).stem for name in found.source.names]
    truth = ground_truth.find(there.root, set(names), set(classes))
    if truth is None:
        return None
    of_image, path = truth
    number = {name: i for i, name in enumerate(classes)}
    for name in names:
        if of_image.get(name) not in number:
            known = f"the class {of_image.get(name)}, which training lacks"
            raise ValueError(
                f"'{path}' gives image '{name}' {known if name in of_image else 'no class'}"
            )
    places.say(f"the classes of the {len(names):,} images in '{there.text}' are those of '{path}'")
    return torch.tensor([number[of_image[name]] for name in names])


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
        listing=found.listing,
    )


def stored_size(source: Source, size: int) -> int:
    """Return the side in pixels to which images are decoded, for views of `size` × `size` pixels.

    It follows from `stored` for the median of the shorter sides of about 16 of the images.
    """
    sides = []
    for i in range(0, len(source), max(1, len(source) // 16)):
        try:
            with safe.image(source.open(i)) as image:
                sides.append(min(image.size))
        except Exception as error:  # decoding will record this file as unreadable
            faults.check(error, source.names[i])
    return stored(sorted(sides)[len(sides) // 2], size) if sides else size


def stored(shorter: int, size: int) -> int:
    """Return the side to which images with this shorter side are decoded, all in pixels.

    It is 4/3 of `size`, the side of the views, so that the centre square of a photograph of 4:3,
    squashed, still has `size` pixels a side; but no more than the shorter side, unless that is less
    than `size`.
    """
    return max(size, min(shorter, round(size * 4 / 3)))

"""Images in tar files (shards) of the WebDataset form: `a/0001.jpg` and its class `a/0001.cls`.

Each shard is indexed once; its images are then read by their position in the file. Every epoch puts
the shards in a random order and shuffles the images of a few consecutive shards together, so that
the disk can read ahead; images of shards that are sorted by class are shuffled over all shards. The
order depends on seed and epoch alone, so a stopped run can be resumed, unlike a run that reads the
shards as a stream.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import tarfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from braceexpand import braceexpand

from msr import safe
from msr.data import faults, tars
from msr.data.cache import cached
from msr.data.files import EXTENSIONS
from msr.data.strings import Strings

WINDOW = 8  # shards whose images are shuffled together
OPEN = 64  # shards that a process keeps open
SORTED = 0.5  # shards hold fewer of the classes than this share of a random draw's: are sorted


class Handles:
    """The shards that this process has open, at most `OPEN`; the longest unused is closed first.

    A forked process opens its own: it would otherwise share the positions in its parent's files.
    """

    def __init__(self) -> None:
        self.process, self.files = os.getpid(), OrderedDict[str, BinaryIO]()

    def __reduce__(self) -> tuple:
        return Handles, ()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Return `size` bytes of a shard from position `offset` on, or fewer at its end."""
        if self.process != os.getpid():
            self.process, self.files = os.getpid(), OrderedDict()
        file = self.files.pop(path, None) or open(path, "rb", buffering=0)
        self.files[path] = file
        if len(self.files) > OPEN:
            self.files.popitem(last=False)[1].close()
        try:
            file.seek(offset)
            blob = bytearray()
            while len(blob) < size and (part := file.read(size - len(blob))):
                blob += part
            return bytes(blob)
        except OSError:  # as from a network disk that came back: the next try opens it anew
            del self.files[path]
            raise


CLASS = 2**10  # bytes of a `.cls` file


@dataclass
class Tar:
    """N images inside shards; it has the interface of `msr.data.files.Source`."""

    names: Strings  # of the N images: "path/of/shard.tar/member"
    shards: Strings  # paths of the shards
    group: torch.Tensor  # long [N]: each image's shard, an index into `shards`
    offset: torch.Tensor  # long [N]: position of the image's first byte in its shard
    size: torch.Tensor  # long [N]: length of the image in bytes
    handles: Handles = field(default_factory=Handles)

    def __len__(self) -> int:
        return len(self.group)

    def open(self, i: int) -> io.BytesIO:
        """Return the bytes of image i.

        Raises OSError if the shard ends before the image does, and ValueError for an image of more
        than `safe.IMAGE` bytes.
        """
        size = self.length(i)
        if size > safe.IMAGE:
            raise ValueError(f"{size:,} bytes, more than {safe.IMAGE:,}")
        blob = self.handles.read(self.shards[int(self.group[i])], int(self.offset[i]), size)
        if len(blob) < size:
            raise OSError("the shard ends before the image does")
        return io.BytesIO(blob)

    def length(self, i: int) -> int:
        """Return the length of image i in bytes."""
        return int(self.size[i])

    def pick(self, rows: torch.Tensor) -> Tar:
        """Return the source of the images at `rows`, long [n]."""
        names = Strings([self.names[i] for i in rows.tolist()])
        return Tar(names, self.shards, self.group[rows], self.offset[rows], self.size[rows])


def window(group: torch.Tensor, label: torch.Tensor | None) -> int:
    """Return how many consecutive shards are shuffled together: WINDOW, or all of them.

    group, label: each image's shard and class, long [N]. It is all shards if these are sorted by
    class, since the batches would otherwise hold few classes: if a shard holds on average fewer
    than the share SORTED of the classes that as many images drawn at random would hold.
    """
    if label is None or not len(group):
        return WINDOW
    # the classes of each shard, and those of a random draw of n images: E = Σ_c 1 − (1 − p_c)ⁿ
    pairs = (group * (int(label.max()) + 1) + label).unique()
    share = label.bincount().double() / len(label)
    counts, shards_of = group.bincount()[group.unique()].unique(return_counts=True)
    expected = sum(
        n * float((1 - (1 - share) ** count).sum())
        for count, n in zip(counts.tolist(), shards_of.tolist())
    )
    return WINDOW if len(pairs) >= SORTED * expected else int(group.max()) + 1


def is_pattern(text: str | Path) -> bool:
    """Return whether `text` is the path of a tar file or a pattern, rather than a folder."""
    return str(text).endswith(".tar") or any(c in str(text) for c in "{*?")


def expand(text: str) -> list[str]:
    """Return the paths that a pattern such as ``in-{000000..000146}.tar`` stands for.

    Braces are expanded in their order; the matches of ``*`` and ``?`` are sorted. Raises
    ValueError, one line, if an expanded path or pattern matches no file.
    """
    found = []
    for part in braceexpand(str(Path(text).expanduser())):
        paths = sorted(glob.glob(part))
        if not paths:
            raise ValueError(
                f"no shard '{part}' (from '{text}'); "
                "give paths of tar files, such as /data/train-{000000..000146}.tar"
            )
        found += paths
    return found


class Index(NamedTuple):
    """What the shards of one place hold."""

    images: Tar
    classes: list[str]  # of each image
    problems: dict[str, str]  # {damaged shard: what is wrong with it}
    lost: dict[str, int]  # {damaged shard: how many of its images are lost, estimated}
    listing: str  # a digest of names, lengths and classes, the same wherever the shards lie


def read(paths: list[str]) -> Index:
    """Index shards; the images come in the order of the shards.

    The class of an image is the text of its `.cls` file (by convention a number), else the image's
    folder inside the shard, else "". Raises ValueError, one line, for names that do not tell the
    images of a shard apart.
    """
    rows: list[tuple] = []
    problems, damage, size, digest = {}, {}, 0, hashlib.sha256()
    for number, path in enumerate(paths):
        images, problem, unread = _cached_members(path)
        rows += [(f"{path}/{name}", number, *rest) for name, *rest in images]
        size += os.path.getsize(path) - unread
        digest.update(json.dumps([os.path.basename(path), images]).encode())
        if problem:
            problems[path], damage[path] = problem, unread
    # lost images are as large as those found
    lost = {path: max(1, round(n * len(rows) / max(1, size))) for path, n in damage.items()}
    problems = {
        path: f"{what}; about {lost[path]:,} images lost" for path, what in problems.items()
    }
    names, shard, offset, length, classes = zip(*rows) if rows else [()] * 5
    group, first, bytes_ = (torch.tensor(column) for column in (shard, offset, length))
    tar = Tar(Strings(names), Strings(paths), group, first, bytes_)
    return Index(tar, list(classes), problems, lost, digest.hexdigest()[:32])


def _cached_members(path: str) -> tuple[list[list], str, int]:
    """Return `members(path)`, from the cache if the shard's size and time have not changed."""
    stat = os.stat(path)
    stamp = [stat.st_size, stat.st_mtime_ns]

    def make() -> dict[str, Any]:
        images, problem, unread = members(path)
        return {"stamp": stamp, "images": images, "problem": problem, "unread": unread}

    def valid(data: Any) -> bool:
        known = isinstance(data["problem"], str) and isinstance(data["unread"], int)
        return data["stamp"] == stamp and known and _rows(data["images"])

    data = cached(os.path.abspath(path), valid, make)
    return data["images"], data["problem"], data["unread"]


def _rows(images: list) -> bool:
    """Return whether a list has the form of the first value of `members`."""
    return isinstance(images, list) and all(
        [type(value) for value in row] == [str, int, int, str] and min(row[1:3]) >= 0
        for row in images
    )


def members(path: str) -> tuple[list[list], str, int]:
    """List a shard: its images, what is wrong with it or "", and the bytes that were not read.

    An image is [member, offset, size, class], with offset and size in bytes. As in WebDataset, the
    files of one sample agree in folder and name up to the first dot, and the rest of the name says
    what a file is: ``jpg`` and the like the image, ``cls`` its class, ``seg.png`` something else. A
    damaged shard gives the images before the damage. Nothing is extracted: names are only text, and
    links, devices and sparse members are not read. Raises ValueError, one line, for two images of
    one sample, and for pictures in a sample without an image, such as 2020.01.jpg.
    """
    images: dict[str, list[list]] = {}  # of each sample
    others: dict[str, list[str]] = {}
    classes, problem, end, cut = {}, "", 0, False
    try:
        with tars.opened(path) as tar:
            for member in tars.walk(tar):
                end = member.offset_data + member.size
                folder, base = os.path.split(member.name)
                stem, _, extension = base.partition(".")
                key, kind = os.path.join(folder, stem), "." + extension.lower()
                if member.isdir() or not stem or not kind.endswith((*EXTENSIONS, ".cls")):
                    continue
                if not member.isreg() or member.issparse():
                    name = safe.shown(member.name)
                    problem = f"{name} is a link, a device or sparse, and is not read"
                elif kind in EXTENSIONS:
                    row = [member.name, member.offset_data, member.size, folder]
                    images.setdefault(key, []).append(row)
                elif kind == ".cls":
                    classes[key] = _text(tar, member)
                else:
                    others.setdefault(key, []).append(member.name)
            after = tars.rest(path, tar.offset)
            problem, cut = after or problem, bool(after)
    except Exception as error:  # tarfile raises errors of many kinds for a damaged file
        faults.check(error, path)
        problem, cut = f"the shard cannot be read from byte {end:,} on: {safe.line(error)}", True
    _check_names(path, images, others)
    listed = [
        [name, offset, length, classes.get(key, folder)]
        for key, [(name, offset, length, folder)] in images.items()
    ]
    return listed, problem, max(0, os.path.getsize(path) - end) if cut else 0


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the text of a `.cls` file. Raises ValueError if it is longer than `CLASS` bytes."""
    if member.size > CLASS:
        raise ValueError(
            f"{safe.shown(member.name)} has {member.size:,} bytes, more than {CLASS:,}"
        )
    file = tar.extractfile(member)
    assert file is not None  # since the member is a regular file
    return file.read(CLASS).decode().strip()


def _check_names(path: str, images: dict[str, list[list]], others: dict[str, list[str]]) -> None:
    """Raise ValueError, one line, unless every sample with a picture has exactly one image."""
    for rows in images.values():
        if len(rows) > 1:
            raise ValueError(_alike(path, rows[0][0], rows[1][0]))
    for key, names in others.items():
        if key not in images:
            raise ValueError(_alike(path, *names[:2]))


def _alike(path: str, name: str, other: str = "") -> str:
    """Return the message on names in a shard that do not tell its images apart."""
    name, other = safe.shown(name), safe.shown(other)
    if name == other:
        return f"shard '{path}' holds '{name}' twice; names must differ before the first dot"
    both = f"'{name}' and '{other}', one sample" if other else f"'{name}', no image"
    return (
        f"shard '{path}' holds {both} by WebDataset's rule (what stands before the first dot names "
        "the sample, the rest is the kind of file); rename images so that they differ there"
    )

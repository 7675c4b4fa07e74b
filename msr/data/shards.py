"""Images in tar files (shards) of the WebDataset form: `a/0001.jpg` and its class `a/0001.cls`.

Each shard is indexed once; its images are then read by their position in the file. Every epoch puts
the shards in a random order and shuffles the images of a few consecutive shards together, so that
the disk can read ahead. The order depends on seed and epoch alone, so a stopped run can be resumed,
unlike a run that reads the shards as a stream.
"""

from __future__ import annotations

import glob
import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from braceexpand import braceexpand

from msr import safe
from msr.data import tars
from msr.data.cache import cached
from msr.data.files import EXTENSIONS, Strings

WINDOW = 8  # shards whose images are shuffled together
CLASS = 2**10  # bytes of a `.cls` file


@dataclass
class Tar:
    """N images inside shards; it has the interface of `msr.data.files.Source`."""

    names: Strings  # of the N images: "path/of/shard.tar/member"
    shards: Strings  # paths of the shards
    group: torch.Tensor  # long [N]: each image's shard, an index into `shards`
    offset: torch.Tensor  # long [N]: position of the image's first byte in its shard
    size: torch.Tensor  # long [N]: length of the image in bytes
    handles: dict[int, int] = field(default_factory=dict)  # {open shard: its file descriptor}

    def __len__(self) -> int:
        return len(self.group)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"handles": {}}

    def open(self, i: int) -> io.BytesIO:
        """Return the bytes of image i.

        Raises OSError if the shard ends before the image does, and ValueError for an image of more
        than `safe.IMAGE` bytes.
        """
        if self.size[i] > safe.IMAGE:
            raise ValueError(f"{int(self.size[i]):,} bytes, more than {safe.IMAGE:,}")
        shard = int(self.group[i])
        if shard not in self.handles:
            self.handles[shard] = os.open(self.shards[shard], os.O_RDONLY)
        blob = os.pread(self.handles[shard], int(self.size[i]), int(self.offset[i]))
        if len(blob) < self.size[i]:
            raise OSError("the shard ends before the image does")
        return io.BytesIO(blob)

    def pick(self, rows: torch.Tensor) -> Tar:
        """Return the source of the images at `rows`, long [n]."""
        names = Strings([self.names[i] for i in rows.tolist()])
        return Tar(names, self.shards, self.group[rows], self.offset[rows], self.size[rows])


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


def read(paths: list[str]) -> tuple[Tar, list[str], dict[str, str]]:
    """Index shards; return (images, the class of each image, {shard: what is wrong with it}).

    The images come in the order of the shards. The class of an image is the text of its `.cls` file
    (by convention a number), else the image's folder inside the shard, else "".
    """
    rows: list[tuple] = []
    problems = {}
    for number, path in enumerate(paths):
        images, problem = _cached_members(path)
        rows += [(f"{path}/{name}", number, *rest) for name, *rest in images]
        if problem:
            problems[path] = problem
    names, shard, offset, size, classes = zip(*rows) if rows else [()] * 5
    group, first, length = (torch.tensor(column) for column in (shard, offset, size))
    return Tar(Strings(names), Strings(paths), group, first, length), list(classes), problems


def _cached_members(path: str) -> tuple[list[list], str]:
    """Return `members(path)`, from the cache if the shard's size and time have not changed."""
    stat = os.stat(path)
    stamp = [stat.st_size, stat.st_mtime_ns]

    def make() -> dict[str, Any]:
        images, problem = members(path)
        return {"stamp": stamp, "images": images, "problem": problem}

    def valid(data: Any) -> bool:
        return data["stamp"] == stamp and isinstance(data["problem"], str) and _rows(data["images"])

    data = cached(os.path.abspath(path), valid, make)
    return data["images"], data["problem"]


def _rows(images: list) -> bool:
    """Return whether a list has the form of the first value of `members`."""
    return isinstance(images, list) and all(
        [type(value) for value in row] == [str, int, int, str] and min(row[1:3]) >= 0
        for row in images
    )


def members(path: str) -> tuple[list[list], str]:
    """List a shard; return ([member, offset, size, class] of each image, what is wrong or "").

    offset and size are in bytes. Two images whose names agree up to the first dot are taken for
    one, and the later of them counts, as does the `.cls` file of that name. A damaged shard gives
    the images before the damage. Nothing is extracted: names are only text, and links, devices and
    sparse members are not read.
    """
    images, classes, problem = {}, {}, ""
    try:
        with tars.opened(path) as tar:
            for member in tars.walk(tar):
                folder, base = os.path.split(member.name)
                key = os.path.join(folder, base.partition(".")[0])
                extension = os.path.splitext(base)[1].lower()
                if member.isdir() or extension not in (*EXTENSIONS, ".cls"):
                    continue
                if not member.isreg() or member.issparse():
                    problem = (
                        f"{safe.shown(member.name)} is a link, a device or sparse, and is not read"
                    )
                elif extension == ".cls":
                    classes[key] = _text(tar, member)
                else:
                    images[key] = [member.name, member.offset_data, member.size, folder]
    except Exception as error:  # tarfile raises errors of many kinds for a damaged file
        problem = f"the shard cannot be read to its end: {safe.line(error)}"
    return [[*row[:3], classes.get(key, row[3])] for key, row in images.items()], problem


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the text of a `.cls` file. Raises ValueError if it is longer than `CLASS` bytes."""
    if member.size > CLASS:
        raise ValueError(
            f"{safe.shown(member.name)} has {member.size:,} bytes, more than {CLASS:,}"
        )
    file = tar.extractfile(member)
    assert file is not None  # since the member is a regular file
    return file.read(CLASS).decode().strip()

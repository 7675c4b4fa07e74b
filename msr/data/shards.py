"""Images in tar shards, in the form of WebDataset: `a/0001.jpg` beside `a/0001.cls`.

Shards are indexed once, and images are then read by their offset. Every epoch draws an order of
the shards, and of the images within a few shards together, so that a disk can read ahead. The order
is a function of the seed and the epoch, so a stopped run can be resumed, unlike one that reads a
stream.
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

from msr.data.cache import cached
from msr.data.files import EXTENSIONS, Strings

WINDOW = 8  # shards whose images are shuffled together


@dataclass
class Tar:
    """Images inside shards; a `msr.data.files.Source`."""

    names: Strings  # "shard.tar/member"
    shards: Strings  # paths
    group: torch.Tensor  # long [N]: number of the shard
    offset: torch.Tensor  # long [N]: of the image's first byte in its shard
    size: torch.Tensor  # long [N]: bytes
    handles: dict[int, int] = field(default_factory=dict)  # shards that this process has open

    def __len__(self) -> int:
        return len(self.group)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"handles": {}}

    def open(self, i: int) -> io.BytesIO:
        """Read the bytes of image i. Raises OSError where the shard ends too early."""
        shard = int(self.group[i])
        if shard not in self.handles:
            self.handles[shard] = os.open(self.shards[shard], os.O_RDONLY)
        blob = os.pread(self.handles[shard], int(self.size[i]), int(self.offset[i]))
        if len(blob) < self.size[i]:
            raise OSError("the shard ends before the image does")
        return io.BytesIO(blob)

    def pick(self, rows: torch.Tensor) -> Tar:
        """Return the images at `rows`, long [n]."""
        names = Strings([self.names[i] for i in rows.tolist()])
        return Tar(names, self.shards, self.group[rows], self.offset[rows], self.size[rows])


def is_pattern(text: str | Path) -> bool:
    """Say whether `text` names tar files, one or by a pattern, rather than a folder."""
    return str(text).endswith(".tar") or any(c in str(text) for c in "{*?")


def expand(text: str) -> list[str]:
    """Return the paths of a pattern such as ``in-{000000..000146}.tar``, sorted.

    Raises ValueError, one line, where a shard is missing.
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
    """Index shards: (their images, the class of each image, {shard: what is wrong with it}).

    Images come in the order of the shards. A class is the number in the image's `.cls` file, else
    the name of the folder in which the shard holds it, else "".
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
    """Return `members(path)`, from the cache while the shard's size and time are the same."""
    stat = os.stat(path)
    stamp = [stat.st_size, stat.st_mtime_ns]

    def make() -> dict[str, Any]:
        images, problem = members(path)
        return {"stamp": stamp, "images": images, "problem": problem}

    data = cached(os.path.abspath(path), lambda data: data["stamp"] == stamp, make)
    return data["images"], data["problem"]


def members(path: str) -> tuple[list[list], str]:
    """List a shard: ([member, offset, size, class] of each image, what is wrong with the shard)."""
    images, classes, problem = {}, {}, ""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, base = os.path.split(member.name)
                key = os.path.join(folder, base.partition(".")[0])
                extension = os.path.splitext(base)[1].lower()
                if member.isfile() and extension in EXTENSIONS:
                    images[key] = [member.name, member.offset_data, member.size, folder]
                elif member.isfile() and extension == ".cls":
                    file = tar.extractfile(member)
                    assert file is not None  # since the member is a regular file
                    classes[key] = file.read().decode().strip()
    except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
        problem = f"the shard cannot be read to its end: {error}"
    return [[*row[:3], classes.get(key, row[3])] for key, row in images.items()], problem

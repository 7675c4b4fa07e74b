"""Images in tar shards, the WebDataset form: `a/0001.jpg` beside `a/0001.cls`, many to a shard, read by offset.

Shards are indexed once; every epoch draws an order of shards, and of images within a few shards together, so that a disk reads ahead.
The order is a function of the seed and the epoch, so a run can be stopped and gone on with, unlike one of a stream.
"""
from __future__ import annotations

import glob
import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from braceexpand import braceexpand

from .files import EXTENSIONS, Strings, cached

WINDOW = 8                                                    # shards whose images are shuffled together


@dataclass
class Tar:
    """Images inside shards; what `Decoder` reads."""

    names: Strings                                            # "shard.tar/member"
    shards: Strings
    group: torch.Tensor                                       # long [N]: number of the shard
    offset: torch.Tensor                                      # long [N]: of the image's first byte …
    size: torch.Tensor                                        # … and its length
    handles: dict = field(default_factory=dict)               # of this process

    def __len__(self):
        return len(self.group)

    def __getstate__(self):
        return self.__dict__ | {"handles": {}}

    def open(self, i: int) -> io.BytesIO:
        shard = int(self.group[i])
        if shard not in self.handles:
            self.handles[shard] = os.open(self.shards[shard], os.O_RDONLY)
        blob = os.pread(self.handles[shard], int(self.size[i]), int(self.offset[i]))
        if len(blob) < self.size[i]:
            raise OSError("the shard ends before the image does")
        return io.BytesIO(blob)

    def pick(self, rows: torch.Tensor) -> "Tar":
        return Tar(Strings([self.names[i] for i in rows.tolist()]), self.shards, self.group[rows], self.offset[rows], self.size[rows])


def is_pattern(text: str) -> bool:
    return str(text).endswith(".tar") or any(c in str(text) for c in "{*?")


def expand(text: str) -> list[str]:
    """Paths of a pattern such as ``/data/in-{000000..000146}.tar`` or ``/data/*.tar``, sorted. Raises ValueError, one line, where one is missing."""
    found = []
    for part in braceexpand(str(Path(text).expanduser())):
        paths = sorted(glob.glob(part))
        if not paths:
            raise ValueError(f"no shard '{part}' (from '{text}'); give paths of tar files, such as /data/train-{{000000..000146}}.tar")
        found += paths
    return found


def read(paths: list[str]) -> tuple[Tar, list[str], dict[str, str]]:
    """(images of the shards, the class of each ("" where there is none), problems {shard: what}), in the order of the shards.

    A class is the number in the image's `.cls`, else the name of the folder in which the shard holds it.
    """
    rows, problems = [], {}
    for number, path in enumerate(paths):
        stat = os.stat(path)
        stamp = [stat.st_size, stat.st_mtime_ns]
        data = cached(os.path.abspath(path), lambda data: data["stamp"] == stamp, lambda: {"stamp": stamp} | dict(zip(("images", "problem"), members(path))))
        rows += [(f"{path}/{name}", number, *rest) for name, *rest in data["images"]]
        if data["problem"]:
            problems[path] = data["problem"]
    names, shard, offset, size, classes = zip(*rows) if rows else [()] * 5
    return Tar(Strings(names), Strings(paths), torch.tensor(shard), torch.tensor(offset), torch.tensor(size)), list(classes), problems


def members(path: str) -> tuple[list[list], str]:
    """([[member, offset, size, class] of each image], what is wrong with the shard)."""
    images, classes, problem = {}, {}, ""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, base = os.path.split(member.name)
                key, extension = os.path.join(folder, base.partition(".")[0]), os.path.splitext(base)[1].lower()
                if member.isfile() and extension in EXTENSIONS:
                    images[key] = [member.name, member.offset_data, member.size, folder]
                elif member.isfile() and extension == ".cls":
                    classes[key] = tar.extractfile(member).read().decode().strip()
    except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
        problem = f"the shard cannot be read to its end: {error}"
    return [[*row[:3], classes.get(key, row[3])] for key, row in images.items()], problem

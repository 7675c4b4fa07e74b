"""A search for images that are both training and held-out images, byte by byte.

It compares a sample, the same in every run, so that it takes seconds for a million files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from msr import dist
from msr.data.files import Source

HELD_OUT = 500  # held-out images that are looked for
LOOKED_AT = 10_000  # training images whose sizes are looked at: drawn at random, and by file name
READ = 1000  # training images that are read, since a held-out image has their size
BYTES = 256 * 2**20  # bytes that are read


def warn(train: Source, val: Source) -> None:
    """Print one line if some of the held-out images equal training images; rank 0 looks."""
    if dist.rank():
        return
    pairs = find(train, val)
    if pairs:
        i, j = pairs[0]
        print(
            f"warning: held-out image '{val.names[j]}' equals training image '{train.names[i]}', "
            f"and of {min(len(val), HELD_OUT)} held-out images {len(pairs)} do so; "
            "scores on them will be too good",
            flush=True,
        )


def find(train: Source, val: Source) -> list[tuple[int, int]]:
    """Return [(index of a training image, of a held-out image that equals it)], sorted by the last.

    Training images are looked at that have the file name of a held-out image, and others at random.
    Those that also have its size are read.
    """
    chosen = _sample(len(val), HELD_OUT)
    of_size: dict[int, list[int]] = {}  # {bytes: held-out images}
    for j in chosen:
        of_size.setdefault(val.length(j), []).append(j)
    of_size.pop(0, None)  # empty or unreadable

    # the training images of one of these sizes, as far as the limits allow
    candidates: dict[int, int] = {}  # {index: bytes}
    left, sizes = BYTES, set()
    for i in [*_namesakes(train, [val.names[j] for j in chosen]), *_sample(len(train), LOOKED_AT)]:
        size = 0 if i in candidates else train.length(i)
        cost = size * (1 if size in sizes else 1 + len(of_size.get(size, [])))
        if size in of_size and cost <= left and len(candidates) < READ:
            left -= cost
            sizes.add(size)
            candidates[i] = size

    by_content: dict[bytes, int] = {}
    for i in candidates:
        by_content.setdefault(_digest(train, i), i)
    by_content.pop(b"", None)
    digests = {j: _digest(val, j) for size in sizes for j in of_size[size]}
    return [(by_content[d], j) for j, d in sorted(digests.items()) if d in by_content]


def _sample(n: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 0 … n − 1, the same ones in every run."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].tolist()


def _namesakes(source: Source, names: list[str]) -> list[int]:
    """Return at most `LOOKED_AT` images of the source whose files have one of the names."""
    wanted = {name.rpartition("/")[2] for name in names}
    found = [i for i, name in enumerate(source.names) if name.rpartition("/")[2] in wanted]
    return [found[k] for k in _sample(len(found), LOOKED_AT)]


def _digest(source: Source, i: int) -> bytes:
    """Return a digest of the bytes of image i, empty if they cannot be read."""
    try:
        file = source.open(i)
        content = Path(file).read_bytes() if isinstance(file, str) else file.getvalue()
    except OSError:
        return b""
    return hashlib.blake2b(content, digest_size=16).digest()

"""Many strings, such as the paths of a million files, that processes share without copies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import torch


class Strings(Sequence[str]):
    """A sequence of N strings, stored in two tensors that the processes of a data loader share.

    A list of N Python objects would instead be copied, page by page, as each process reads it.
    Raises IndexError for an index outside 0 to N − 1.
    """

    def __init__(self, strings: Iterable[str]):
        blobs = [os.fsencode(s) for s in strings]
        self.text = torch.frombuffer(bytearray(b"".join(blobs) or b" "), dtype=torch.uint8)
        self.ends = torch.tensor([0, *map(len, blobs)]).cumsum(0)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> str:  # type: ignore[override]  # nobody takes a slice
        if not 0 <= i < len(self):
            raise IndexError(i)
        return os.fsdecode(self.text[self.ends[i] : self.ends[i + 1]].numpy().tobytes())

    def __iter__(self) -> Iterator[str]:
        blob, ends = self.text.numpy().tobytes(), self.ends.tolist()
        return (os.fsdecode(blob[start:end]) for start, end in zip(ends, ends[1:]))

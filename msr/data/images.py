"""One split of a set of images, in memory or in files, and the shuffled batches of its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch.utils.data import DataLoader

from msr import dist
from msr.data import files, shards
from msr.data.files import Decoder, Inspection

IN_MEMORY = 2 * 2**30  # bytes; files whose pixels take no more are decoded once and kept …
AT_ONCE = 20_000  # … where they are no more than this, which takes a minute or so


@dataclass
class Images:
    """One split: pixels in memory, or files that workers decode on demand.

    size: side of the views in pixels; the stored images may be larger or smaller. pixels: uint8
    [N, 3, S, S], or None where `files` is given. labels: {name: long [N]}, classes: {name: names of
    its values}. factors: {name: float [N], or [N, 2] for the sine and cosine of an angle}. Labels
    and factors may be empty. inspection: what was met in the files so far.
    """

    size: int
    pixels: torch.Tensor | None = None
    files: Decoder | None = None
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    inspection: Inspection | None = None

    @property
    def loaded(self) -> torch.Tensor:
        """The pixels, uint8 [N, 3, S, S]. Raises ValueError where they are still files."""
        if self.pixels is None:
            raise ValueError("these images are still files; decode them first: images.decoded()")
        return self.pixels

    def __len__(self) -> int:
        return len(self.decoder if self.pixels is None else self.pixels)

    @property
    def decoder(self) -> Decoder:
        """The decoder of images that are not in memory."""
        assert self.files is not None, "these images are in memory"
        return self.files

    def fetch(self, index: torch.Tensor, num_workers: int = 0) -> torch.Tensor:
        """Return the images at `index` [n], uint8 [n, 3, S, S] on the CPU.

        In the place of a file that cannot be read comes another.
        """
        return self.read(index, num_workers)[0] if self.pixels is None else self.pixels[index]

    def read(self, index: torch.Tensor, num_workers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode the files at `index` [n].

        Returns (pixels uint8 [n, 3, S, S], whether each is the file asked for, bool [n]).
        """
        side = self.decoder.size
        out = torch.empty(len(index), 3, side, side, dtype=torch.uint8)
        own = torch.empty(len(index), dtype=torch.bool)
        start = 0
        for pixels, asked in self.stream(index.split(256), num_workers):
            part = slice(start, start := start + len(pixels))
            out[part], own[part] = pixels, asked  # copied, to free the worker's shared memory
        return out, own

    def stream(
        self, batches: Iterable[torch.Tensor], num_workers: int, pin: bool = False
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (pixels, whether each is the file asked for) of each batch of indices.

        Workers decode them; what they meet goes into `inspection`. pin: into pinned memory.
        """
        loader = DataLoader(
            self.decoder,
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=num_workers,
            collate_fn=files.collate,
            pin_memory=pin,
        )
        for pixels, own, notes in one_line(loader):
            if self.inspection:
                self.inspection.add(len(pixels), notes)
            yield pixels, own

    def pick(self, index: torch.Tensor) -> Images:
        """Return the images at `index`, long [n]; files stay undecoded."""
        decoder = self.files
        if decoder is not None:
            decoder = Decoder(decoder.source.pick(index), decoder.size)
        return replace(
            self,
            pixels=None if self.pixels is None else self.pixels[index],
            files=decoder,
            labels={name: label[index] for name, label in self.labels.items()},
            factors={name: factor[index] for name, factor in self.factors.items()},
        )

    def decoded(self, num_workers: int = 0) -> Images:
        """Return the same images in memory, without the files that cannot be read."""
        if self.pixels is not None:
            return self
        pixels, own = self.read(torch.arange(len(self)), num_workers)
        if own.all():
            return replace(self, pixels=pixels, files=None)
        return replace(self.pick(own.nonzero()[:, 0]), pixels=pixels[own], files=None)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        """Return all indices, shuffled, long [N]; those of shards by windows of a few shards."""
        group = None if self.files is None else self.files.source.group
        if group is None:
            return torch.randperm(len(self), generator=generator)
        # place[g]: of shard g among the shards of this epoch
        place = torch.randperm(int(group.max()) + 1, generator=generator)
        within = torch.rand(len(group), generator=generator, dtype=torch.float64)
        return (place[group] // shards.WINDOW + within).argsort()


def one_line(loader: Iterable) -> Iterator:
    """Yield the loader's batches; of a worker's error, raise its last line, without traceback."""
    try:
        yield from loader
    except ValueError as error:
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None


def at_most(images: Images, n: int, seed: int) -> Images:
    """Return n of the images, drawn by `seed`; all of them for n = 0."""
    if not n or n >= len(images):
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.pick(order[:n])


def in_memory(images: Images, num_workers: int) -> Images:
    """Decode files once and keep their pixels, where that is quick and the pixels fit."""
    if images.files is None or len(images) > AT_ONCE:
        return images
    fits = len(images) * 3 * images.files.size**2 <= IN_MEMORY
    return images.decoded(num_workers) if fits else images


class Batches:
    """Shuffled batches of uint8 images [B, 3, S, S] on `device`, `len()` of them an epoch.

    The remainder of an epoch is dropped. The order is a function of (seed, epoch) alone; on several
    ranks each takes its own part of every batch. Raises ValueError, one line, where the batch is
    larger than the data or does not divide over the ranks.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        num_workers: int = 0,
    ):
        enough(images, batch_size)
        if batch_size % dist.world_size():
            raise ValueError(
                f"batch_size {batch_size} does not divide over {dist.world_size()} processes"
            )
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.device, self.num_workers = torch.device(device), num_workers

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[torch.Tensor]:
        """Yield the batches of an epoch from step `start` on; earlier ones are not decoded."""
        order = self.images.order(torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        local = self.batch_size // dist.world_size()
        order = order[: len(self) * self.batch_size].view(len(self), dist.world_size(), local)
        for batch in self.pixels(order[start:, dist.rank()]):  # [steps, local]
            yield batch.to(self.device, non_blocking=True)

    def pixels(self, order: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield uint8 [b, 3, S, S] on the CPU for each row of `order`, long [steps, b]."""
        if self.images.pixels is not None:
            for index in order:
                yield self.images.pixels[index]
        else:
            pin = self.device.type == "cuda"
            for pixels, _ in self.images.stream(order, self.num_workers, pin):
                yield pixels


def enough(images: Images, batch_size: int) -> None:
    """Raise ValueError, one line, where a batch is larger than the training images."""
    n = len(images)
    if n < batch_size:
        raise ValueError(
            f"batch_size {batch_size} is larger than the {n} training images; give {n} or less"
        )

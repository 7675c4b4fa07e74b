"""One split of a data set, in memory or in files, and the shuffled batches of its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch.utils.data import DataLoader

from msr import dist
from msr.data import files, shards, workers
from msr.data.ahead import sent_ahead
from msr.data.files import Decoder, Inspection
from msr.data.squashed import Batch, Squashed, squares

# A split is decoded once and kept in memory if neither limit is exceeded.
IN_MEMORY = 2 * 2**30  # bytes of pixels
AT_ONCE = 20_000  # images; decoding these takes about a minute


@dataclass
class Images:
    """One split of N images: pixels in memory, or files that workers decode when needed.

    size: side in pixels of the views to be made; the stored images may be larger or smaller.
    pixels: uint8 [N, 3, S, S], or None if the images are still files. files: decodes these files,
    or None if the images are in memory. labels: {label: class numbers, long [N]}. classes: {label:
    names of its classes}. factors: {factor: float [N], or [N, 2] for the sine and cosine of an
    angle}. Labels and factors may be empty. inspection: which files were skipped or converted so
    far; None for images that never were files. listing: says which images these are, wherever they
    lie: a digest of the names in the folder that they come from, or the name of a set; "" if
    unknown. aspect: width / height of each image, float [N], if they are squashed to squares; None
    if they are not, or if that is not known before they are decoded.
    """

    size: int
    pixels: torch.Tensor | None = None
    files: Decoder | None = None
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    inspection: Inspection | None = None
    listing: str = ""
    aspect: torch.Tensor | None = None

    @property
    def loaded(self) -> torch.Tensor:
        """All images, uint8 [N, 3, S, S]: of squashed ones the centre squares, as they were.

        Raises ValueError if the images are still files.
        """
        return squares(self.taken(torch.arange(len(self))))

    @property
    def side(self) -> int:
        """The side in pixels of the stored images."""
        return self.decoder.size if self.pixels is None else self.pixels.shape[-1]

    def taken(self, index: torch.Tensor | slice) -> Batch:
        """Return the stored images at `index`, long [n] or a slice.

        Raises ValueError if the images are still files.
        """
        if self.pixels is None:
            raise ValueError("these images are still files; decode them first: images.decoded()")
        if self.aspect is None:
            return self.pixels[index]
        return Squashed(self.pixels, self.aspect)[index]

    def __len__(self) -> int:
        return len(self.decoder if self.pixels is None else self.pixels)

    @property
    def decoder(self) -> Decoder:
        """The decoder of images that are still files. Raises AssertionError for others."""
        assert self.files is not None, "these images are in memory"
        return self.files

    def fetch(self, index: torch.Tensor, num_workers: int = 0) -> torch.Tensor:
        """Return the images at `index`, long [n], as uint8 [n, 3, S, S] on the CPU, to look at.

        Of squashed images these are the centre squares, as they were. An unreadable file is
        replaced by another one. Raises ValueError, one line, once too many files are unreadable.
        num_workers: processes that decode files.
        """
        found = self.read(index, num_workers)[0] if self.pixels is None else self.taken(index)
        return squares(found)

    def read(self, index: torch.Tensor, num_workers: int) -> tuple[Squashed, torch.Tensor]:
        """Decode the files at `index`, long [n], in `num_workers` processes.

        Returns the images and, bool [n], whether each is the file asked for rather than a
        replacement. Raises ValueError as `stream` does.
        """
        side = self.decoder.size
        out = torch.empty(len(index), 3, side, side, dtype=torch.uint8)
        own, aspect = torch.empty(len(index), dtype=torch.bool), torch.empty(len(index))
        start = 0
        for found, asked in self.stream(index.split(256), num_workers):
            part = slice(start, start := start + len(found))
            # copied, to free the worker's shared memory
            out[part], aspect[part], own[part] = found.pixels, found.aspect, asked
        return Squashed(out, aspect), own

    def stream(
        self,
        batches: Iterable[torch.Tensor],
        num_workers: int,
        pin: bool = False,
        loader: DataLoader | None = None,
    ) -> Iterator[tuple[Squashed, torch.Tensor]]:
        """Decode batches of indices, long [b] each, and yield (images, own) for each batch.

        own: bool [b], whether each image is the file asked for rather than the replacement of an
        unreadable file. Files that are skipped or converted are added to `inspection`. num_workers:
        processes that decode. pin: put pixels into pinned memory. loader: one that `self.loader`
        made with these settings, whose processes are used again. Raises ValueError, one line, once
        too many files are unreadable.
        """
        if loader is None:
            loader = self.loader(num_workers, pin)
        loader.batch_sampler[:] = [batch.tolist() for batch in batches]  # type: ignore[index]
        for images, own, notes in one_line(loader):
            if self.inspection:
                self.inspection.add(len(images), notes)
            yield images, own

    def loader(self, num_workers: int, pin: bool = False) -> DataLoader:
        """Return a loader for `stream`; its processes live as long as it does."""
        return DataLoader(
            self.decoder,
            batch_sampler=[],  # set by `stream`
            num_workers=num_workers,
            collate_fn=files.collate,
            worker_init_fn=workers.ignore_sigterm,
            pin_memory=pin,
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),  # so that the global random state stays as it is
        )

    def pick(self, index: torch.Tensor) -> Images:
        """Return the split of the images at `index`, long [n]; files are not decoded."""
        decoder = self.files
        if decoder is not None:
            decoder = Decoder(decoder.source.pick(index), decoder.size)
        return replace(
            self,
            pixels=None if self.pixels is None else self.pixels[index],
            aspect=None if self.aspect is None else self.aspect[index],
            files=decoder,
            labels={name: label[index] for name, label in self.labels.items()},
            factors={name: factor[index] for name, factor in self.factors.items()},
        )

    def decoded(self, num_workers: int = 0) -> Images:
        """Return the same split in memory, without the files that cannot be read.

        num_workers: processes that decode. Raises ValueError, one line, if too many are unreadable.
        """
        if self.pixels is not None:
            return self
        found, own = self.read(torch.arange(len(self)), num_workers)
        kept, pixels, aspect = self, found.pixels, found.aspect
        if not own.all():
            rows = own.nonzero()[:, 0]
            kept, pixels, aspect = self.pick(rows), pixels[rows], aspect[rows]
        return replace(kept, pixels=pixels, aspect=aspect, files=None)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        """Return all indices in random order, long [N].

        Images in shards are shuffled within windows: the shards are put in random order, and the
        images of `shards.window` consecutive shards are shuffled together.
        """
        group = None if self.files is None else self.files.source.group
        if group is None:
            return torch.randperm(len(self), generator=generator)
        # place[g]: the position of shard g in this epoch's order of the shards
        place = torch.randperm(int(group.max()) + 1, generator=generator)
        within = torch.rand(len(group), generator=generator, dtype=torch.float64)
        together = shards.window(group, self.labels.get("class"))
        return (place[group] // together + within).argsort()


def one_line(loader: Iterable) -> Iterator:
    """Yield the loader's batches; raise a worker's ValueError as one line, without traceback."""
    try:
        with workers.sheltered():
            batches = iter(loader)
        yield from batches
    except ValueError as error:
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None


def at_most(images: Images, n: int, seed: int) -> Images:
    """Return n of the images, chosen at random with `seed`, in random order.

    All images, in their own order, if n is 0 or no less than their number. Files are not decoded.
    """
    if not n or n >= len(images):
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.pick(order[:n])


def in_memory(images: Images, num_workers: int) -> Images:
    """Return the split decoded into memory if it is small, else the split as it is.

    Small means at most `AT_ONCE` images and `IN_MEMORY` bytes of pixels. Raises ValueError as
    `Images.decoded` does.
    """
    if images.files is None or len(images) > AT_ONCE:
        return images
    fits = len(images) * 3 * images.files.size**2 <= IN_MEMORY
    return images.decoded(num_workers) if fits else images


class Batches:
    """Shuffled batches of images, uint8 [B, 3, S, S] on `device`; `len()` is the number per epoch.

    batch_size: images per batch over all R ranks; each rank gets its own B = batch_size / R of
    them. The images that remain at the end of an epoch are dropped. The order depends on the images
    and on (seed, epoch) alone. num_workers: processes that decode files. Raises ValueError, one
    line, if the batch is larger than the split or not divisible by the number of ranks.
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
                f"batch_size {batch_size} does not divide evenly over {dist.world_size()} "
                "processes; give a multiple of their number"
            )
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.device, self.num_workers = torch.device(device), num_workers
        self.loader: DataLoader | None = None  # of images in files; its processes serve all epochs

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch, uint8 [B, 3, S, S], from step `start` on.

        Earlier batches are not decoded. Raises ValueError as `Images.stream` does.
        """
        order = self.images.order(torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        local = self.batch_size // dist.world_size()
        order = order[: len(self) * self.batch_size].view(len(self), dist.world_size(), local)
        own = order[start:, dist.rank()]  # [steps, local]
        yield from sent_ahead(self.pixels(own), self.device)

    def pixels(self, order: torch.Tensor) -> Iterator[Batch]:
        """Yield the images of each row of `order`, long [steps, b], as uint8 [b, 3, S, S].

        They are on the CPU, for a GPU in pinned memory.
        """
        pin = self.device.type == "cuda"
        if self.images.pixels is not None:
            for index in order:
                batch = self.images.taken(index)
                yield batch.pin_memory() if pin else batch
        else:
            # one loader serves all epochs, and one of its own an epoch that begins inside another
            loader, self.loader = self.loader, None
            if loader is None:
                loader = self.images.loader(self.num_workers, pin)
            try:
                for found, _ in self.images.stream(order, self.num_workers, pin, loader):
                    yield found
            finally:
                self.loader = loader


def enough(images: Images, batch_size: int) -> None:
    """Raise ValueError, one line, if there are fewer training images than one batch needs."""
    n = len(images)
    if n < batch_size:
        raise ValueError(
            f"batch_size {batch_size} is larger than the {n} training images; give {n} or less"
        )

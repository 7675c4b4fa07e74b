"""Images in: a folder, a torchvision set, or the embedded renderings; uint8 [N, 3, S, S] in batches on the device."""
from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader

from .. import dist
from . import files, shards, trifeature
from .files import Decoder, Report

TORCHVISION = {"cifar10": ("cifar-10-batches-py", 32), "cifar100": ("cifar-100-python", 32), "stl10": ("stl10_binary", 96)}   # folder, pixels
IN_MEMORY = 2 * 2**30                                         # bytes of pixels that are decoded once and kept …
AT_ONCE = 20_000                                              # … of at most so many files, which takes a minute or so


@dataclass
class Images:
    """One split. Pixels either in memory (uint8 [N, 3, S, S]) or decoded from `files` on demand by workers.

    labels: {name: long [N]}, classes {name: the names of its values}; factors: {name: float [N], or [N, 2] for an angle's sine and cosine}; either
    may be empty.
    """

    size: int
    pixels: torch.Tensor | None = None
    files: Decoder | None = None
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    report: Report | None = None                              # of files: what was met

    def __len__(self):
        return len(self.files if self.pixels is None else self.pixels)

    def fetch(self, index: torch.Tensor, num_workers: int = 0) -> torch.Tensor:
        """The images at `index` [n], uint8 [n, 3, S, S], on the CPU; another in the place of a file that cannot be read."""
        return self.pixels[index] if self.pixels is not None else self.read(index, num_workers)[0]

    def read(self, index: torch.Tensor, num_workers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(pixels of the files at `index` [n], whether each is the file asked for, bool [n])."""
        out, own = torch.empty(len(index), 3, self.files.size, self.files.size, dtype=torch.uint8), torch.empty(len(index), dtype=torch.bool)
        start = 0
        for pixels, right in self.stream(index.split(256), num_workers):
            part = slice(start, start := start + len(pixels))
            out[part], own[part] = pixels, right              # copied, so that no worker's shared memory is kept
        return out, own

    def stream(self, batches, num_workers: int, pin: bool = False):
        """(pixels, whether each is the file asked for) of each batch of indices, decoded by workers; what they met goes into the report."""
        loader = DataLoader(self.files, batch_sampler=[batch.tolist() for batch in batches], num_workers=num_workers, collate_fn=files.collate, pin_memory=pin)
        for pixels, own, notes in one_line(loader):
            if self.report:
                self.report.add(len(pixels), notes)
            yield pixels, own

    def pick(self, index: torch.Tensor) -> "Images":
        """The images at `index`, still undecoded where they are files."""
        return replace(self, pixels=None if self.pixels is None else self.pixels[index],
                       files=None if self.files is None else Decoder(self.files.source.pick(index), self.files.size),
                       labels={k: v[index] for k, v in self.labels.items()}, factors={k: v[index] for k, v in self.factors.items()})

    def decoded(self, num_workers: int = 0) -> "Images":
        """The same images in memory, less the files that cannot be read."""
        if self.pixels is not None:
            return self
        pixels, own = self.read(torch.arange(len(self)), num_workers)
        return replace(self if own.all() else self.pick(own.nonzero()[:, 0]), pixels=pixels if own.all() else pixels[own], files=None)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        """All indices, shuffled; those of shards by windows of a few shards."""
        group = None if self.files is None else self.files.source.group
        if group is None:
            return torch.randperm(len(self), generator=generator)
        place = torch.randperm(int(group.max()) + 1, generator=generator)                     # of each shard in this epoch
        return (place[group] // shards.WINDOW + torch.rand(len(group), generator=generator, dtype=torch.float64)).argsort()


def one_line(loader):
    """The loader's batches; a worker's error comes as its last line, without the worker's traceback."""
    try:
        yield from loader
    except ValueError as error:
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None


class Batches:
    """Shuffled batches of uint8 images on `device`: `len()` steps per epoch, the remainder is dropped.

    The order is a function of (seed, epoch) alone; on several ranks each takes its own part of every batch.
    """

    def __init__(self, images: Images, batch_size: int, seed: int = 0, device="cpu", num_workers: int = 0):
        if batch_size > len(images):
            raise ValueError(f"batch_size {batch_size} is larger than the {len(images)} training images; give {len(images)} or less")
        if batch_size % dist.world_size():
            raise ValueError(f"batch_size {batch_size} does not divide over {dist.world_size()} processes")
        self.images, self.batch_size, self.seed, self.device, self.num_workers = images, batch_size, seed, torch.device(device), num_workers

    def __len__(self):
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0):
        """The batches of an epoch from step `start` on; those before are not decoded."""
        order = self.images.order(torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        local = self.batch_size // dist.world_size()
        order = order[: len(self) * self.batch_size].view(len(self), dist.world_size(), local)[start:, dist.rank()]
        if self.images.pixels is not None:
            source = (self.images.pixels[index] for index in order)
        else:
            source = (pixels for pixels, _ in self.images.stream(order, self.num_workers, self.device.type == "cuda"))
        for batch in source:
            yield batch.to(self.device, non_blocking=True)


def embedded(n_train: int, n_val: int, size: int, seed: int = 0, device="cpu") -> tuple[Images, Images]:
    """Rendered shapes: labels shape, texture, color; factors x, y, size (shares of the side)."""
    def split(n, seed):
        factors = trifeature.sample(n, seed)
        pixels = [(trifeature.render({k: v[i:i + 256].to(device) for k, v in factors.items()}, size) * 255).round().byte().cpu()
                  for i in range(0, n, 256)]
        names = {"shape": trifeature.SHAPES, "texture": trifeature.TEXTURES, "color": trifeature.COLORS}
        return Images(size, torch.cat(pixels), None, {k: factors[k] for k in names}, {k: list(v) for k, v in names.items()},
                      {k: factors[k] for k in ("x", "y", "size")})
    return split(n_train, 2 * seed), split(n_val, 2 * seed + 1)


def load(data_dir: str, size: int, val_share: float = 0.1, seed: int = 0, num_workers: int = 0, max_images: int = 0, max_val: int = 0,
         at_least: int = 1, val_dir: str = "", max_bad: float = 0.1) -> tuple[Images, Images]:
    """(train, val) from a folder, or from tar shards.

    `train/<class>/…` with `val/<class>/…` (or `test`), files or tar shards in them; `<class>/…` alone, a flat folder, a folder of shards
    or a pattern such as /data/train-{000000..000146}.tar are split at random, a `val_share` held out, or `val_dir` holds the held-out
    images in any of these forms. A flat folder has no labels. `cifar10`, `cifar100` and `stl10` name torchvision's sets
    (downloaded to ~/.cache/msr when absent); a folder that holds one of them in torchvision's form works too.
    max_images, max_val: keep at most so many (0: all). at_least: a batch; fewer training images are an error, found before
    any file is decoded. max_bad: the share of files that may be unreadable; these are skipped, and named in the images' `report`.
    Raises ValueError, one line, when there is nothing to read.
    """
    root = Path(data_dir).expanduser()
    name = torchvision_name(data_dir)
    if name:
        train, val = torchvision_set(name, root if root.is_dir() else cache_home(), size)
    else:
        if not root.is_dir() and not shards.is_pattern(data_dir):
            raise ValueError(f"data_dir '{data_dir}' is not a folder (nor one of {', '.join(TORCHVISION)}, nor a pattern of tar files); give a folder of images")
        try:
            train, val = folders(str(data_dir), val_dir, size, val_share, seed)
        except PermissionError as error:
            raise ValueError(f"data_dir '{data_dir}' cannot be read: {error.strerror} ({error.filename})") from None
    train, val = at_most(train, max_images, seed), at_most(val, max_val, seed)
    if len(train) < at_least:
        raise ValueError(f"batch_size {at_least} is larger than the {len(train)} training images; give {len(train)} or less")
    if train.report:
        train.report.total, train.report.max_bad = len(train) + len(val), max_bad
    return in_memory(train, num_workers), in_memory(val, num_workers)


def cache_home() -> Path:
    """Where torchvision's sets lie when they are named: $MSR_DATA, else ~/.cache/msr."""
    return Path(os.environ.get("MSR_DATA") or files.cache_folder()).expanduser()


def held() -> dict[str, str]:
    """{name: what `load` takes} of the sets cifar10, cifar100, stl10 that are there without a download: torchvision's, or <name>/train/<class>/…"""
    home = cache_home()
    return {name: str(home / name if (home / name / "train").is_dir() else home) for name, (folder, _) in TORCHVISION.items()
            if (home / name / "train").is_dir() or (home / folder).is_dir() and torchvision_name(home) == name}


def torchvision_name(data_dir: str) -> str | None:
    """The torchvision set that `data_dir` names, or holds in torchvision's form; an ordinary folder of that name goes first."""
    root = Path(data_dir).expanduser()
    held = next((name for name, (folder, _) in TORCHVISION.items() if (root / folder).is_dir()), None)
    return held or (str(data_dir).lower() if str(data_dir).lower() in TORCHVISION and not root.is_dir() else None)


def at_most(images: Images, n: int, seed: int) -> Images:
    """n of the images, drawn by `seed`; all of them for n = 0."""
    if not n or n >= len(images):
        return images
    return images.pick(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n])


def in_memory(images: Images, num_workers: int) -> Images:
    """Decode once and keep, where that is soon done and the pixels fit."""
    fits = images.files is not None and len(images) <= AT_ONCE and len(images) * 3 * images.files.size**2 <= IN_MEMORY
    return images.decoded(num_workers) if fits else images


def sources(where: str) -> tuple[files.Files | shards.Tar, list[str], torch.Tensor, str, dict[str, str]]:
    """(what a Decoder reads, its classes, the class of each image [N], its folder in words, problems) of a folder or a pattern of shards.

    The class "" is of images that lie beside class folders, or in none.
    """
    if shards.is_pattern(where):
        paths, place = shards.expand(where), where
    else:
        paths, place = sorted(str(p) for p in Path(where).expanduser().glob("*.tar")), where
    if paths:
        source, names, problems = shards.read(paths)
        classes = sorted(set(names), key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
        number = {name: i for i, name in enumerate(classes)}
        return source, classes, torch.tensor([number[name] for name in names]), place, problems
    root = Path(where).expanduser()
    found = files.index(root)
    tops = [Path(folder).parts[0] if folder else "" for folder in found]
    classes = sorted({top for top, names in zip(tops, found.values()) if names})
    number = {name: i for i, name in enumerate(classes)}
    counts = torch.tensor([len(names) for names in found.values()])
    label = torch.tensor([number.get(top, 0) for top in tops]).repeat_interleave(counts)
    return files.Files(files.Strings(os.path.join(root, folder, name) for folder, names in found.items() for name in names)), classes, label, place, {}


def folders(data_dir: str, val_dir: str, size: int, val_share: float, seed: int) -> tuple[Images, Images]:
    """(train, val), undecoded. Raises ValueError, one line, where there is nothing, or classes do not agree."""
    root = Path(data_dir).expanduser()
    train_dir = str(root / "train") if (root / "train").is_dir() else data_dir
    inside = next((str(root / name) for name in ("val", "valid", "validation", "test") if (root / name).is_dir()), "")
    val_dir = val_dir or (inside if train_dir != data_dir else "")
    report, stored, known = Report(), 0, []

    def images(where):
        nonlocal stored, known
        if where == val_dir and not Path(where).expanduser().is_dir() and not shards.is_pattern(where):
            raise ValueError(f"val_dir '{where}' is not a folder, nor a pattern of tar files")
        source, classes, label, place, problems = sources(where)
        if not len(source):
            raise ValueError(f"no images in '{place}' (looked for {', '.join(files.EXTENSIONS)}, all subfolders)" + "".join(f"; {path}: {what}" for path, what in problems.items()))
        report.skipped |= problems
        stored = stored or stored_size(source, size)
        if len(classes) > 1 and "" in classes:
            raise ValueError(f"'{source.names[int((label == classes.index('')).nonzero()[0])]}' lies beside class folders; move it into one, or keep all images in one flat folder")
        if where != val_dir:
            known = classes
        elif set(classes) - set(known) and known != [""]:
            raise ValueError(f"'{place}' has classes that '{train_dir}' lacks: {', '.join(sorted(set(classes) - set(known))[:5])}")
        elif known != [""]:
            label = torch.tensor([known.index(name) for name in classes])[label]
        labelled = len(known) > 1
        return Images(size, None, Decoder(source, stored), {"class": label} if labelled else {}, {"class": known} if labelled else {}, report=report)

    train = images(train_dir)
    if val_dir:
        return train, images(val_dir)
    if len(train) < 10:
        raise ValueError(f"only {len(train)} images in '{train_dir}': too few to hold some out; give 10 or more")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    n_val = max(1, round(val_share * len(order)))
    return train.pick(order[n_val:].sort().values), train.pick(order[:n_val].sort().values)


def stored_size(source, size: int) -> int:
    """8/7 of the view's side (256 for 224), or the view's side where the images are no larger than it."""
    sides = []
    for i in range(0, len(source), max(1, len(source) // 16)):
        try:
            with Image.open(source.open(i)) as image:
                sides.append(min(image.size))
        except Exception:                                     # the report names it when it is decoded
            continue
    return round(size * 8 / 7) if sides and sorted(sides)[len(sides) // 2] > size else size


def torchvision_set(name: str, root: Path, size: int) -> tuple[Images, Images]:
    """CIFAR-10, CIFAR-100 or STL-10 (its 5,000 labelled training images)."""
    sets = torchvision.datasets
    try:
        root.mkdir(parents=True, exist_ok=True)
        if name == "stl10":
            train, val = (sets.STL10(root, split=split, download=True) for split in ("train", "test"))
        else:
            kind = sets.CIFAR10 if name == "cifar10" else sets.CIFAR100
            train, val = (kind(root, train=flag, download=True) for flag in (True, False))
    except Exception as error:
        raise ValueError(f"{name} is not in '{root}' and could not be downloaded ({error}); put torchvision's files there") from None

    def images(split):
        pixels = torch.from_numpy(split.data)
        pixels = pixels.permute(0, 3, 1, 2) if pixels.shape[-1] == 3 else pixels              # CIFAR is channels-last
        if pixels.shape[-1] > size:                           # smaller ones stay as they are: the crop resamples
            resize = torchvision.transforms.functional.resize
            pixels = torch.cat([resize(part, [size, size], antialias=True) for part in pixels.split(1024)])
        label = torch.as_tensor(split.labels if name == "stl10" else split.targets).long()
        return Images(size, pixels.contiguous(), None, {"class": label}, {"class": list(split.classes)})
    return images(train), images(val)

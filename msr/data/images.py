"""Images in: a folder, a torchvision set, or the embedded renderings; uint8 [N, 3, S, S] in batches on the device."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from .. import dist
from . import trifeature

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
TORCHVISION = {"cifar10": ("cifar-10-batches-py", 32), "cifar100": ("cifar-100-python", 32), "stl10": ("stl10_binary", 96)}   # folder, pixels
IN_MEMORY = 2 * 2**30                                         # bytes of pixels that are decoded once and kept


@dataclass
class Images:
    """One split. Pixels either in memory (uint8 [N, 3, S, S]) or decoded from `files` on demand by workers.

    labels: {name: long [N]}, classes {name: the names of its values}; factors: {name: float [N], or [N, 2] for an angle's sine and cosine}; either
    may be empty.
    """

    size: int
    pixels: torch.Tensor | None = None
    files: Dataset | None = None
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    factors: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self):
        return len(self.files if self.pixels is None else self.pixels)

    def fetch(self, index: torch.Tensor, num_workers: int = 0) -> torch.Tensor:
        """The images at `index` [n], uint8 [n, 3, S, S], on the CPU."""
        if self.pixels is not None:
            return self.pixels[index]
        out = torch.empty(len(index), 3, self.files.size, self.files.size, dtype=torch.uint8)
        start, subset = 0, torch.utils.data.Subset(self.files, index.tolist())
        for batch in one_line(DataLoader(subset, batch_size=256, num_workers=num_workers)):
            out[start:start + len(batch)] = batch             # copied, so that no worker's shared memory is kept
            start += len(batch)
        return out

    def pick(self, index: torch.Tensor) -> "Images":
        """The images at `index`, still undecoded where they are files."""
        files = None if self.files is None else Decoder([self.files.paths[i] for i in index.tolist()], self.files.size)
        return Images(self.size, None if self.pixels is None else self.pixels[index], files, {k: v[index] for k, v in self.labels.items()},
                      self.classes, {k: v[index] for k, v in self.factors.items()})

    def decoded(self, num_workers: int = 0) -> "Images":
        """The same images in memory."""
        everything = torch.arange(len(self))
        return replace(self, pixels=self.fetch(everything, num_workers), files=None)


def one_line(loader):
    """The loader's batches; a worker's error comes as its last line, without the worker's traceback."""
    try:
        yield from loader
    except ValueError as error:
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None


class Decoder(Dataset):
    """Files -> uint8 [3, S, S]: RGB, shorter side to S (antialiased), centre crop.

    Departure from torchvision's RandomResizedCrop, which crops the whole photograph: what lies outside the centre
    square is never seen, and crops are taken from S pixels, so that a batch is one tensor and all else is batched.
    """

    def __init__(self, paths: list[str], size: int):
        self.paths, self.size = paths, size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        try:
            with Image.open(self.paths[i]) as image:
                image.draft("RGB", (self.size, self.size))
                image = image.convert("RGB")
        except Exception as error:
            raise ValueError(f"cannot read image {self.paths[i]}: {error}") from None
        scale = self.size / min(image.size)
        if scale != 1:
            image = image.resize([max(self.size, round(side * scale)) for side in image.size], Image.BILINEAR, reducing_gap=3)
        pixels = torchvision.transforms.functional.pil_to_tensor(image)
        return torchvision.transforms.functional.center_crop(pixels, [self.size, self.size])


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
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        local = self.batch_size // dist.world_size()
        order = order[: len(self) * self.batch_size].view(len(self), dist.world_size(), local)[start:, dist.rank()]
        if self.images.pixels is not None:
            source = (self.images.pixels[index] for index in order)
        else:
            source = one_line(DataLoader(self.images.files, batch_sampler=order.tolist(), num_workers=self.num_workers,
                                         pin_memory=self.device.type == "cuda"))
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
         at_least: int = 1) -> tuple[Images, Images]:
    """(train, val) from a folder.

    `train/<class>/…` with `val/<class>/…` (or `test`); `<class>/…` alone or a flat folder are split at random, a
    `val_share` held out; a flat folder has no labels. `cifar10`, `cifar100` and `stl10` name torchvision's sets
    (downloaded to ~/.cache/msr when absent); a folder that holds one of them in torchvision's form works too.
    max_images, max_val: keep at most so many (0: all). at_least: a batch; fewer training images are an error, found before
    any file is decoded. Raises ValueError, one line, when there is nothing to read.
    """
    root = Path(data_dir).expanduser()
    name = torchvision_name(data_dir)
    if name:
        train, val = torchvision_set(name, root if root.is_dir() else Path("~/.cache/msr").expanduser(), size)
    else:
        if not root.is_dir():
            raise ValueError(f"data_dir '{data_dir}' is not a folder (nor one of {', '.join(TORCHVISION)}); give a folder of images")
        try:
            train, val = folders(root, size, val_share, seed)
        except PermissionError as error:
            raise ValueError(f"data_dir '{data_dir}' cannot be read: {error.strerror} ({error.filename})") from None
    train, val = at_most(train, max_images, seed), at_most(val, max_val, seed)
    if len(train) < at_least:
        raise ValueError(f"batch_size {at_least} is larger than the {len(train)} training images; give {len(train)} or less")
    return in_memory(train, num_workers), in_memory(val, num_workers)


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
    """Decode once and keep, where the pixels fit in IN_MEMORY."""
    fits = images.files is not None and len(images) * 3 * images.files.size**2 <= IN_MEMORY
    return images.decoded(num_workers) if fits else images


def list_images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())


def folders(root: Path, size: int, val_share: float, seed: int) -> tuple[Images, Images]:
    train_dir = root / "train"
    val_dir = next((root / name for name in ("val", "valid", "validation", "test") if (root / name).is_dir()), None)
    train_paths = list_images(train_dir if train_dir.is_dir() else root)
    if not train_paths:
        raise ValueError(f"no images in '{train_dir if train_dir.is_dir() else root}' (looked for {', '.join(EXTENSIONS)}, all subfolders)")
    base = train_dir if train_dir.is_dir() else root
    stored = stored_size(train_paths, size)
    classes = sorted({p.relative_to(base).parts[0] for p in train_paths if len(p.relative_to(base).parts) > 1})

    def images(paths, base):
        files = Decoder([str(p) for p in paths], stored)
        if len(classes) < 2:
            return Images(size, None, files)
        stray = next((p for p in paths if len(p.relative_to(base).parts) == 1), None)
        if stray:
            raise ValueError(f"'{stray}' lies beside class folders; move it into one, or keep all images in one flat folder")
        label = torch.tensor([classes.index(p.relative_to(base).parts[0]) for p in paths])
        return Images(size, None, files, {"class": label}, {"class": classes})

    if train_dir.is_dir() and val_dir is not None:
        val_paths = list_images(val_dir)
        if not val_paths:
            raise ValueError(f"no images in '{val_dir}' (looked for {', '.join(EXTENSIONS)}, all subfolders)")
        strangers = {p.relative_to(val_dir).parts[0] for p in val_paths if len(p.relative_to(val_dir).parts) > 1} - set(classes)
        if classes and strangers:
            raise ValueError(f"'{val_dir}' has classes that '{base}' lacks: {', '.join(sorted(strangers)[:5])}")
        return images(train_paths, base), images(val_paths, val_dir)
    if len(train_paths) < 10:
        raise ValueError(f"only {len(train_paths)} images in '{base}': too few to hold some out; give 10 or more")
    order = torch.randperm(len(train_paths), generator=torch.Generator().manual_seed(seed)).tolist()
    n_val = max(1, round(val_share * len(order)))
    return images([train_paths[i] for i in sorted(order[n_val:])], base), images([train_paths[i] for i in sorted(order[:n_val])], base)


def stored_size(paths: list[Path], size: int) -> int:
    """8/7 of the view's side (256 for 224), or the view's side where the images are no larger than it."""
    sides = []
    for path in paths[:: max(1, len(paths) // 16)][:16]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
        except OSError as error:
            raise ValueError(f"cannot read image {path}: {error}") from None
    return round(size * 8 / 7) if sorted(sides)[len(sides) // 2] > size else size


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

"""Views per second: the paper's augmentations against those of other libraries.

Every side draws for each image alone, but for torchvision's batches, which have one draw for all.
Where a library is not installed, its cases are left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torchvision.transforms as one_by_one
import torchvision.transforms.v2 as batched
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.pairs import Case
from msr.augment import GaussianBlur, Pipeline, pipelines
from msr.views import Views

GROUPS = ("appearance", "spatial")
SIZES = {64: 64, 224: 16}  # side in pixels -> images per batch
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Query and keys draw blur and solarise with other probabilities; elsewhere all views have their
# mean, over the query, key 0 and the keys of the two groups, one of which shares the query's blur.
BLUR, SOLARISE = 0.55, 0.1
SCALE, JITTER, SIGMA = (0.08, 1.0), (0.4, 0.4, 0.2, 0.1), (0.1, 2.0)  # of crop, colours and blur
CHUNK = 8  # fewest images that a process makes at a time


def cases(device: torch.device) -> Iterator[Case]:
    """Yield the comparisons: all transforms together at each size, then each transform alone."""
    for size, n in SIZES.items():
        views = Views(*pipelines("medium", size), GROUPS)
        n = max(n, CHUNK * torch.get_num_threads() // views.n_views)
        images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, device=device)
        generator, made = torch.Generator().manual_seed(0), n * views.n_views
        ours = partial(views, images, generator)
        for name, transform in one_image(size).items():
            theirs = per_image(Photographs(size, made, transform))
            yield Case(f"{size} px, all: {name}", ours, theirs, made, "views")
        for name, theirs in whole(size).items():
            several = partial(some_views, theirs, images, views.n_views)
            yield Case(f"{size} px, all: {name}", ours, several, made, "views")
        x = (images.float() / 255).repeat(views.n_views, 1, 1, 1)
        one_pass = partial(torch.empty_like(x).copy_, x)
        yield Case(f"{size} px, all: one pass", ours, one_pass, made, "views")
        yield from alone(size, x)


def some_views(augment: Callable, images: torch.Tensor, n: int) -> torch.Tensor:
    """Return n views [n, B, 3, S, S] of uint8 images, each from a draw of its own."""
    floats = images.float() / 255
    return torch.stack([augment(floats) for _ in range(n)])


def alone(size: int, x: torch.Tensor) -> Iterator[Case]:
    """Yield the comparison of each transform alone, on images x [B, 3, size, size].

    "One pass" is a copy of x into memory that is there: it reads and writes each value once.
    """
    one_pass = partial(torch.empty_like(x).copy_, x)
    query, _ = pipelines("medium", size)
    generator = torch.Generator().manual_seed(0)
    for name, t in query.transforms.items():
        t.p = {"blur": BLUR, "solarise": SOLARISE}.get(name, getattr(t, "p", 1.0))
        pipeline = Pipeline([t])

        def ours(pipeline: Pipeline = pipeline) -> torch.Tensor:
            drawn = pipeline.sample(generator, len(x), size)
            on_device = {k: {n: v.to(x.device) for n, v in p.items()} for k, p in drawn.items()}
            return pipeline.apply(x, on_device)

        yield Case(f"{size} px, {name}: one pass", ours, one_pass, len(x), "views")
        theirs = parts(size).get("kornia", {})  # torchvision's draws do this to all or to none
        if name in theirs:
            title = f"{size} px, {name}: kornia"
            yield Case(title, ours, partial(theirs[name], x), len(x), "views")


def kernel(size: int) -> int:
    """Return the width of the blur in pixels."""
    return 2 * GaussianBlur.radius(size) + 1


def whole(size: int) -> dict[str, Callable]:
    """Return {library: all transforms of `medium` in order, on a batch of floats}."""
    found: dict[str, Callable] = {}
    for library, some in parts(size).items():
        steps = [some[name] for name in pipelines("medium", size)[0].transforms]
        found[library] = torch.nn.Sequential(*steps)
    return found


def parts(size: int) -> dict[str, dict[str, torch.nn.Module]]:
    """Return {library: {our name of a transform: that library's, on a batch of floats}}."""
    found: dict[str, dict[str, Any]] = {
        "torchvision, one draw": {
            "crop": batched.RandomResizedCrop(size, SCALE, antialias=True),
            "flip": batched.RandomHorizontalFlip(),
            "jitter": batched.RandomApply([batched.ColorJitter(*JITTER)], 0.8),
            "greyscale": batched.RandomGrayscale(0.2),
            "blur": batched.RandomApply([batched.GaussianBlur(kernel(size), SIGMA)], BLUR),
            "solarise": batched.RandomSolarize(0.5, SOLARISE),
            "normalise": batched.Normalize(MEAN, STD),
        }
    }
    if importlib.util.find_spec("kornia"):
        import kornia.augmentation as K

        both = (kernel(size), kernel(size))
        found["kornia"] = {
            "crop": K.RandomResizedCrop((size, size), SCALE),
            "flip": K.RandomHorizontalFlip(),
            "jitter": K.ColorJitter(*JITTER, p=0.8),
            "greyscale": K.RandomGrayscale(p=0.2),
            "blur": K.RandomGaussianBlur(both, SIGMA, p=BLUR),
            "solarise": K.RandomSolarize(0.0, 0.0, p=SOLARISE),
            "normalise": K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        }
    return found


def one_image(size: int) -> dict[str, Callable]:
    """Return {library: all transforms of `medium` in order, on one PIL image}."""
    steps = [
        one_by_one.RandomResizedCrop(size, SCALE),
        one_by_one.RandomHorizontalFlip(),
        one_by_one.RandomApply([one_by_one.ColorJitter(*JITTER)], 0.8),
        one_by_one.RandomGrayscale(0.2),
        one_by_one.RandomApply([one_by_one.GaussianBlur(kernel(size), SIGMA)], BLUR),
        one_by_one.RandomSolarize(128, SOLARISE),
        one_by_one.ToTensor(),
        one_by_one.Normalize(MEAN, STD),
    ]
    found: dict[str, Callable] = {"PIL": one_by_one.Compose(steps)}
    if importlib.util.find_spec("lightly"):
        from lightly import transforms

        # Its crop is bicubic, and its blur Pillow's, by box filters; the jitter is ours by default.
        found["lightly"] = transforms.DINOViewTransform(
            size, SCALE, sigmas=SIGMA, gaussian_blur=BLUR, solarization_prob=SOLARISE
        )
    return found


class Photographs(Dataset):
    """PIL images, augmented one at a time as most programs do it."""

    def __init__(self, size: int, n: int, transform: Callable):
        noise = torch.randint(0, 256, (64, size, size, 3), dtype=torch.uint8)
        self.images, self.n = [Image.fromarray(image.numpy()) for image in noise], n
        self.transform = transform

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(self.images[i % len(self.images)])


def per_image(photographs: Photographs) -> Callable[[], Any]:
    """Return what makes all views of PIL images, in as many processes as there are threads.

    The processes stay, and have all begun: only their work is timed. The views lie in the host's
    memory.
    """
    workers = torch.get_num_threads()
    chunk = max(CHUNK, len(photographs) // (4 * workers))
    loader = DataLoader(photographs, chunk, num_workers=workers, persistent_workers=True)
    return lambda: sum(len(batch) for batch in loader)

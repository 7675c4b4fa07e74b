"""Features of images from a frozen model: h, every space, and all spaces side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from msr.augment import Params, Pipeline
from msr.data.images import Images
from msr.data.squashed import Batch, Squashed
from msr.data.squashed import parts as parts_of
from msr.models import MultiSpace
from msr.spaces import Spaces
from msr.views import rows

Features = dict[str, np.ndarray]  # space -> float32 [N, d]
Normalisation = Callable[[torch.Tensor, Spaces], torch.Tensor] | None  # z [N, D] -> z [N, D]

# Seeds of the probes' draws start here, far from those of data and training: with equal seeds an
# image's augmentation would depend on its factors.
STREAM = 10**9
DECODED = 64  # files that a worker decodes at a time

Pictures = Images | Batch  # a split, in memory or in files, or uint8 [N, 3, S, S]


def embed(
    model: MultiSpace,
    images: Pictures,
    pipeline: Pipeline,
    params: dict[str, Params] | None = None,
    normalise: Normalisation = None,
    batch_size: int = 512,
    num_workers: int = 0,
) -> Features:
    """Return the features of N images: h, every space, and `joined` (all spaces side by side).

    Each is float32 [N, d]. params: what `pipeline.sample` drew for these images, or None for the
    plain view. Other arguments and errors as in `embed_views`.
    """
    found = embed_views(model, images, pipeline, [params], normalise, batch_size, num_workers)
    return found[0]


@torch.no_grad()
def embed_views(
    model: MultiSpace,
    images: Pictures,
    pipeline: Pipeline,
    views: Sequence[dict[str, Params] | None],
    normalise: Normalisation = None,
    batch_size: int = 512,
    num_workers: int = 0,
) -> list[Features]:
    """Return the features of several views of N images, {space: float32 [N, d]} for each view.

    images: a split of which every file can be read, or uint8 [N, 3, S, S]. Files are decoded once
    for all views, and no more than about a batch of them is in memory. views: for each view what
    `pipeline.sample` drew for these images, or None for the plain view, which is the image's centre
    square, only resized and normalised. normalise: a function of (z [N, D], spaces) that acts on
    each image alone, such as SimCLR's projection to spheres, applied to every space but h; None
    leaves z as it is. (A standardisation by batch statistics would differ between sets of images.)
    batch_size: images per forward pass. num_workers: processes that decode files. The model is left
    in evaluation mode. Raises ValueError, one line, for no images, and for a file that cannot be
    read.
    """
    if not len(images):
        raise ValueError("no images to embed; give one or more")
    device = next(model.parameters()).device
    drawn = [params or plain(pipeline, len(images)) for params in views]
    model.eval()
    parts: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in drawn]
    start = 0
    for piece in pieces(images, batch_size, num_workers):
        part = slice(start, start := start + len(piece))
        pixels, aspect = parts_of(piece.to(device))
        for params, found in zip(drawn, parts, strict=True):
            draws = rows(params, part)
            draws = {name: {k: v.to(device) for k, v in p.items()} for name, p in draws.items()}
            x = pipeline.apply(*pipeline.unsquash(pixels, draws, aspect))  # [B, 3, S, S]
            h, z = model(x)  # [B, H], [B, D]
            found.append((h.float(), z.float()))
    return [_features(model.spaces, found, normalise) for found in parts]


def _features(
    spaces: Spaces, parts: list[tuple[torch.Tensor, torch.Tensor]], normalise: Normalisation
) -> Features:
    """Join the parts (h [B, H], z [B, D]) of one view to {space: float32 [N, d]}."""
    h, joined = (torch.cat(some) for some in zip(*parts, strict=True))
    if normalise:
        joined = normalise(joined, spaces)
    features = {"h": h, **spaces.split(joined), "joined": joined}
    return {space: value.cpu().numpy() for space, value in features.items()}


def pieces(images: Pictures, n: int, num_workers: int = 0) -> Iterator[Batch]:
    """Yield the images in order, uint8 [n, 3, S, S]; the last piece may be smaller.

    Files are decoded as they are needed, by `num_workers` processes. Raises ValueError, one line,
    that names the first file that cannot be read.
    """
    starts = range(0, len(images), n)
    if not isinstance(images, Images):
        yield from (images[i : i + n] for i in starts)
    elif images.pixels is not None:
        yield from (images.taken(slice(i, i + n)) for i in starts)
    else:
        index = torch.arange(len(images))
        parts = [part for whole in index.split(n) for part in whole.split(DECODED)]
        piece: list[Squashed] = []
        for part, (found, own) in zip(parts, images.stream(parts, num_workers), strict=True):
            if not own.all():
                name = images.decoder.source.names[int(part[~own][0])]
                raise ValueError(f"{name} cannot be read; leave it out, as `readable` does")
            # copied, to free the worker's shared memory
            piece.append(Squashed(found.pixels.clone(), found.aspect.clone()))
            if (int(part[-1]) + 1) % n == 0 or int(part[-1]) + 1 == len(images):
                yield Squashed(
                    torch.cat([some.pixels for some in piece]),
                    torch.cat([some.aspect for some in piece]),
                )
                piece = []


def readable(images: Images, num_workers: int = 0) -> Images:
    """Return the split without the files that cannot be read, and with the aspects of all others.

    No pixels are kept in memory. Every file is decoded once for this, by `num_workers` processes.
    Raises ValueError, one line, if too many are unreadable.
    """
    if images.pixels is not None:
        return images
    parts = torch.arange(len(images)).split(DECODED)
    found = [(x.aspect.clone(), own.clone()) for x, own in images.stream(parts, num_workers)]
    aspect, own = (torch.cat(some) for some in zip(*found))
    return replace(images, aspect=aspect).pick(own.nonzero()[:, 0])


def side(images: Pictures) -> int:
    """Return the side in pixels of the stored images."""
    return images.side if isinstance(images, Images) else images.shape[-1]


def plain(pipeline: Pipeline, n: int) -> dict[str, Params]:
    """Return parameters of the pipeline for n images with every random transform switched off."""
    params = pipeline.sample(torch.Generator().manual_seed(0), n, 1)
    off = torch.zeros(n, dtype=torch.bool)
    return {name: {**p, "on": off} if p else {} for name, p in params.items()}

"""Features of images from a frozen model: h, every space, and all spaces side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from msr.augment import Params, Pipeline
from msr.models import MultiSpace
from msr.spaces import Spaces
from msr.views import to_float

Features = dict[str, np.ndarray]  # space -> float32 [N, d]
Normalisation = Callable[[torch.Tensor, Spaces], torch.Tensor] | None  # z [N, D] -> z [N, D]

# Seeds of the probes' draws start here, far from those of data and training: with equal seeds an
# image's augmentation would depend on its factors.
STREAM = 10**9


@torch.no_grad()
def embed(
    model: MultiSpace,
    images: torch.Tensor,
    pipeline: Pipeline,
    params: dict[str, Params] | None = None,
    normalise: Normalisation = None,
    batch_size: int = 512,
) -> Features:
    """Return the features of N images: h, every space, and `joined` (all spaces side by side).

    Each is float32 [N, d]. images: uint8 [N, 3, S, S]. params: what `pipeline.sample` drew for
    these images, or None for the plain view, which is the whole image, only resized and normalised.
    normalise: a function of (z [N, D], spaces) that acts on each image alone, such as SimCLR's
    projection to spheres, applied to every space but h; None leaves z as it is. (A standardisation
    by batch statistics would differ between sets of images.) batch_size: images per forward pass.
    The model is left in evaluation mode.
    """
    device = next(model.parameters()).device
    params = params or plain(pipeline, len(images))
    model.eval()
    h_parts, z_parts = [], []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        draws = {name: {k: v[part].to(device) for k, v in p.items()} for name, p in params.items()}
        x = pipeline.apply(to_float(images[part].to(device)), draws)  # [B, 3, S, S]
        h, z = model(x.contiguous(memory_format=torch.channels_last))  # [B, H], [B, D]
        h_parts.append(h.float())
        z_parts.append(z.float())
    joined = torch.cat(z_parts)  # [N, D]
    if normalise:
        joined = normalise(joined, model.spaces)
    features = {"h": torch.cat(h_parts), **model.spaces.split(joined), "joined": joined}
    return {space: value.cpu().numpy() for space, value in features.items()}


def plain(pipeline: Pipeline, n: int) -> dict[str, Params]:
    """Return parameters of the pipeline for n images with every random transform switched off."""
    params = pipeline.sample(torch.Generator().manual_seed(0), n, 1)
    off = torch.zeros(n, dtype=torch.bool)
    return {name: {**p, "on": off} if p else {} for name, p in params.items()}

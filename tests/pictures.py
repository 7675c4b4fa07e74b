"""Pictures for the tests that read files."""

import io

import numpy as np
import torch
from PIL import Image


def noise(seed, size=(24, 20)):
    """A picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def blob(image, kind="JPEG"):
    """The bytes of a picture's file."""
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def by_pixels(split):
    """{an image's bytes: its class}."""
    split = split.decoded()
    return {p.numpy().tobytes(): c for p, c in zip(split.pixels, split.labels["class"].tolist())}


def same(a, b):
    """Whether two batches of squashed images are equal, pixels and shapes."""
    return torch.equal(a.pixels, b.pixels) and torch.equal(a.aspect, b.aspect)

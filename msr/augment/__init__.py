"""Structured augmentations: transforms whose parameters are data.

Images are float in [0, 1], [B, C, H, W]. Parameters are dicts of tensors with leading dimension B:
one draw PER IMAGE, the yes/no of its probability (`on`) among them. The same parameters give the
same image; to share a style between two views, reuse them.
"""

from msr.augment.affine import Affine, Place, Rotation, Translate, Zoom, warp
from msr.augment.appearance import (
    ColorJitter,
    Equalise,
    GaussianBlur,
    Greyscale,
    Normalise,
    Solarise,
    luma,
    shift_hue,
)
from msr.augment.base import Params, Transform
from msr.augment.pipeline import Pipeline
from msr.augment.presets import PRESETS, pipelines
from msr.augment.spatial import HorizontalFlip, ResizedCrop, VerticalFlip

__all__ = [
    "PRESETS",
    "Affine",
    "ColorJitter",
    "Equalise",
    "GaussianBlur",
    "Greyscale",
    "HorizontalFlip",
    "Normalise",
    "Params",
    "Pipeline",
    "Place",
    "ResizedCrop",
    "Rotation",
    "Solarise",
    "Transform",
    "Translate",
    "VerticalFlip",
    "Zoom",
    "luma",
    "pipelines",
    "shift_hue",
    "warp",
]

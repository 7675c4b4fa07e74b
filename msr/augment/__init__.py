"""Structured augmentations: transforms whose parameters are data.

Images are float in [0, 1], [B, C, H, W]. Parameters are dicts of tensors with leading dimension B:
one draw PER IMAGE. Among them is `on`, which says whether the image is changed at all. The same
parameters always give the same image; two views share a style when they use the same parameters.
"""

from msr.augment.affine import Affine, Place, Rotation, Size, Translate, Zoom, warp
from msr.augment.appearance import (
    ColorJitter,
    Equalise,
    Expose,
    GaussianBlur,
    Greyscale,
    Normalise,
    Solarise,
)
from msr.augment.base import Params, Transform
from msr.augment.colours import luma, shift_hue
from msr.augment.pipeline import Pipeline
from msr.augment.presets import PRESETS, pipelines
from msr.augment.spatial import HorizontalFlip, ResizedCrop, VerticalFlip

__all__ = [
    "PRESETS",
    "Affine",
    "ColorJitter",
    "Equalise",
    "Expose",
    "GaussianBlur",
    "Greyscale",
    "HorizontalFlip",
    "Normalise",
    "Params",
    "Pipeline",
    "Place",
    "ResizedCrop",
    "Rotation",
    "Size",
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

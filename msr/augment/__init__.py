"""Atomic transforms, each cut in two: `sample` draws parameters, `apply` is deterministic, batched and on x's device.

Images are float in [0, 1], [B, C, H, W]. Parameters are a dict of tensors with leading dimension B: one draw PER IMAGE,
with the yes/no of its probability (`on`) among them. Same parameters, same image out. To share a style, reuse them.
"""
from .appearance import ColorJitter, Equalise, GaussianBlur, Greyscale, Normalise, Solarise, luma, shift_hue
from .base import Params, Transform
from .spatial import Affine, HorizontalFlip, ResizedCrop, Place, Rotation, Translate, VerticalFlip, Zoom, warp

__all__ = ["Affine", "ColorJitter", "Equalise", "GaussianBlur", "Greyscale", "HorizontalFlip", "Normalise", "Params", "Place", "ResizedCrop",
           "Rotation", "Solarise", "Transform", "Translate", "VerticalFlip", "Zoom", "luma", "shift_hue", "warp"]

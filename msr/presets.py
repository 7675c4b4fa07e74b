"""Augmentation strengths by name, as query and key pipelines."""
from __future__ import annotations

from dataclasses import dataclass, replace

from . import augment
from .objective import nearest
from .views import Pipeline


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each view. Pairs are (query, key): the paper's blur and solarise are asymmetric."""

    crop: tuple[float, float] = (0.08, 1.0)         # share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)     # width / height
    overhang: float = 0.0                           # how far a crop may leave the image, share of the side
    flip: float = 0.5                               # probability
    rotation: float = 0.0                           # degrees either way; 0: not in the pipeline
    jitter: float = 0.8                             # probability of the four below
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1                                # turns of the colour circle, either way
    greyscale: float = 0.2                          # probability
    blur: tuple[float, float] = (1.0, 0.1)          # probability in query, key
    solarise: tuple[float, float] = (0.0, 0.2)
    equalise: tuple[float, float] = (0.0, 0.0)

    def pipelines(self, size: int) -> tuple[Pipeline, Pipeline]:
        """(query, key) for views of size × size; transforms that never act are left out."""
        return self._pipeline(size, 0), self._pipeline(size, 1)

    def _pipeline(self, size, side) -> Pipeline:
        steps = [augment.ResizedCrop(size, self.crop, self.ratio, overhang=self.overhang)]
        if self.flip:
            steps.append(augment.HorizontalFlip(self.flip))
        if self.rotation:
            steps.append(augment.Rotation(self.rotation, padding="border"))
        if self.jitter:
            steps.append(augment.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue, self.jitter))
        if self.greyscale:
            steps.append(augment.Greyscale(self.greyscale))
        for transform, p in ((augment.GaussianBlur, self.blur), (augment.Solarise, self.solarise), (augment.Equalise, self.equalise)):
            if max(p):
                steps.append(transform(p=p[side]))
        return Pipeline([*steps, augment.Normalise()])


MEDIUM = Augmentation()
PRESETS = {
    "medium": MEDIUM,                               # the paper's, for ImageNet
    "weak": replace(MEDIUM, crop=(0.5, 1.0), brightness=0.2, contrast=0.2, saturation=0.1, hue=0.05, greyscale=0.1),
    "strong": replace(MEDIUM, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, rotation=30.0),
    # small photographs: more of the colour, which is what there is to keep; no blur, no solarise
    "small": replace(MEDIUM, crop=(0.2, 1.0), saturation=0.8, hue=0.2, blur=(0.0, 0.0), solarise=(0.0, 0.0)),
    # the rendered shapes: every hue, and places all over the view; no greyscale, which would leave no colour to keep, and
    # no flip, which would hide on which side the crop lay
    "shapes": replace(MEDIUM, crop=(0.5, 1.0), ratio=(1.0, 1.0), overhang=0.2, flip=0.0, jitter=1.0, brightness=0.2, contrast=0.2, saturation=0.2,
                      hue=0.5, greyscale=0.0, blur=(0.0, 0.0), solarise=(0.0, 0.0)),
}


def preset(name: str, **changes) -> Augmentation:
    """A preset, with fields replaced. ValueError for an unknown name, TypeError for an unknown field."""
    if name not in PRESETS:
        raise ValueError(f"unknown augmentation preset '{name}'{nearest(name, PRESETS)}; choose {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)

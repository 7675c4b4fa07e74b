"""Presets: lists of transforms, in the order in which they are applied, by name.

A preset is a function of the view's side in pixels that returns its transforms. Where query and key
differ (the paper's blur and solarise are asymmetric), the list holds a pair: the query's transform
and the key's. To use a new transform, write it into a preset; its own class says to which groups it
belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msr.augment.affine import Place, Rotation, Size, Translate, Zoom
from msr.augment.appearance import (
    ColorJitter,
    Expose,
    GaussianBlur,
    Greyscale,
    Normalise,
    Solarise,
)
from msr.augment.base import Transform
from msr.augment.pipeline import Pipeline
from msr.augment.spatial import HorizontalFlip, ResizedCrop
from msr.config import choose

Step = Transform | tuple[Transform, Transform]  # for query and key alike, or (query's, key's)
Preset = Callable[[int], Sequence[Step]]  # the view's side in pixels -> its steps


# --------------------------------------------------------------------------------- photographs


def asymmetric() -> list[Step]:
    """Return the paper's blur and solarise, whose probabilities differ between query and key."""
    return [
        (GaussianBlur(p=1.0), GaussianBlur(p=0.1)),
        (Solarise(p=0.0), Solarise(p=0.2)),
    ]


def medium(size: int) -> list[Step]:
    """The paper's augmentations for ImageNet."""
    return [
        ResizedCrop(size, scale=(0.08, 1.0)),
        HorizontalFlip(),
        ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        Greyscale(0.2),
        *asymmetric(),
        Normalise(),
    ]


def weak(size: int) -> list[Step]:
    """Larger crops than `medium`, and half of its colour changes."""
    return [
        ResizedCrop(size, scale=(0.5, 1.0)),
        HorizontalFlip(),
        ColorJitter(brightness=0.2, contrast=0.2, saturation=0.1, hue=0.05, p=0.8),
        Greyscale(0.1),
        *asymmetric(),
        Normalise(),
    ]


def strong(size: int) -> list[Step]:
    """Twice the colour jitter of `medium` (saturation: four times), and rotation by up to 30°."""
    return [
        ResizedCrop(size, scale=(0.08, 1.0)),
        HorizontalFlip(),
        Rotation(30.0, padding="border"),
        ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
        Greyscale(0.2),
        *asymmetric(),
        Normalise(),
    ]


def small(size: int) -> list[Step]:
    """For small photographs: stronger changes of colour than `medium`, no blur and no solarise.

    Colour is most of the style that such images have.
    """
    return [
        ResizedCrop(size, scale=(0.2, 1.0)),
        HorizontalFlip(),
        ColorJitter(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.2, p=0.8),
        Greyscale(0.2),
        Normalise(),
    ]


def shapes(size: int) -> list[Step]:
    """For the rendered shapes: every hue, and crops that move the shape all over the view.

    There is no greyscale, which would leave no colour to keep, and no flip, which would hide on
    which side of the image the crop was.
    """
    return [
        ResizedCrop(size, scale=(0.5, 1.0), ratio=(1.0, 1.0), overhang=0.2),
        ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.5, p=1.0),
        Normalise(),
    ]


# ------------------------------------------------------------------------------------- sprites
# Sprites rotate and grow about their own centre, so a rotation does not move them.


def sprite(size: Transform, degrees: float, move: Transform, *colour: Step) -> list[Step]:
    """Return the steps: a change of size, rotation by up to `degrees`, a move, then the colours."""
    return [size, Rotation(degrees, centre="mass"), move, *colour, Normalise()]


def zoom(low: float, high: float) -> Transform:
    """Return a zoom by a factor between low and high."""
    return Zoom((low, high), centre="mass")


def sprites_weak(size: int) -> list[Step]:
    """Small changes of size, angle, place and colour."""
    move, jitter = Translate(0.05, centre="mass"), ColorJitter(0.2, 0.0, 0.2, 0.1, p=1.0)
    return sprite(zoom(0.8, 1.25), 5, move, jitter, Greyscale(0.0))


def sprites_medium(size: int) -> list[Step]:
    """Hues from half of the colour circle, and shifts by up to a tenth of the side."""
    move, jitter = Translate(0.1, centre="mass"), ColorJitter(0.5, 0.0, 0.5, 0.25, p=1.0)
    return sprite(zoom(0.6, 1.6), 10, move, jitter, Greyscale(0.1))


def any_size() -> Transform:
    """Return a draw of sizes that covers those of the sprites, 0.06 to 0.13, with a margin."""
    return Size((0.05, 0.16))


def all_hues() -> list[Step]:
    """Return steps that draw every hue, with strong changes of brightness and saturation.

    A dark blue that turns grey would be all but black, so what is darker than a quarter of the
    range is brightened.
    """
    return [ColorJitter(0.6, 0.0, 1.0, 0.5, p=1.0), Greyscale(0.2), Expose(0.25)]


def sprites_strong(size: int) -> list[Step]:
    """Every size, every place and every hue."""
    return sprite(any_size(), 15, Place(0.25), *all_hues())


def sprites_shifted(size: int) -> list[Step]:
    """As `sprites_strong`, but places are shifted, by as much as keeps sprites in view.

    A sprite on the left is then still more often on the left.
    """
    return sprite(any_size(), 15, Translate(0.25, centre="mass"), *all_hues())


def sprites_full_circle(size: int) -> list[Step]:
    """As `sprites_strong`, but with rotation by every angle."""
    return sprite(any_size(), 180, Place(0.25), *all_hues())


PRESETS: dict[str, Preset] = {
    "medium": medium,
    "weak": weak,
    "strong": strong,
    "small": small,
    "shapes": shapes,
}
SPRITE_PRESETS: dict[str, Preset] = {
    "weak": sprites_weak,
    "medium": sprites_medium,
    "strong": sprites_strong,
    "shifted": sprites_shifted,
    "full_circle": sprites_full_circle,
}


def pipelines(preset: str | Preset, size: int) -> tuple[Pipeline, Pipeline]:
    """Return the pipelines (query, key) of a preset, for views of size × size pixels.

    preset: a name in `PRESETS`, or a function of the same kind. Raises ValueError, with the most
    similar known name, for an unknown name.
    """
    if isinstance(preset, str):
        choose("augmentation", preset, PRESETS)
        preset = PRESETS[preset]
    steps = [step if isinstance(step, tuple) else (step, step) for step in preset(size)]
    query, key = (Pipeline([step[side] for step in steps]) for side in (0, 1))
    return query, key

"""What a transform declares of itself is what it does: its groups, its targets, its factors."""

import math

import pytest
import torch

from msr import augment
from msr.augment import PRESETS, pipelines
from msr.augment.presets import SPRITE_PRESETS

S, N = 24, 6
EXPORTED = [c for c in vars(augment).values() if isinstance(c, type)]
CLASSES = [c for c in EXPORTED if issubclass(c, augment.Transform) and c is not augment.Transform]
GROUPS = {
    "spatial": {"crop", "flip", "vertical_flip", "rotation", "affine", "translation", "zoom"},
    "appearance": {"jitter", "greyscale", "blur", "solarise", "equalise"},
    "color": {"jitter", "greyscale", "solarise", "equalise"},
    "texture": {"blur"},
    "affine": {"flip", "vertical_flip", "rotation", "affine", "translation", "zoom"},
}


def default(c):
    """A transform of this class as strong as its defaults make it."""
    return c(S) if c is augment.ResizedCrop else c()


TRANSFORMS = [
    *map(default, CLASSES),
    augment.Affine(30, 0.2, (0.7, 1.4), 20),
    augment.Rotation(180),
    augment.Place(0.0),
    *(
        t
        for preset in (*PRESETS.values(), *SPRITE_PRESETS.values())
        for t in pipelines(preset, S)[0].transforms.values()
    ),
]
each_class = pytest.mark.parametrize("c", CLASSES, ids=lambda c: c.__name__)
each_transform = pytest.mark.parametrize("t", TRANSFORMS, ids=repr)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------ names and groups


@each_class
def test_a_transform_has_a_name_of_its_own(c):
    assert "name" in vars(c)
    others = {other.name for other in CLASSES if other is not c}
    # a pipeline moves objects by a shift or to a place, and scales them by a factor or to a size
    stands_in = (augment.Translate, augment.Place, augment.Zoom, augment.Size)
    assert c.name not in others or c in stands_in


@each_class
def test_a_transform_that_draws_declares_its_groups(c):
    assert bool(c.groups) == c.random
    assert all(group.isidentifier() for group in c.groups)
    assert c.in_probe in ("always", "never", "drawn")


@pytest.mark.parametrize("group", GROUPS)
def test_members_of_the_groups(group):
    known = {name for names in GROUPS.values() for name in names}
    assert known & {c.name for c in CLASSES if group in c.groups} == GROUPS[group]


# ------------------------------------------------------------------- what style probes predict


@each_transform
@pytest.mark.parametrize("n", [1, 7])
def test_targets_have_a_row_for_each_image(t, n):
    for seed in range(3):
        targets = t.targets(t.sample(generator(seed), n, S))
        assert all(len(target) == n and target.dim() in (1, 2) for target in targets.values())
        assert all(target.isfinite().all() for target in targets.values())
        assert set(t.visible) <= set(targets)


@pytest.mark.parametrize("hue, shape", [(0.2, (N,)), (0.25, (N, 2))])
def test_a_hue_over_half_the_circle_is_predicted_as_sine_and_cosine(hue, shape):
    t = augment.ColorJitter(hue=hue)
    params = t.sample(generator(), N, S)
    target = t.targets(params)["hue"]
    assert target.shape == shape
    angle = torch.atan2(target[:, 0], target[:, 1]) if target.dim() == 2 else target
    torch.testing.assert_close(angle, 2 * math.pi * params["hue"])


# ------------------------------------------------------------------ factors changed and hidden


@each_transform
def test_only_what_is_changed_can_be_hidden(t):
    assert set(t.hides) <= set(t.changes)


@pytest.mark.parametrize(
    "weak, strong, hidden",
    [
        (augment.ColorJitter(hue=0.4, p=1), augment.ColorJitter(hue=0.5, p=1), {"color", "hue"}),
        (augment.Rotation(179), augment.Rotation(180), {"orientation"}),
        (augment.Zoom((0.5, 1.0)), augment.Zoom((0.5, 1.1)), {"scale", "size"}),
        (augment.Size(p=0.9), augment.Size(), {"scale", "size"}),
        (augment.Translate(0.3), augment.Place(0.3), {"x", "y", "position"}),
        # what leaves some images as they are hides nothing
        (augment.ColorJitter(hue=0.5), augment.ColorJitter(hue=0.5, p=1), {"color", "hue"}),
        (augment.Rotation(180, p=0.9), augment.Rotation(180), {"orientation"}),
        (augment.Place(0.3, p=0.5), augment.Place(0.3), {"x", "y", "position"}),
        (augment.ResizedCrop(S, p=0.99), augment.ResizedCrop(S), {"x", "y", "position"}),
        (
            augment.ResizedCrop(S, (0.6, 1.0)),
            augment.ResizedCrop(S, (0.5, 1.0)),
            {"x", "y", "position"},
        ),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else repr(value),
)
def test_a_strong_transform_hides_what_a_weak_one_shows(weak, strong, hidden):
    assert not weak.hides
    assert set(strong.hides) == hidden <= set(weak.changes)

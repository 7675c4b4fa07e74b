"""What two views tell of their difference, from a network whose features are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from msr import evaluate
from msr.augment import HorizontalFlip, Normalise, ResizedCrop
from msr.augment.pipeline import Pipeline
from msr.data import RENDERED
from msr.experiments import relative
from msr.views import Views

SIDE = 16


def levels(x):
    """The view's mean blue level as h, and its mean red level as content."""
    red, _, blue = x.mean((2, 3)).split(1, dim=1)
    return blue, red


@pytest.fixture(scope="module")
def ramps():
    """Images whose red rises to the right from a level that only two views can be rid of."""
    some = RENDERED["shapes"](n_train=600, n_val=300, size=SIDE)
    level = torch.Generator().manual_seed(0)
    sides = []
    for images in some:
        start = torch.randint(20, 120, (len(images), 1, 1), generator=level)
        pixels = torch.full((len(images), 3, SIDE, SIDE), 100)
        pixels[:, 0] = start + 120 * torch.arange(SIDE) // SIDE
        sides.append(replace(images, pixels=pixels.to(torch.uint8)))
    return sides


def trained(*transforms, seed=3):
    """What stands for a trained network."""
    views = Views(Pipeline([*transforms, Normalise()]), groups=("spatial",))
    objective = SimpleNamespace(frozen_normalise=None)
    return SimpleNamespace(model=tiny.Seen(levels), seed=seed, views=views, objective=objective)


CROP = ResizedCrop(SIDE, (0.3, 0.6), (1.0, 1.0))


def test_two_views_tell_how_far_one_lies_from_the_other(ramps):
    train, val = ramps
    setup = SimpleNamespace(train_probe=train, val_probe=val, readable=lambda x: x, workers=0)
    table = relative.relative(setup, trained(CROP))
    assert list(table["content"]) == ["crop_x", "crop_y", "crop_size"]
    assert table["content"]["crop_x"] > 0.95  # what is left is the rounding of pixels
    assert abs(table["content"]["crop_y"]) < 0.05 and abs(table["h"]["crop_x"]) < 0.05


def test_one_view_does_not(ramps):
    found = relative.two_views(trained(CROP), ramps[0], 0)
    both = np.stack([found.view["content"][:, 0], found.targets["crop_x"]])
    assert np.corrcoef(both)[0, 1] ** 2 < 0.1


def test_the_draws_follow_seed_and_split(ramps):
    first, other, held_out, again = (
        relative.two_views(trained(HorizontalFlip(), CROP, seed=seed), ramps[0], part)
        for seed, part in ((3, 0), (4, 0), (3, 1), (3, 0))
    )
    views = trained(HorizontalFlip(), CROP).views
    probed = evaluate.drawn(tiny.Seen(levels), views, ramps[0], 0, seed=3)
    crop_x = first.targets["crop_x"]
    assert list(first.targets) == ["flip", "crop_x", "crop_y", "crop_size"]
    assert (crop_x == again.targets["crop_x"]).all()
    assert (crop_x != other.targets["crop_x"]).any()
    assert (crop_x != held_out.targets["crop_x"]).any()
    own = probed.targets["crop_x"][:: probed.each]
    assert abs(np.corrcoef(crop_x, own)[0, 1]) < 0.2  # of 600 independent draws 0.04 is expected

"""Sharing a group leaves exactly that group's parameters equal, and every group has its home."""

import pytest
import torch

from msr import augment
from msr.augment import Pipeline, pipelines
from msr.views import Views

S = 16
CONTINUOUS = ("crop", "rotation", "jitter", "blur")  # two independent draws are never equal
CHOICES = [
    (),
    ("appearance", "spatial"),
    ("color", "texture", "crop", "affine"),
    ("jitter", "flip"),
]


def make(groups=("appearance", "spatial"), paired=False, preset="strong"):
    return Views(*pipelines(preset, S), groups, paired)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def equal(a, b):
    """Per image: are all of a transform's parameters equal?"""
    return torch.stack([(a[k] == b[k]).view(len(a[k]), -1).all(1) for k in a]).all(0)


# ------------------------------------------------------------------------------ what keys share


@pytest.mark.parametrize("groups", CHOICES)
def test_key_m_shares_group_m_and_nothing_else(groups):
    views = make(groups)
    query, *keys = views.sample(generator(), 500, S)
    assert len(keys) == len(groups) + 1 == views.n_views - 1
    for m, key in enumerate(keys):
        shared = views.members[groups[m - 1]] if m else ()
        for name in query:
            where = f"{name} in key {m}"
            if name in shared:
                assert all(torch.equal(query[name][k], key[name][k]) for k in query[name]), where
            elif name in CONTINUOUS:
                assert not equal(query[name], key[name]).any(), where
            elif query[name]:
                assert not equal(query[name], key[name]).all(), where


@pytest.mark.parametrize("groups", CHOICES)
def test_keys_share_nothing_with_each_other(groups):
    query, *keys = make(groups).sample(generator(), 500, S)
    for a in range(len(keys)):
        for b in range(a):
            for name in set(CONTINUOUS) & set(query):
                assert not equal(keys[a][name], keys[b][name]).any(), (name, a, b)


def test_paired_key_by_turn():
    views = make(paired=True)
    query, key = views.sample(generator(), 30, S)
    turn = torch.arange(30) % 3
    assert torch.equal(equal(query["jitter"], key["jitter"]), turn == 1)
    assert torch.equal(equal(query["crop"], key["crop"]), turn == 2)
    assert torch.equal(equal(query["rotation"], key["rotation"]), turn == 2)


def test_asymmetric_views_share_what_was_applied():
    views = make(preset="medium")  # blur 1.0 in the query, 0.1 in a key; solarise 0 and 0.2
    query, key0, appearance, spatial = views.sample(generator(), 2000, S)
    assert query["blur"]["on"].all() and not query["solarise"]["on"].any()
    assert abs(key0["blur"]["on"].float().mean() - 0.1) < 0.03
    assert abs(spatial["solarise"]["on"].float().mean() - 0.2) < 0.04
    assert torch.equal(appearance["blur"]["on"], query["blur"]["on"])
    assert torch.equal(appearance["blur"]["sigma"], query["blur"]["sigma"])
    assert not appearance["solarise"]["on"].any()


def test_shared_parameters_give_the_same_pixels():
    pipeline = Pipeline([augment.ResizedCrop(S), augment.ColorJitter(p=1)])
    x = torch.rand(8, 3, S, S, generator=generator(1))

    # the same crop in other colours: query and key 1 are correlated, query and key 0 are not
    query, *keys = (
        augment.luma(v).flatten(1) for v in Views(pipeline, groups=("crop",))(x, generator())
    )
    pairs = [[torch.stack(pair) for pair in zip(query, key, strict=True)] for key in keys]
    fresh, shared = (torch.stack([torch.corrcoef(p)[0, 1] for p in key]).mean() for key in pairs)
    assert shared > 0.9 > fresh

    both = Views(pipeline, groups=("crop", "jitter"))
    params = both.sample(generator(), 8, S)
    params[1] = params[0]
    out = both.apply(x, params)
    assert torch.equal(out[0], out[1])


def test_views_shape_dtype_and_seed():
    x = torch.randint(0, 256, (5, 3, 20, 20), generator=generator(), dtype=torch.uint8)
    a, b, c = (make()(x, generator(seed)) for seed in (1, 1, 2))
    assert a.shape == (4, 5, 3, S, S) and a.dtype == torch.float32
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert make(paired=True)(x, generator()).shape[0] == 2


@pytest.mark.parametrize(
    "groups, says",
    [
        (("apperance",), "unknown group 'apperance'.*did you mean 'appearance'"),
        (("appearance", "color"), "both hold 'jitter'"),
        (("normalise",), "unknown group 'normalise'"),
    ],
)
def test_wrong_groups(groups, says):
    with pytest.raises(ValueError, match=says):
        make(groups)


def test_unlike_pipelines():
    with pytest.raises(ValueError, match="same transforms in the same order"):
        Views(Pipeline([augment.HorizontalFlip()]), Pipeline([augment.Greyscale()]))


# ---------------------------------------------------------------------------------------- homes

JITTER = ("brightness", "contrast", "saturation", "hue")
CROP = ("crop_x", "crop_y", "crop_size")


def test_what_a_transform_drew_has_its_home_in_the_transforms_group():
    homes = dict.fromkeys(JITTER, "appearance") | dict.fromkeys(CROP, "spatial")
    assert make(preset="shapes").homes() == homes
    assert make(("spatial",), preset="shapes").homes() == dict.fromkeys(CROP, "spatial")
    assert make((), preset="shapes").homes() == {}


def test_homes_of_the_factors_of_the_shapes():
    factors = ("color", "hue", "x", "y", "position", "shape", "texture", "size")
    homes = make(preset="shapes").homes(factors)
    assert {factor: homes[factor] for factor in factors if factor in homes} == {
        "color": "appearance",
        "hue": "appearance",
        "x": "spatial",
        "y": "spatial",
        "position": "spatial",
        "shape": "content",
        "texture": "content",
    }  # size: changed by the crop, but not hidden


def test_a_factor_that_is_changed_but_not_hidden_has_no_home():
    homes = make(preset="medium").homes(("color", "hue", "size", "shape"))
    assert not {"color", "hue", "size"} & set(homes) and homes["shape"] == "content"


def test_a_factor_that_two_groups_change_has_no_home():
    homes = make(("crop", "flip"), preset="medium").homes(("x", "y"))
    assert "x" not in homes and homes["y"] == "crop"  # the flip mirrors left and right


def test_a_factor_that_a_transform_outside_the_groups_changes_has_no_home():
    assert "x" not in make(("crop",), preset="medium").homes(("x",))
    assert "color" not in make(("spatial",), preset="shapes").homes(("color",))

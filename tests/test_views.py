"""Sharing a group leaves exactly that group's parameters equal."""

import pytest
import torch

from msr import augment
from msr.augment import presets
from msr.views import Pipeline, Views

S = 16


def make(groups=("appearance", "spatial"), paired=False, preset="strong"):
    return Views(*presets.preset(preset).pipelines(S), groups, paired)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def equal(a, b):
    """Per image: are all of a transform's parameters equal?"""
    return torch.stack([(a[k] == b[k]).view(len(a[k]), -1).all(1) for k in a]).all(0)


CONTINUOUS = ("crop", "rotation", "jitter", "blur")  # two independent draws are never equal


@pytest.mark.parametrize(
    "groups",
    [(), ("appearance", "spatial"), ("color", "texture", "crop", "affine"), ("jitter", "flip")],
)
def test_key_m_shares_group_m_and_nothing_else(groups):
    views = make(groups)
    query, *keys = views.sample(generator(), 500, S)
    assert len(keys) == len(groups) + 1 == views.n_views - 1
    for m, key in enumerate(keys):
        shared = views.members[groups[m - 1]] if m else ()
        for name in query:
            if name in shared:
                assert all(torch.equal(query[name][k], key[name][k]) for k in query[name]), (
                    name,
                    m,
                )
            elif name in CONTINUOUS:
                assert not equal(query[name], key[name]).any(), (name, m)
            elif query[name]:
                assert not equal(query[name], key[name]).all(), (name, m)
    for a in range(len(keys)):  # keys do not share with each other
        for b in range(a):
            for name in set(CONTINUOUS) & set(query):
                both_share = [
                    groups[m - 1] for m in (a, b) if m and name in views.members[groups[m - 1]]
                ]
                assert not equal(keys[a][name], keys[b][name]).any() or both_share


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
    assert (
        abs(key0["blur"]["on"].float().mean() - 0.1) < 0.03
        and abs(spatial["solarise"]["on"].float().mean() - 0.2) < 0.04
    )
    assert torch.equal(appearance["blur"]["on"], query["blur"]["on"]) and torch.equal(
        appearance["blur"]["sigma"], query["blur"]["sigma"]
    )
    assert not appearance["solarise"]["on"].any()


def test_shared_parameters_give_the_same_pixels():
    pipeline = Pipeline([augment.ResizedCrop(S), augment.ColorJitter(p=1)])
    x = torch.rand(8, 3, S, S, generator=generator(1))
    views = Views(pipeline, groups=("crop",))(x, generator())
    grey = [augment.luma(v) for v in views]  # same crop, other colours: correlated images
    corr = [
        torch.corrcoef(torch.stack([grey[0].flatten(1)[i], g.flatten(1)[i]]))[0, 1]
        for g in grey[1:]
        for i in range(8)
    ]
    assert torch.stack(corr[8:]).mean() > 0.9 > torch.stack(corr[:8]).mean()
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


def test_unknown_preset():
    with pytest.raises(ValueError, match="did you mean 'medium'"):
        presets.preset("medum")


def sprite(rows, cols, size=48):
    x = torch.zeros(1, 3, size, size)
    x[:, :, rows, cols] = 1.0
    return x


def test_neighbouring_affine_transforms_are_one_resampling():
    """On a smooth image, the composition of three equals the three in turn, up to their interpolation."""
    axis = torch.linspace(-1, 1, 96)
    x = (
        torch.exp(-((axis[None, :] - 0.1) ** 2 + 2 * (axis[:, None] + 0.15) ** 2) / 0.1)
        .expand(4, 3, 96, 96)
        .contiguous()
    )
    for centre in ("image", "mass"):
        steps = [
            augment.Zoom((0.8, 1.3), centre=centre),
            augment.Rotation(180, centre=centre),
            augment.Translate(0.15, centre=centre),
        ]
        pipeline = Pipeline([*steps, augment.Solarise(p=0.0)])
        params = pipeline.sample(torch.Generator().manual_seed(3), 4, 96)
        params["rotation"]["on"][1] = False
        in_turn = x
        for t in steps:
            in_turn = t.apply(in_turn, params[t.name])
        torch.testing.assert_close(pipeline.apply(x, params), in_turn, atol=0.03, rtol=0)
        for p in params.values():
            p["on"][:] = False
        assert torch.equal(pipeline.apply(x, params), x)  # nothing on: unchanged, to the bit


def test_about_the_mass_an_object_stays_where_it_is():
    x = sprite(slice(8, 14), slice(30, 40))
    turn = augment.Affine(degrees=180, zoom=(0.5, 0.9), centre="mass")
    params = turn.sample(torch.Generator().manual_seed(0), 1, 48)
    before = augment.spatial.mass_centre(x)
    torch.testing.assert_close(before, torch.tensor([[35 / 48 - 0.5, 11 / 48 - 0.5]]))
    torch.testing.assert_close(
        augment.spatial.mass_centre(turn.apply(x, params)), before, atol=0.01, rtol=0
    )
    about_the_image = augment.Affine(degrees=180, zoom=(0.5, 0.9)).apply(x, params)
    assert (augment.spatial.mass_centre(about_the_image) - before).norm() > 0.05
    shift = augment.Translate(0.1, centre="mass")
    params = shift.sample(torch.Generator().manual_seed(1), 1, 48)
    torch.testing.assert_close(
        augment.spatial.mass_centre(shift.apply(x, params)) - before,
        params["shift"],
        atol=0.01,
        rtol=0,
    )
    assert torch.equal(augment.spatial.mass_centre(torch.zeros(1, 3, 5, 5)), torch.zeros(1, 2))


def test_a_place_says_nothing_of_the_place_before():
    """Drawn alike, sprites that stood apart stand together; what is off stays where it was; later turns leave it there."""
    x = torch.cat([sprite(slice(8, 14), slice(30, 40)), sprite(slice(30, 36), slice(6, 16))])
    pipeline = Pipeline(
        [
            augment.Zoom((0.5, 0.9), centre="mass"),
            augment.Place(0.25),
            augment.Rotation(180, centre="mass"),
        ]
    )
    params = pipeline.sample(torch.Generator().manual_seed(0), 2, 48)
    params["translation"]["shift"][1] = params["translation"]["shift"][0]
    centres = augment.spatial.mass_centre(pipeline.apply(x, params))
    torch.testing.assert_close(centres, params["translation"]["shift"], atol=0.01, rtol=0)
    assert pipeline.group("translation") == ("translation",)
    params["translation"]["on"][1] = False
    after = augment.spatial.mass_centre(pipeline.apply(x, params))
    torch.testing.assert_close(
        after, torch.stack([centres[0], augment.spatial.mass_centre(x)[1]]), atol=0.01, rtol=0
    )


def test_transforms_about_different_centres_are_not_joined():
    pipeline = Pipeline([augment.Rotation(90), augment.Translate(0.2, centre="mass")])
    x = sprite(slice(8, 14), slice(30, 40))
    params = pipeline.sample(torch.Generator().manual_seed(2), 1, 48)
    in_turn = pipeline.transforms["translation"].apply(
        pipeline.transforms["rotation"].apply(x, params["rotation"]), params["translation"]
    )
    assert torch.equal(pipeline.apply(x, params), in_turn)

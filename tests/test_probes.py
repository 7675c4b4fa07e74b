"""Probes on known features; style probes and sensitivity of a model whose features are known."""

import numpy as np
import pytest
import tiny
import torch
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from msr.augment import ColorJitter, Greyscale, HorizontalFlip, Normalise, ResizedCrop
from msr.augment.pipeline import Pipeline
from msr.evaluate import (
    embed,
    plain,
    probes,
    readers,
    sensitivity,
    style_draw,
    style_inputs,
    style_probes,
    style_targets,
)
from msr.spaces import Spaces
from msr.views import Views

rng = np.random.default_rng(0)


# -------------------------------------------------------------------------------- probes on arrays


def test_regress_is_one_for_a_map_and_zero_for_noise():
    s = rng.uniform(-1, 1, (3000, 2))
    features = np.stack([np.exp(s[:, 0]), s[:, 1] ** 3, s[:, 0] * s[:, 1]], 1) + 0.0
    y = np.concatenate([s, rng.normal(size=(3000, 1))], 1)
    r2 = probes.regress(features[:2000], y[:2000], features[2000:], y[2000:])[0]
    assert r2[0] > 0.99 and r2[1] > 0.95 and abs(r2[2]) < 0.02


def test_classifiers_predict_clusters_and_guess_noise():
    y = rng.integers(0, 5, 1500)
    clusters = np.eye(8)[y] + 0.1 * rng.normal(size=(1500, 8))
    for probe in (probes.linear, probes.knn):
        assert probe(clusters[:1000], y[:1000], clusters[1000:], y[1000:]) > 0.99
        noise = rng.normal(size=(1500, 8))
        assert abs(probe(noise[:1000], y[:1000], noise[1000:], y[1000:]) - 0.2) < 0.07


def test_classify_finds_rings_that_no_line_separates():
    generator = np.random.default_rng(0)
    z = generator.normal(size=(1200, 2))
    y = (np.linalg.norm(z, axis=1) > 1.18).astype(int)
    sides = z[:800], y[:800], z[800:], y[800:]
    assert probes.classify(*sides).score > 0.95 > 0.7 > probes.linear(*sides)


def test_a_space_of_few_dimensions_is_heard_among_many():
    """Twenty dimensions drown the ring in two others, unless kernels know the spaces' widths."""
    generator = np.random.default_rng(0)
    z = generator.normal(size=(2, 1500, 22)).astype(np.float32)
    radius = np.hypot(z[..., 0], z[..., 1])[..., None]
    kernels = [readers.regressors(z[0], 500, sizes)[0] for sizes in ((), (2, 20))]
    drowned, heard = (
        probes.r2(radius[1], model.fit(z[0], radius[0]).predict(z[1]))[0] for model in kernels
    )
    assert heard > 0.95 > 0.8 > drowned
    features = {"h": z[0], "content": z[0, :, :2], "rest": z[0, :, 2:], "joined": z[0]}
    assert probes.side_by_side(features, "joined") == [2, 20]
    assert probes.side_by_side(features, "content") == []


def hidden(n, seed):
    """Features [n, 512] that hold two angles, turned at random, and the sine of their difference.

    The directions have unequal scales; those of the angles are the tenth to the thirteenth.
    """
    generator = np.random.default_rng(seed)
    angle = generator.uniform(0, 2 * np.pi, (2, n))
    x = generator.normal(size=(n, 512))
    x[:, 9:13] = np.sqrt(2) * np.stack([*np.sin(angle), *np.cos(angle)], 1)
    x *= np.arange(1, 513) ** -0.5
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(512, 512)))[0]
    return (x @ turn).astype(np.float32), np.sin(angle[0] - angle[1])[:, None]


def test_a_nonlinear_function_hidden_in_wide_features_is_found():
    """Kernels alone hardly see a function of 4 of 512 directions; the probe does."""
    (x, y), (x_test, y_test) = hidden(2000, 0), hidden(1000, 1)
    kernels = readers.regressors(x, 500, ())[0].fit(x, y)
    assert probes.r2(y_test, kernels.predict(x_test))[0] < 0.3
    assert probes.regress(x, y, x_test, y_test)[0][0] > 0.7


def test_pairs_begin_with_what_changes():
    """Two of 20 directions change, and they have little of the variance over images."""
    generator = np.random.default_rng(0)
    turn = np.linalg.qr(generator.normal(size=(20, 20)))[0]
    before = generator.normal(size=(400, 20)) * np.r_[np.full(18, 3.0), 0.3, 0.3]
    change = np.concatenate([np.zeros((400, 18)), generator.normal(size=(400, 2))], 1)
    before, change = before @ turn, change @ turn
    pairs = readers.changes(before, before + change)(np.concatenate([before, change], 1))
    shares = pairs[:, 1::2].var(axis=0) / pairs[:, 1::2].var(axis=0).sum()
    assert pairs.shape == (400, 40) and shares[:2].sum() > 0.9


def test_of_two_readers_the_better_is_kept_for_each_target():
    """The first predicts zero and the second the feature; noise stays with the first."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(500, 1))
    y = np.concatenate([x, generator.normal(size=(500, 1))], 1)
    first = make_pipeline(FunctionTransformer(), RidgeCV([1e9], alpha_per_target=True))
    second = make_pipeline(
        FunctionTransformer(np.repeat, kw_args={"repeats": 2, "axis": 1}), Ridge()
    )
    held = readers.held_out(500)
    assert (
        held.sum() == 100 and readers.held_out(500, each=5).reshape(100, 5).std(axis=1).max() == 0
    )
    found, error = readers.predicted([first, second], x, y, x, held)
    assert error[0] < 0.01 and error[1] == pytest.approx(1, abs=0.1)
    assert probes.r2(y, found)[0] > 0.99 and np.abs(found[:, 1]).max() < 0.1


def test_a_second_reader_that_cannot_be_better_by_the_margin_is_not_fitted():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(500, 2))
    noise = generator.normal(size=500)
    # twice 0.02 of the variance is not explained, then 0.1 of one target
    near = x + np.stack([noise, noise[::-1]], 1) * (0.02 / 0.98) ** 0.5
    far = x + np.stack([noise * (0.1 / 0.9) ** 0.5, np.zeros(500)], 1)
    held = readers.held_out(500)

    def with_second(second, y):
        first = make_pipeline(FunctionTransformer(), RidgeCV([1e-6], alpha_per_target=True))
        return readers.predicted([first, second], x, y, x, held)

    found, error = with_second(None, near)  # which could not be fitted
    assert np.allclose(found, x, atol=0.05) and (error < readers.MARGIN).all()
    perfect = make_pipeline(FunctionTransformer(), Ridge(1e-6))
    assert all(map(np.array_equal, with_second(perfect, near), (found, error)))
    with pytest.raises(AttributeError, match="fit"):
        with_second(None, far)


def test_what_a_space_tells_joined_tells():
    """A product of two of 300 directions beside 300 others: no reader of all columns finds it."""
    generator = np.random.default_rng(0)
    space, other = generator.normal(size=(1600, 2)), generator.normal(size=(1600, 300))
    joined = np.concatenate([space, other], axis=1)
    features = {"h": joined, "space": space, "other": other, "joined": joined}
    y = {"product": space[:, 0] * space[:, 1], "first": space[:, 0]}
    train, test = ({k: v[side] for k, v in y.items()} for side in (slice(800), slice(800, None)))
    found = {k: probes.many(v[:800], train, v[800:], test) for k, v in features.items()}
    table = probes.nested(found)
    assert found["joined"]["product"].score < 0.5 and table["joined"]["product"] > 0.95
    for name in ("h", "space", "other"):
        assert table[name] == probes.scores(found[name]), "only joined has parts"
    assert table["joined"]["first"] >= found["joined"]["first"].score - 0.02


def test_without_held_out_images_rows_are_read_directly():
    row = {"a": probes.Reading(0.2)}
    table = probes.nested({"joined": row, "space": {"a": probes.Reading(0.9)}})
    assert table == {"joined": {"a": 0.2}, "space": {"a": 0.9}}
    assert probes.nested({"x": row}) == {"x": {"a": 0.2}} and probes.nested({}) == {}


# ------------------------------------------------------------------------- a model with known views


class Looks(torch.nn.Module):
    """A network that computes its spaces from the pixels.

    content: nothing that a view changes; appearance: mean colour; spatial: centre of mass.
    """

    spaces = Spaces.of(("appearance", "spatial"), (1, 3, 2))

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        weight = (x - x.amin((1, 2, 3), keepdim=True)).sum(1)  # [B, S, S]
        total = weight.sum((1, 2))
        axis = torch.arange(x.shape[-1]) / x.shape[-1]
        column = (weight.sum(1) * axis).sum(1) / total
        row = (weight.sum(2) * axis).sum(1) / total
        content = torch.ones(len(x), 1) + 1e-4 * torch.randn(len(x), 1)
        z = torch.cat([content, x.flatten(2).amax(2), torch.stack([column, row], 1)], 1)
        return z, z


def red(x):
    """The view's own red level, as h and as content."""
    z = x[:, :1].mean((2, 3))
    return z, z


@pytest.fixture(scope="module")
def dots():
    """A coloured square anywhere on black, augmented by colour (jitter) and place (the crop)."""
    images = torch.zeros(300, 3, 16, 16, dtype=torch.uint8)
    color = torch.tensor([200, 120, 60], dtype=torch.uint8)[:, None, None]
    for i, (x, y) in enumerate(rng.integers(4, 10, (300, 2))):
        images[i, :, y : y + 3, x : x + 3] = color
    pipeline = Pipeline(
        [
            ResizedCrop(16, (1.0, 1.0), (1.0, 1.0), overhang=0.2),
            ColorJitter(0.2, 0.2, 0.2, 0.5, p=1.0),
            Normalise(),
        ]
    )
    return images, Views(pipeline, groups=("appearance", "spatial"))


def test_plain_view_is_the_image(dots):
    images, views = dots
    x = views.query.apply(images.float() / 255, plain(views.query, len(images)))
    expected = views.query.transforms["normalise"].apply(images.float() / 255, {})
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)


def test_embedding_does_not_depend_on_the_batch(dots):
    images, views = dots
    small, large = (embed(Looks(), images, views.query, batch_size=b) for b in (7, 300))
    np.testing.assert_allclose(small["spatial"], large["spatial"], atol=1e-6)
    assert list(small) == ["h", "content", "appearance", "spatial", "joined"]


# ------------------------------------------------------------------------------------- sensitivity


def test_sensitivity_of_known_features(dots):
    images, views = dots
    table = sensitivity(Looks(), views, images)
    assert table["appearance"]["appearance"] > 0.5 > 0.05 > table["appearance"]["spatial"]
    assert table["spatial"]["spatial"] > 0.5 > 0.05 > table["spatial"]["appearance"]


def test_sensitivity_by_hand():
    """Redrawing brightness alone moves the red level as two independent draws do: ratio 1."""
    quiet = [
        ResizedCrop(8, (1.0, 1.0), (1.0, 1.0)),
        ColorJitter(0.4, 0.0, 0.0, 0.0, p=1.0),
        Normalise(),
    ]
    views = Views(Pipeline(quiet), groups=("appearance", "spatial"))
    images = torch.full((4000, 3, 8, 8), 100, dtype=torch.uint8)
    table = sensitivity(tiny.Seen(red), views, images)
    assert table["content"]["appearance"] == pytest.approx(1, abs=0.06)
    assert table["content"]["spatial"] == 0


@pytest.mark.parametrize("scale_free", [False, True])
def test_a_space_that_never_changes_is_not_sensitive(scale_free):
    images = torch.full((20, 3, 8, 8), 100, dtype=torch.uint8)
    views = Views(Pipeline([HorizontalFlip(), Normalise()]), groups=("spatial",))
    table = sensitivity(tiny.Seen(red), views, images, scale_free=scale_free)
    assert table["content"] == {"spatial": 0.0}


# ------------------------------------------------------------------------------------ style probes


def test_style_probes_find_what_is_there(dots):
    images, views = dots
    table = style_probes(Looks(), views, images[:200], images[200:])
    assert min(table["spatial"]["crop_x"], table["spatial"]["crop_y"]) > 0.8
    assert table["appearance"]["brightness"] > 0.3 > 0.1 > table["spatial"]["brightness"]
    assert max(table["content"][k] for k in ("crop_x", "crop_y", "brightness", "hue")) < 0.1
    alone = {"brightness_alone", "contrast_alone", "saturation_alone", "hue_alone"}
    assert alone <= set(table["h"])


def test_the_images_themselves_show_colour_and_place(dots):
    images, views = dots
    table = style_inputs(views, images[:200], images[200:])
    assert list(table) == ["x: colours", "x: pixels"]
    assert table["x: colours"]["brightness"] > 0.8 > 0.1 > table["x: colours"]["crop_x"]
    assert min(table["x: pixels"]["crop_x"], table["x: pixels"]["crop_y"]) > 0.4


def test_a_style_draw_applies_what_is_predicted_and_not_what_hides_it():
    pipeline = Pipeline(
        [
            ResizedCrop(8, p=0.5),
            HorizontalFlip(0.5),
            ColorJitter(hue=0.1, p=0.5),
            Greyscale(0.5),
            Normalise(),
        ]
    )
    params = style_draw(pipeline, torch.Generator().manual_seed(0), 50, 8)
    drawn = pipeline.sample(torch.Generator().manual_seed(0), 50, 8)
    assert params["crop"]["on"].all() and params["jitter"]["on"].all()
    assert not params["greyscale"]["on"].any()
    assert torch.equal(params["flip"]["on"], drawn["flip"]["on"])
    assert torch.equal(params["crop"]["extent"], drawn["crop"]["extent"])
    assert list(style_targets(pipeline, params)) == [
        *("crop_x", "crop_y", "crop_size", "flip"),
        *("brightness", "contrast", "saturation", "hue"),
    ]


def test_a_hue_over_half_the_circle_is_an_angle():
    for hue, shape in ((0.1, (30,)), (0.25, (30, 2))):
        pipeline = Pipeline([ColorJitter(hue=hue)])
        params = pipeline.sample(torch.Generator().manual_seed(0), 30, 8)
        target, turn = style_targets(pipeline, params)["hue"], 2 * np.pi * params["jitter"]["hue"]
        expected = turn if hue == 0.1 else torch.stack([turn.sin(), turn.cos()], 1)
        assert target.shape == shape
        np.testing.assert_allclose(target, expected)


def test_a_pipeline_with_nothing_to_predict_has_no_style_probes(dots):
    images, _ = dots
    views = Views(Pipeline([Greyscale(0.5), Normalise()]))
    table = style_probes(Looks(), views, images[:20], images[20:40])
    assert table == {space: {} for space in ("h", *Looks.spaces.names, "joined")}

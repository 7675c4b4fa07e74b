"""Query and key may apply what they drew in different ways; each applies its own draws."""

import pytest
import torch

from msr import augment
from msr.augment import Pipeline
from msr.views import Views

S, B = 16, 6
# of each kind a pair (the query's, the key's) that is applied differently
PAIRS = {
    "jitter": (augment.ColorJitter(hue=0.0, p=1), augment.ColorJitter(hue=0.5, p=1)),
    "solarise": (augment.Solarise(0.9, p=1), augment.Solarise(0.1, p=1)),
    "rotation": (
        augment.Rotation(90, padding="zeros"),
        augment.Rotation(90, padding="border", centre="mass"),
    ),
    "translation": (augment.Translate(0.4), augment.Place(0.4)),
    "normalise": (augment.Normalise(), augment.Normalise((0.5,) * 3, (0.5,) * 3)),
}


def images():
    return torch.rand(B, 3, S, S, generator=torch.Generator().manual_seed(0))


def both(name):
    """Pipelines (query, key) of two spatial transforms and the pair, which differs."""
    first = [augment.ResizedCrop(S), augment.HorizontalFlip()]
    query, key = (Pipeline([*first, t]) for t in PAIRS[name])
    return query, key


def views_of(name, groups=(), paired=False):
    views = Views(*both(name), groups, paired)
    params = views.sample(torch.Generator().manual_seed(1), B, S)
    return views, params, views.apply(images(), params)


@pytest.mark.parametrize("name", PAIRS)
def test_each_pipeline_applies_what_it_drew(name):
    views, params, out = views_of(name, ("crop",))
    assert torch.equal(out[0], views.query.apply(images(), params[0]))
    assert torch.equal(out[1], views.key.apply(images(), params[1]))
    assert torch.equal(out[2], views.key.apply(images(), params[2]))
    assert not torch.equal(out[1], views.query.apply(images(), params[1]))


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"normalise"}))
def test_a_shared_style_looks_as_in_the_query(name):
    views, params, out = views_of(name, (name, "crop"))
    assert torch.equal(out[2], views.query.apply(images(), params[2]))
    assert torch.equal(out[3], views.key.apply(images(), params[3]))
    params[2] = params[0]
    same = views.apply(images(), params)
    assert torch.equal(same[0], same[2])


def test_crops_that_leave_the_image_by_different_shares():
    query, key = (Pipeline([augment.ResizedCrop(S, overhang=far)]) for far in (0.0, 0.4))
    views = Views(query, key)
    params = views.sample(torch.Generator().manual_seed(1), B, S)
    out = views.apply(images(), params)
    assert torch.equal(out[0], query.apply(images(), params[0]))
    assert torch.equal(out[1], key.apply(images(), params[1]))


def test_paired_views_with_unlike_pipelines():
    views, params, out = views_of("solarise", ("crop",), paired=True)
    assert torch.equal(out[1], views.key.apply(images(), params[1]))
    with pytest.raises(ValueError, match="query and key apply 'solarise' differently.*threshold"):
        views_of("solarise", ("solarise",), paired=True)


def test_views_of_different_sizes_are_refused():
    query, key = (Pipeline([augment.ResizedCrop(size)]) for size in (16, 12))
    with pytest.raises(ValueError, match="the query is 16 pixels wide, a key 12; give both one"):
        Views(query, key)


@pytest.mark.parametrize("preset", augment.PRESETS)
def test_what_differs_in_strength_alone_is_applied_in_one_pass(preset):
    views = Views(*augment.pipelines(preset, S), ("appearance", "spatial"))
    assert set(map(id, views.appliers)) == {id(views.query)}
    weak, strong = augment.ColorJitter(0.1, 0.1, 0.1), augment.ColorJitter(0.9, 0.9, 0.9)
    assert weak.alike(strong) and not weak.alike(augment.ColorJitter(hue=0.3))


def test_an_attribute_that_a_transform_does_not_declare_counts():
    class Tint(augment.Transform):
        name = "tint"

        def __init__(self, gain):
            super().__init__(1.0)
            self.gain = gain

        def change(self, x, params):
            return x * self.gain

    views = Views(Pipeline([Tint(0.5)]), Pipeline([Tint(1.0)]))
    out = views(images(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(out[0] * 2, out[1])

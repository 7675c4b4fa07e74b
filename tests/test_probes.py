"""Probes on features whose answer is known; sensitivity of a network that looks at one thing only."""
import numpy as np
import pytest
import torch

from msr import presets, probes
from msr.spaces import Spaces
from msr.views import Views

rng = np.random.default_rng(0)


def test_regress_is_one_for_a_map_and_zero_for_noise():
    s = rng.uniform(-1, 1, (3000, 2))
    features = np.stack([np.exp(s[:, 0]), s[:, 1]**3, s[:, 0] * s[:, 1]], 1) + 0.0
    y = np.concatenate([s, rng.normal(size=(3000, 1))], 1)
    r2 = probes.regress(features[:2000], y[:2000], features[2000:], y[2000:])
    assert r2[0] > 0.99 and r2[1] > 0.95 and abs(r2[2]) < 0.02


def test_classifiers_tell_clusters_and_guess_noise():
    y = rng.integers(0, 5, 1500)
    clusters = np.eye(8)[y] + 0.1 * rng.normal(size=(1500, 8))
    for probe in (probes.linear, probes.knn):
        assert probe(clusters[:1000], y[:1000], clusters[1000:], y[1000:]) > 0.99
        noise = rng.normal(size=(1500, 8))
        assert abs(probe(noise[:1000], y[:1000], noise[1000:], y[1000:]) - 0.2) < 0.07


class Looks(torch.nn.Module):
    """A network that knows: content = nothing that a view changes, appearance = mean colour, spatial = centre of mass."""

    spaces = Spaces.of(("appearance", "spatial"), (1, 3, 2))

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        weight = (x - x.amin((1, 2, 3), keepdim=True)).sum(1)
        total = weight.sum((1, 2))
        axis = torch.arange(x.shape[-1]) / x.shape[-1]
        place = torch.stack([(weight.sum(1) * axis).sum(1) / total, (weight.sum(2) * axis).sum(1) / total], 1)
        colour = x.flatten(2).amax(2)
        z = torch.cat([torch.ones(len(x), 1) + 1e-4 * torch.randn(len(x), 1), colour, place], 1)
        return z, z


@pytest.fixture(scope="module")
def dots():
    """A white square, anywhere on black; augmented by colour (jitter) and place (translation by the crop)."""
    images = torch.zeros(300, 3, 16, 16, dtype=torch.uint8)
    for i, (x, y) in enumerate(rng.integers(4, 10, (300, 2))):
        images[i, :, y:y + 3, x:x + 3] = torch.tensor([200, 120, 60], dtype=torch.uint8)[:, None, None]
    views = Views(*presets.preset("shapes", crop=(1.0, 1.0), overhang=0.2, flip=0.0).pipelines(16), ("appearance", "spatial"))
    return images, views


def test_sensitivity_of_known_features(dots):
    images, views = dots
    table = probes.sensitivity(Looks(), views, images)
    assert table["appearance"]["appearance"] > 0.5 > 0.05 > table["appearance"]["spatial"]
    assert table["spatial"]["spatial"] > 0.5 > 0.05 > table["spatial"]["appearance"]


def test_sensitivity_by_hand():
    """z = the view's own red level; jitter's brightness only. Redrawing it moves z as two independent draws do: ratio 1."""
    class Red(torch.nn.Module):
        spaces = Spaces(("content",), (1,))

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            z = x[:, :1].mean((2, 3))
            return z, z
    quiet = dict(contrast=0.0, saturation=0.0, hue=0.0, flip=0.0, crop=(1.0, 1.0), ratio=(1.0, 1.0), overhang=0.0, brightness=0.4)
    views = Views(*presets.preset("shapes", **quiet).pipelines(8), ("appearance", "spatial"))
    images = torch.full((4000, 3, 8, 8), 100, dtype=torch.uint8)
    table = probes.sensitivity(Red(), views, images)
    assert table["content"]["appearance"] == pytest.approx(1, abs=0.06) and table["content"]["spatial"] == 0


def test_style_probes_find_what_is_there(dots):
    images, views = dots
    table = probes.style_probes(Looks(), views, images[:200], images[200:])
    assert min(table["spatial"]["crop_x"], table["spatial"]["crop_y"]) > 0.8
    assert table["appearance"]["brightness"] > 0.3 > 0.1 > table["spatial"]["brightness"]
    assert max(table["content"][k] for k in ("crop_x", "crop_y", "brightness", "hue")) < 0.1
    assert {"brightness_alone", "contrast_alone", "saturation_alone", "hue_alone"} <= set(table["h"])


def test_plain_view_is_the_image(dots):
    images, views = dots
    x = views.query.apply(images.float() / 255, probes.plain(views.query, len(images)))
    expected = views.query.transforms["normalise"].apply(images.float() / 255, {})
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)


def test_embedding_does_not_depend_on_the_batch(dots):
    images, views = dots
    small, large = (probes.embed(Looks(), images, views.query, batch_size=b) for b in (7, 300))
    np.testing.assert_allclose(small["spatial"], large["spatial"], atol=1e-6)
    assert list(small) == ["h", "content", "appearance", "spatial", "joined"]


def test_a_space_of_few_dimensions_is_heard_among_many():
    """What two dimensions tell by a ring, twenty others drown, unless the probe knows which stand together."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 1500, 22)).astype(np.float32)
    radius = np.hypot(z[..., 0], z[..., 1])[..., None]
    drowned, heard = (probes.regress(z[0], radius[0], z[1], radius[1], sizes=sizes)[0] for sizes in ((), (2, 20)))
    assert heard > 0.95 > 0.8 > drowned
    features = {"h": z[0], "content": z[0, :, :2], "rest": z[0, :, 2:], "joined": z[0]}
    assert probes.side_by_side(features, "joined") == [2, 20] and probes.side_by_side(features, "content") == []


def test_classify_finds_rings_that_no_line_separates():
    generator = np.random.default_rng(0)
    z = generator.normal(size=(1200, 2))
    y = (np.linalg.norm(z, axis=1) > 1.18).astype(int)
    assert probes.classify(z[:800], y[:800], z[800:], y[800:]) > 0.95 > 0.7 > probes.linear(z[:800], y[:800], z[800:], y[800:])

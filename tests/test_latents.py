"""Latents: their dependence, their mixing, what views share, and the two counterexamples."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from msr.data import counterexamples, latents
from msr.data.latents import Latents, LatentViews, Stream
from msr.evaluate import probes

N = 20_000


def draw(n=N, seed=1, **kwargs):
    return Latents(**kwargs).sample(n, torch.Generator().manual_seed(seed))


def correlation(a, b):
    """Largest absolute correlation between the columns of a and of b."""
    both = np.corrcoef(np.concatenate([a, b], 1), rowvar=False)
    return np.abs(both[: a.shape[1], a.shape[1] :]).max()


# ------------------------------------------------------------------------ distribution and mixing


@pytest.mark.parametrize("law", latents.LAWS)
def test_every_law_has_mean_0_and_variance_1_and_is_what_it_says(law):
    _, blocks = draw(law=law)
    u = blocks["exogenous_1"][:, 0].numpy()
    assert abs(u.mean()) < 0.03 and abs(u.var() - 1) < 0.04
    kurtosis = {"gaussian": 3, "uniform": 9 / 5, "laplace": 6, "mixture": 3 - 2 * 0.9**4}
    assert (u**4).mean() == pytest.approx(kurtosis[law], rel=0.1)


def test_dependent_styles_have_that_correlation_and_content_none():
    z, _ = draw(content=2, styles=(1, 2), dependence=0.5)
    expected = np.eye(5)
    expected[2, 3] = expected[3, 2] = 0.5  # the first dimensions of the two styles
    assert np.abs(np.cov(z.T) - expected).max() < 0.05


def test_an_observation_of_more_dimensions_inverts_and_is_worse_conditioned():
    model = Latents(2, (1, 1), observed=16, layers=5, draws=1)
    z, _ = model.sample(500, torch.Generator().manual_seed(0))
    x = model.mix(z.double())
    assert x.shape == (500, 16) and torch.linalg.matrix_rank(x) > 4
    torch.testing.assert_close(model.unmix(x), z.double(), atol=1e-6, rtol=1e-6)
    usual = Latents(2, (1, 1), observed=16, layers=5)
    assert torch.linalg.cond(model.weights).mean() > 2 * torch.linalg.cond(usual.weights).mean()


@pytest.mark.parametrize("content, styles", [(3, (1, 1, 1)), (4, (2, 2)), (5, (5,))])
def test_the_mixing_inverts(content, styles):
    model = Latents(content, styles)
    z, _ = model.sample(500, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.unmix(model.mix(z)), z, atol=1e-4, rtol=1e-4)
    assert torch.linalg.cond(model.weights).max() < 10
    assert not torch.equal(Latents(seed=1).weights, Latents(seed=2).weights)
    assert torch.equal(Latents(seed=1).weights, Latents(seed=1).weights)


def test_independent():
    z, blocks = draw()
    assert np.abs(np.cov(z.T) - np.eye(6)).max() < 0.05
    assert all(torch.equal(blocks[f"style_{m}"], blocks[f"exogenous_{m}"]) for m in (1, 2, 3))


def test_statistical_depends_within_blocks_alone():
    z, _ = draw(content=4, styles=(2, 2), regime="statistical")
    covariance = np.cov(z.T)
    assert np.abs(np.diag(covariance) - 1).max() < 0.05
    assert np.abs(covariance[:4, :4] - np.eye(4)).max() > 0.2
    assert max(abs(covariance[4, 5]), abs(covariance[6, 7])) > 0.1
    assert np.abs(covariance[:4, 4:]).max() < 0.05
    assert np.abs(covariance[4:6, 6:]).max() < 0.05


@pytest.mark.parametrize("m", [1, 2, 3])
def test_causal_style_follows_content_and_its_noise_does_not(m):
    _, blocks = draw(regime="causal")
    names = ("content", f"style_{m}", f"exogenous_{m}")
    content, style, noise = (blocks[name].numpy() for name in names)
    train, test = slice(0, 4000), slice(4000, 8000)
    r2 = probes.many(
        content[train],
        {"style": style[train], "noise": noise[train]},
        content[test],
        {"style": style[test], "noise": noise[test]},
    )
    assert r2["style"].score > 0.15 and abs(r2["noise"].score) < 0.01
    assert correlation(content, noise) < 0.03
    assert correlation(np.abs(content), np.abs(noise)) < 0.03
    # s_m − u_m is a function of content
    caused = np.tanh(content @ Latents(regime="causal").causes[m - 1].numpy().T)
    np.testing.assert_allclose(style - noise, caused, atol=1e-5)


def test_bad_latents_are_named():
    says = "unknown regime 'cause' .did you mean 'causal'..; choose independent"
    with pytest.raises(ValueError, match=says):
        Latents(regime="cause")
    with pytest.raises(ValueError, match="at least one dimension"):
        Latents(styles=(1, 0))
    with pytest.raises(ValueError, match="unknown law 'normal'.*; choose gaussian, uniform"):
        Latents(law="normal")
    with pytest.raises(ValueError, match="observed = 5; give 6 or more, or 0"):
        Latents(observed=5)
    with pytest.raises(ValueError, match="dependence = 1; give a number from 0 to below 1"):
        Latents(dependence=1)


# --------------------------------------------------------------------------------- views, batches


def test_views_share_what_their_key_shares():
    model = Latents(3, (1, 2))
    z, _ = model.sample(64, torch.Generator().manual_seed(0))
    seen = model.unmix(LatentViews(model)(z, torch.Generator().manual_seed(1)))  # [V, B, dim]
    query, keys = seen[0], seen[1:]
    for m, key in enumerate(keys):
        for k, name in enumerate(model.names):
            same = (key - query)[:, model.slices[name]].abs().amax(dim=1) < 1e-3
            assert same.all() if k in (0, m) else not same.any(), (m, name)
    noise = LatentViews(model).sample(5000, torch.Generator().manual_seed(2))
    assert noise[..., 3:].std() == pytest.approx(1, abs=0.02) and not noise[..., :3].any()


def test_a_dropped_key_shares_nothing_but_content():
    views = LatentViews(Latents(), dropped=("style_2",))
    noise = views.sample(50, torch.Generator().manual_seed(2))
    assert torch.equal(noise[0, :, 3], noise[2, :, 3])
    assert not torch.isclose(noise[0, :, 4], noise[3, :, 4]).any()
    with pytest.raises(ValueError, match="unknown style 'style_9'; these latents have: style_1"):
        LatentViews(Latents(), dropped=("style_9",))


def test_the_stream_is_seeded_and_fresh():
    def first(seed, epoch):
        return next(iter(Stream(Latents(), 8, 3, seed).epoch(epoch)))

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(0, 1))
    assert not torch.equal(first(0, 0), first(1, 0))
    batches = list(Stream(Latents(), 8, 3).epoch(0))
    assert len(batches) == 3 and not torch.equal(batches[0], batches[1])


# ---------------------------------------------------------------------------- the counterexamples


def test_a_turned_block_keeps_its_distribution_and_loses_its_meaning():
    """It is independent of content and still N(0, I), so no loss sees it; yet its R² is 0.

    Alignment stays 0, since the turned block is a function of what the key shares.
    """
    _, blocks = draw(content=2, styles=(2,))
    s, c = blocks["style_1"], blocks["content"]
    turned = counterexamples.turned_by(s, c)
    assert torch.equal(turned, counterexamples.turned_by(s.clone(), c.clone()))
    for column in turned.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-3
    assert correlation(turned.numpy(), c.numpy()) < 0.03
    assert correlation(turned.square().numpy(), c.square().numpy()) < 0.03
    assert kstest(turned[c[:, 0] > 1][:, 0].numpy(), "norm").pvalue > 1e-3  # given content too

    def r2(x):
        train, test = slice(0, 5000), slice(5000, 10_000)
        sides = (side.numpy() for side in (x[train], s[train], x[test], s[test]))
        return probes.regress(*sides)[0].mean()

    assert r2(s) > 0.999 and abs(r2(turned)) < 0.01
    assert r2(torch.cat([turned, c], 1)) > 0.85


def test_winding_content_is_uniform_and_two_to_one():
    c = torch.rand(N, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wound = counterexamples.wound(c)
    for column in wound.T:
        assert kstest(column.numpy(), "uniform").pvalue > 1e-3
    a, b = wound.T.numpy()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert abs(np.corrcoef((a - 0.5) ** 2, (b - 0.5) ** 2)[0, 1]) < 0.03
    left = c[c[:, 1] < 0.5]
    right = left + torch.tensor([0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(
        counterexamples.wound(left), counterexamples.wound(right), atol=1e-9, rtol=0
    )

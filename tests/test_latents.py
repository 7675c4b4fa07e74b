"""The latents have the dependence they claim, the mixing inverts, the views share what they should, the counterexamples do what they must."""
import numpy as np
import pytest
import torch

from msr import numerical, probes
from msr.data import latents
from msr.data.latents import Latents, LatentViews, Stream

N = 20_000


def draw(n=N, seed=1, **kwargs):
    return Latents(**kwargs).sample(n, torch.Generator().manual_seed(seed))


def correlation(a, b):
    """Largest absolute correlation between the columns of a and of b."""
    both = np.corrcoef(np.concatenate([a, b], 1), rowvar=False)
    return np.abs(both[: a.shape[1], a.shape[1]:]).max()


@pytest.mark.parametrize("content, styles", [(3, (1, 1, 1)), (4, (2, 2)), (5, (5,))])
def test_the_mixing_inverts(content, styles):
    model = Latents(content, styles)
    z = model.sample(500, torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(model.unmix(model.mix(z)), z, atol=1e-4, rtol=1e-4)
    assert torch.linalg.cond(model.weights).max() < 10
    assert not torch.equal(Latents(seed=1).weights, Latents(seed=2).weights) and torch.equal(Latents(seed=1).weights, Latents(seed=1).weights)


def test_independent():
    z, blocks = draw()
    assert np.abs(np.cov(z.T) - np.eye(6)).max() < 0.05
    assert all(torch.equal(blocks[f"style_{m}"], blocks[f"exogenous_{m}"]) for m in (1, 2, 3))


def test_statistical_depends_within_blocks_alone():
    z, blocks = draw(content=4, styles=(2, 2), regime="statistical")
    covariance = np.cov(z.T)
    assert np.abs(np.diag(covariance) - 1).max() < 0.05
    within = np.abs(covariance[:4, :4] - np.eye(4)).max()
    assert within > 0.2 and np.abs(covariance[:4, 4:]).max() < 0.05 and np.abs(covariance[4:6, 6:]).max() < 0.05
    assert max(abs(covariance[4, 5]), abs(covariance[6, 7])) > 0.1


def test_causal_style_follows_content_and_its_noise_does_not():
    _, b = draw(regime="causal")
    b = {k: v.numpy() for k, v in b.items()}
    for m in (1, 2, 3):
        train, test = slice(0, 4000), slice(4000, 8000)
        r2 = probes.many(b["content"][train], {"s": b[f"style_{m}"][train], "u": b[f"exogenous_{m}"][train]}, b["content"][test],
                         {"s": b[f"style_{m}"][test], "u": b[f"exogenous_{m}"][test]})
        assert r2["s"] > 0.15 and abs(r2["u"]) < 0.01
        assert correlation(b["content"], b[f"exogenous_{m}"]) < 0.03 and correlation(np.abs(b["content"]), np.abs(b[f"exogenous_{m}"])) < 0.03
        # s_m − u_m is a function of content: what is left of style after its own noise is explained by content
        np.testing.assert_allclose(b[f"style_{m}"] - b[f"exogenous_{m}"], np.tanh(b["content"] @ Latents(regime="causal").causes[m - 1].numpy().T), atol=1e-5)


def test_views_share_what_their_key_shares():
    model = Latents(3, (1, 2))
    z = model.sample(64, torch.Generator().manual_seed(0))[0]
    seen = model.unmix(LatentViews(model)(z, torch.Generator().manual_seed(1)))               # [V, B, dim]
    query, keys = seen[0], seen[1:]
    for m, key in enumerate(keys):
        for k, name in enumerate(model.names):
            same = (key - query)[:, model.slices[name]].abs().amax(dim=1) < 1e-3
            assert same.all() if k in (0, m) else not same.any(), (m, name)
    noise = LatentViews(model).sample(5000, torch.Generator().manual_seed(2))
    assert noise[..., 3:].std() == pytest.approx(1, abs=0.02) and not noise[..., :3].any()


def test_a_dropped_key_shares_nothing_but_content():
    model = Latents()
    noise = LatentViews(model, dropped=("style_2",)).sample(50, torch.Generator().manual_seed(2))
    assert torch.equal(noise[0, :, 3], noise[2, :, 3]) and not torch.isclose(noise[0, :, 4], noise[3, :, 4]).any()
    with pytest.raises(ValueError, match="unknown style 'style_9'; these latents have: style_1"):
        LatentViews(model, dropped=("style_9",))


def test_bad_latents_are_named():
    with pytest.raises(ValueError, match="unknown regime 'cause'; choose independent"):
        Latents(regime="cause")
    with pytest.raises(ValueError, match="at least one dimension"):
        Latents(styles=(1, 0))


def test_the_stream_is_seeded_and_fresh():
    def first(seed, epoch):
        return next(iter(Stream(Latents(), 8, 3, seed).epoch(epoch)))
    assert torch.equal(first(0, 0), first(0, 0)) and not torch.equal(first(0, 0), first(0, 1)) and not torch.equal(first(0, 0), first(1, 0))
    batches = list(Stream(Latents(), 8, 3).epoch(0))
    assert len(batches) == 3 and not torch.equal(batches[0], batches[1])


def test_a_turned_block_keeps_its_law_and_loses_its_meaning():
    """Alignment stays 0 (a function of what the key shares), the law stays N(0, I), independent of content; R² falls to 0."""
    from scipy.stats import kstest
    _, b = draw(content=2, styles=(2,))
    s, c = b["style_1"], b["content"]
    turned = latents.turned_by(s, c)
    assert torch.equal(turned, latents.turned_by(s.clone(), c.clone()))
    for column in turned.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-3
    assert correlation(turned.numpy(), c.numpy()) < 0.03 and correlation(turned.square().numpy(), c.square().numpy()) < 0.03
    assert kstest(turned[c[:, 0] > 1][:, 0].numpy(), "norm").pvalue > 1e-3                    # given content too
    half = slice(0, 5000), slice(5000, 10_000)
    r2 = lambda x: probes.regress(x[half[0]].numpy(), s[half[0]].numpy(), x[half[1]].numpy(), s[half[1]].numpy()).mean()
    assert r2(s) > 0.999 and abs(r2(turned)) < 0.01 and r2(torch.cat([turned, c], 1)) > 0.85


def test_winding_content_is_uniform_and_two_to_one():
    from scipy.stats import kstest
    c = torch.rand(N, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wound = latents.wound(c)
    for column in wound.T:
        assert kstest(column.numpy(), "uniform").pvalue > 1e-3
    a, b = wound.T.numpy()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03 and abs(np.corrcoef((a - .5)**2, (b - .5)**2)[0, 1]) < 0.03
    left = c[c[:, 1] < 0.5]
    torch.testing.assert_close(latents.wound(left), latents.wound(left + torch.tensor([0, 0.5], dtype=torch.float64)), atol=1e-9, rtol=0)


def test_the_probe_is_one_for_an_invertible_map_and_zero_for_noise():
    x = torch.randn(8000, 2, generator=torch.Generator().manual_seed(0)).numpy()
    y = np.stack([x[:, 0] + 0.5 * np.tanh(2 * x[:, 0]), x[:, 1] - 0.4 * np.sin(x[:, 1])], 1)
    noise = np.random.default_rng(0).normal(size=(8000, 2))
    assert probes.regress(x[:4000], y[:4000], x[4000:], y[4000:]).min() > 0.995
    assert np.abs(probes.regress(noise[:4000], y[:4000], noise[4000:], y[4000:])).max() < 0.01


def test_a_whole_small_run(tmp_path):
    setting = numerical.Setting(Latents(2, (1, 1)), steps=4, batch_size=32, width=16, probe=200, device="cpu")
    run = numerical.fit(setting, 0, tmp_path / "run")
    targets = {"content", "style_1", "style_2", "exogenous_1", "exogenous_2"}
    assert set(run.table) == {"h", "content", "style_1", "style_2", "joined"} and set(run.table["h"]) == targets
    assert set(run.table["style_1"]) == targets | {"style_1_given_content"} and (tmp_path / "run" / "log.jsonl").exists()
    assert numerical.fit(setting, 0).table == run.table and numerical.fit(setting, 1).table != run.table
    assert set(numerical.summary(run)) == {"content", "style", "leak", "seconds"}
    assert set(numerical.dci_es(run, 200, 0)) == {"disentanglement", "completeness", "informativeness", "explicitness", "size"}
    spheres = numerical.fit(numerical.replace(setting, family="simclr", sizes=(3, 2, 2)), 0)
    z = numerical.embed(spheres, torch.randn(5, 4))
    np.testing.assert_allclose(np.linalg.norm(z["style_1"], axis=1), 1, atol=1e-5)


def test_the_ceiling_is_high_and_belongs_to_the_mixing():
    scores = numerical.ceiling(Latents(2, (1,)), 3000, 0)["x"]
    assert set(scores) == {"content", "style_1", "exogenous_1"} and min(scores.values()) > 0.95


GOOD = dict(steps=4, study_steps=0, samples=32, seeds=1, seed=0, content=2, styles="1,1", block_content=2, block_styles="2", noise=1.0, temperature=0.7, weight=3.0, lr=2e-3,
            width=16, depth=2, probe_samples=100, precision="float32", device="cpu", fresh=False, out_dir="", profile="smoke")


@pytest.mark.parametrize("changes, says", [
    ({"step": 3}, "unknown parameter 'step' .did you mean 'steps'"),
    ({"styles": "1;1"}, "styles = '1;1'; give whole numbers with commas"),
    ({"styles": "1,0"}, "every block needs at least one dimension"),
    ({"samples": 1}, "samples = 1; give a whole number, 2 or more"),
    ({"steps": "many"}, "steps = 'many'; give a whole number, 1 or more"),
    ({"noise": 0}, "noise = 0; give a number above 0"),
    ({"lr": float("nan")}, "lr = nan; give a number above 0"),
    ({"precision": "fp16"}, "unknown precision 'fp16' .did you mean 'bf16'..; choose auto"),
    ({"device": "gpu"}, "device 'gpu' cannot be used here"),
])
def test_bad_parameters_are_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        numerical.prepare(**{**GOOD, **changes})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="parameter 'steps' is missing"):
        numerical.prepare(**{k: v for k, v in GOOD.items() if k != "steps"})


def test_prepare():
    base, whole, blocks = numerical.prepare(**{**GOOD, "styles": 5})
    assert whole.styles == (5,) and blocks.styles == (2,) and base.spaces.sizes == (2, 5) and base.options == (("temperature", 0.7),)
    assert numerical.build(base, 0)[1].lambdas.tolist() == [3, 3]


def test_the_turn_cannot_be_seen_by_the_loss():
    _, b = draw(4096, content=2, styles=(2,))
    pair, (s, c) = Latents(2, (2,)), (b["style_1"], b["content"])
    losses = [numerical.loss_of(pair, torch.cat([c, v], 1), 0.7) for v in (s, latents.turned_by(s, c))]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    assert numerical.loss_of(pair, torch.cat([c, c], 1), 0.7) > losses[0] + 0.5, "a copy of content must cost"

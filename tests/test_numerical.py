"""The numerical experiment: its parameters, one whole small run, and the measures beside it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from msr.data.counterexamples import turned_by
from msr.data.latents import Latents
from msr.evaluate import probes
from msr.experiments import causal, latent_runs, measures, numerical
from msr.spaces import Spaces


def test_the_probe_is_one_for_an_invertible_map_and_zero_for_noise():
    x = torch.randn(8000, 2, generator=torch.Generator().manual_seed(0)).numpy()
    y = np.stack([x[:, 0] + 0.5 * np.tanh(2 * x[:, 0]), x[:, 1] - 0.4 * np.sin(x[:, 1])], 1)
    noise = np.random.default_rng(0).normal(size=(8000, 2))
    assert probes.regress(x[:4000], y[:4000], x[4000:], y[4000:])[0].min() > 0.995
    assert np.abs(probes.regress(noise[:4000], y[:4000], noise[4000:], y[4000:])[0]).max() < 0.01


SMALL = latent_runs.Setting(
    Latents(2, (1, 1)), steps=4, batch_size=32, width=16, probe=200, device="cpu"
)


def test_a_whole_small_run(tmp_path):
    run = latent_runs.run(SMALL, 0, tmp_path / "run")
    targets = {"content", "style_1", "style_2", "exogenous_1", "exogenous_2"}
    assert set(run.table) == {"h", "content", "style_1", "style_2", "joined", "x"}
    assert set(run.table["h"]) == targets
    assert set(run.table["style_1"]) == targets | {"style_1_given_content"}
    assert (tmp_path / "run" / "log.jsonl").exists()
    assert latent_runs.run(SMALL, 0).table == run.table
    assert latent_runs.run(SMALL, 1).table != run.table
    few = latent_runs.run(replace(SMALL, rows=()), 0)
    assert few.table == {s: {t: run.table[s][t] for t in targets} for s in few.latents.names}
    parts = {"disentanglement", "completeness", "informativeness", "explicitness", "size"}
    assert set(measures.dci_es(run, 200, 0)) == parts


def test_the_table_of_a_trained_encoder_is_computed_once(tmp_path, monkeypatch):
    few, asked = replace(SMALL, rows=()), []

    def counted(run, n, seed, rows):
        asked.append((n, seed, rows))
        return measures.r2(run, n, seed, rows)

    monkeypatch.setattr(latent_runs, "r2", counted)
    first, again = (latent_runs.run(few, 0, tmp_path).table for _ in range(2))
    assert first == again and asked == [(200, 0, ())]
    latent_runs.run(replace(few, probe=300), 0, tmp_path)
    latent_runs.run(replace(few, rows=("joined",)), 0, tmp_path)
    assert asked[1:] == [(300, 0, ()), (200, 0, ("joined",))], "what is asked counts"


def test_a_summary_by_hand():
    run = latent_runs.run(replace(SMALL, rows=()), 0)
    rows = {"content": (0.9, 0.1, 0.2), "style_1": (0.3, 0.8, 0.0), "style_2": (0.4, 0.0, 0.6)}
    blocks = ("content", "exogenous_1", "exogenous_2")
    run.table = {space: dict(zip(blocks, row)) for space, row in rows.items()}
    run.table["style_1"]["style_1_given_content"] = 0.85
    expected = {"content": 0.9, "style": 0.7, "lowest style": 0.6, "given content": 0.85}
    expected |= {"leak": 0.4, "elsewhere": 0.4, "seconds": run.seconds}
    assert measures.summary(run) == pytest.approx(expected)
    run.table["x"] = dict(zip(blocks, (0.99, 0.95, 0.97)))
    limits = {"content from x": 0.99, "lowest style from x": 0.95}
    assert measures.summary(run) == pytest.approx(expected | limits)


def test_several_runs_at_once_are_those_of_one_after_the_other(tmp_path):
    few = replace(SMALL, rows=())
    settings = {"a": few, "b": replace(few, joint=False), "again": few}
    found = latent_runs.runs(settings, (3, 4), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert found["again"] is found["a"] and [run.seed for run in found["b"]] == [3, 4]
    alone = latent_runs.run(settings["b"], 4).table["style_1"]
    assert found["b"][1].table["style_1"] == pytest.approx(alone, abs=1e-4)
    assert found["b"][1].table != found["a"][1].table


def test_adaptive_weights_rise_until_the_constraint_is_met():
    fixed = replace(SMALL, steps=300, rows=(), probe=100, lambdas=(0.1,))
    adaptive = replace(fixed, adaptive=True, epsilon=0.05, dual_rate=20 / 300)
    before, after = (measures.constraints(latent_runs.run(s, 0)) for s in (fixed, adaptive))
    assert max(row["misalignment"] for row in before.values()) > 0.07
    assert max(row["misalignment"] for row in after.values()) < 0.055
    assert max(row["weight"] for row in after.values()) > 1


def test_sizes_are_counted_up_to_the_largest_gap():
    values = {"content": [9, 5, 2, 0.1, 0.09], "style_1": [9, 6, 3, 1, 0.02, 0.01]}
    assert measures.sizes_found({k: np.array(v) for k, v in values.items()}) == {
        "content": 3,
        "style_1": 1,
    }


def test_the_derivative_of_a_known_encoder_has_the_rank_of_what_it_reads():
    """Content space (c, 2c, c²), style space (s, c + s): ranks 1 and, together, 2."""
    run = latent_runs.run(replace(SMALL, latents=Latents(1, (1,)), sizes=(3, 2), rows=()), 0)

    class Known(torch.nn.Module):
        def forward(self, white):
            x = white @ torch.linalg.inv(whitening.matrix) + whitening.mean
            c, s = run.latents.unmix(x).T
            return torch.stack([c, 2 * c, c**2, s, c + s], dim=1)

    whitening = run.model.backbone[0]
    run.model.backbone = torch.nn.Sequential(whitening, Known())
    run.model.projector = torch.nn.ModuleList([torch.nn.Identity()])
    values = measures.spectra([run], n=50)
    assert values["content"][1] < 1e-4 < values["content"][0]
    assert len(values["style_1"]) == 2 and values["style_1"][1] > 1e-2
    assert measures.sizes_found(values) == {"content": 1, "style_1": 1}


def test_spaces_of_simclr_lie_on_spheres():
    spheres = latent_runs.run(replace(SMALL, family="simclr", sizes=(3, 2, 2)), 0)
    z = measures.embed(spheres, torch.randn(5, 4))
    np.testing.assert_allclose(np.linalg.norm(z["style_1"], axis=1), 1, atol=1e-5)


def test_the_ceiling_is_high_and_belongs_to_the_mixing():
    scores = measures.ceiling(Latents(2, (1,)), 3000, 0)
    assert set(scores) == {"content", "style_1", "exogenous_1"} and min(scores.values()) > 0.95


def test_the_turn_cannot_be_seen_by_the_loss():
    pair = Latents(2, (2,))
    _, blocks = pair.sample(4096, torch.Generator().manual_seed(1))
    s, c = blocks["style_1"], blocks["content"]

    def loss(style):
        return measures.loss_of(pair, torch.cat([c, style], 1), 0.7)

    assert loss(s) == pytest.approx(loss(turned_by(s, c)), abs=0.02)
    assert loss(c) > loss(s) + 0.5, "a copy of content must cost"


# ------------------------------------------------------------------------------------- parameters

GOOD = dict(
    steps=4,
    samples=32,
    seeds=1,
    seed=0,
    content=2,
    styles="1,1",
    block_content=2,
    block_styles="2",
    width=16,
    depth=2,
    probe_samples=100,
    precision="float32",
    device="cpu",
)


def prepare(**changes):
    return numerical.prepare(numerical.Parameters(**GOOD | changes))


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"step": 3}, "unknown parameter 'step' .did you mean 'steps'"),
        ({"styles": "1;1"}, "styles = '1;1'; give a whole number"),
        ({"styles": "1,0"}, "give 1 or more"),
        ({"samples": 1}, "samples = 1; give 2 or more"),
        ({"steps": "many"}, "steps = 'many'; give a whole number"),
        ({"noise": 0}, "noise = 0; give a number above 0"),
        ({"lr": float("nan")}, "lr = nan; give a finite number"),
        ({"precision": "fp16"}, "precision = 'fp16'; give 'auto', 'bf16' or 'float32'"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_bad_parameters_are_one_clear_line(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        prepare(**changes)
    assert "\n" not in str(error.value)


def test_prepare():
    base, headline, blocks = prepare(styles=5)
    assert headline.styles == (5,) and blocks.styles == (2,)
    assert base.spaces.sizes == (2, 5) and base.options == (("temperature", 0.7),)
    assert latent_runs.build(base, 0)[1].lambdas.tolist() == [1, 1]


def test_the_time_of_training_is_that_of_the_log(tmp_path, monkeypatch):
    """A run that is only loaded took as long as when it was trained."""
    trained = latent_runs.run(SMALL, 0, tmp_path / "run")
    loaded = latent_runs.run(SMALL, 0, tmp_path / "run")
    assert trained.seconds == loaded.seconds > 0
    lines = [{"step": 2, "images_per_second": 10.0}, {"step": 5, "images_per_second": 5.0}]
    assert latent_runs.seconds_of(lines, 10) == 2 + 6
    assert np.isnan(latent_runs.seconds_of([], 10))


@pytest.mark.parametrize("name", ["styles", "block_styles"])
def test_no_styles_are_refused_before_training(name):
    with pytest.raises(ValueError, match=f"^{name} is empty; give the dimensions of one style"):
        numerical.prepare(numerical.Parameters(**{name: ()}))


def test_what_content_contributes_is_told_from_the_noise():
    """With the exact inverse as its encoder, each style space holds s_m, and so f_m(c) too."""
    latents = Latents(1, (1, 1), regime="causal", seed=3)

    class Exact(torch.nn.Module):
        spaces = Spaces(latents.names, (1, 1, 1))

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            z = latents.unmix(x)
            return z, z

    exact = Exact()
    objective = SimpleNamespace(frozen_normalise=None)
    run = measures.LatentRun(exact, objective, 0, [], latents=latents, seconds=1)
    for row in causal.parts(run, 1500).values():
        assert row["style"] > 0.99 and 0.1 < row["caused"] < 0.6
        assert row["cap"] == pytest.approx(1 / (1 + 0.39), abs=0.05)  # Var tanh c = 0.39
        assert row["caused"] > row["augmented"] and row["content"] > row["augmented"] > 0

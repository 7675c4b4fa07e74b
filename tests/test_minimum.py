"""A run's loss beside that of the latents, and encoders that first learn the latents."""

from dataclasses import replace

import pytest
import torch

from msr.data.latents import Latents, LatentViews
from msr.experiments import minimum
from msr.experiments.latent_runs import Setting, build, run
from msr.experiments.measures import LatentRun, of_seed

LATENTS = Latents(2, (1, 1))
SETTING = Setting(LATENTS, steps=2, batch_size=32, width=32, depth=1, probe=60, rows=())


class Perfect(torch.nn.Module):
    """An encoder that knows the mixing; its z is the latents, some of them turned by `turn`."""

    def __init__(self, latents, spaces, turn=None):
        super().__init__()
        self.latents, self.spaces, self.turn = latents, spaces, turn
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        z = self.latents.unmix(x)
        return z, z if self.turn is None else z @ self.turn


def trained(turn=None, sizes=()):
    """A run whose encoder is perfect, or perfect but for a linear map of z."""
    _, objective = build(replace(SETTING, sizes=sizes), seed=0)
    latents = of_seed(LATENTS, 0)
    model = Perfect(latents, objective.spaces, turn)
    return LatentRun(model, objective, 0, [], latents=latents, seconds=0.0)


def test_the_loss_of_a_perfect_encoder_is_that_of_the_latents():
    found = minimum.losses(trained(), 64, seed=0)
    assert abs(found["above"]) < 1e-4
    assert found["network"] == pytest.approx(found["latents"], abs=1e-4)


def test_to_turn_content_costs_nothing_and_to_mix_blocks_costs():
    turned = torch.eye(4)
    turned[:2, :2] = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    assert abs(minimum.losses(trained(turned), 64, seed=0)["above"]) < 0.01
    for other in ([0.8, 0.0, 0.6, 0.0], [0.0, 0.0, 0.6, 0.8]):  # content, or the second style
        mixed = torch.eye(4)
        mixed[:, 2] = torch.tensor(other)
        assert minimum.losses(trained(mixed), 64, seed=0)["above"] > 0.1


def test_spaces_of_other_sizes_have_no_such_minimum():
    with pytest.raises(ValueError, match=r"spaces of sizes \(3, 1, 1\); give those of \(2, 1, 1\)"):
        minimum.losses(trained(sizes=(3, 1, 1)), 64, seed=0)


def test_a_taught_encoder_predicts_the_latents():
    errors = []
    latents = of_seed(LATENTS, 0)
    generator = torch.Generator().manual_seed(5)
    x = LatentViews(latents)(latents.sample(200, generator)[0], generator)[0]
    for steps in (1, 150):
        model, _ = build(SETTING, seed=0)
        minimum.teach(model, latents, SETTING.training(0), steps)
        with torch.no_grad():
            errors.append((model(x)[1] - latents.unmix(x)).square().mean().item())
    assert errors[1] < 0.2 * errors[0]


def test_a_complete_run_is_not_taught_again(tmp_path, monkeypatch):
    taught = replace(SETTING, taught=5)
    first = run(taught, 0, tmp_path, progress=False)
    calls = []
    monkeypatch.setattr(minimum, "teach", lambda *given: calls.append(given))
    assert run(taught, 0, tmp_path, progress=False).table == first.table and not calls
    run(replace(taught, fresh=True), 0, tmp_path, progress=False)
    run(replace(taught, lr=1e-3), 0, tmp_path, progress=False)
    assert len(calls) == 2


def test_what_was_taught_decides_a_run_and_nothing_taught_is_as_before(tmp_path):
    """Runs that were made before this setting existed are still found."""
    plain = run(SETTING, 0, tmp_path / "plain", progress=False)
    taught = run(replace(SETTING, taught=50), 0, tmp_path / "taught", progress=False)
    texts = [(tmp_path / name / "config.json").read_text() for name in ("plain", "taught")]
    assert ["taught" in text for text in texts] == [False, True]
    known = [found.table["content"]["content"] for found in (plain, taught)]
    assert known[1] > known[0]

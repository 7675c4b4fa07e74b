"""The record of a loss family: its settings, and whether what it declares is what it does."""

import dataclasses

import pytest
import torch

from msr.losses import FAMILIES, Family
from msr.objective import Objective
from msr.spaces import Spaces

THREE = Spaces.of(("appearance", "spatial"), (5, 4, 3))
TOY = Family(
    "toy",
    normalise=lambda z, spaces, power=2.0: z**power,
    align=lambda query, key, temperature=0.5: (query - key).abs().mean() / temperature,
    spread=lambda z, temperature=0.5, margin=1.0: margin - z.square().mean() / temperature,
    violation=lambda align, sizes, floor=0.1: align - floor,
    weight=3.0,
    averaged=True,
    per_image=True,
    scale_free=True,
)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def views(V=4, B=10, D=12):
    return torch.randn(V, B, D, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------- settings


def test_settings_are_those_of_all_four_terms():
    assert TOY.settings == {"power": 2.0, "temperature": 0.5, "margin": 1.0, "floor": 0.1}


@pytest.mark.parametrize(
    "name, settings",
    [
        ("simclr", {"temperature": 0.15, "denominator": "decoupled"}),
        ("vicreg", {"variance": 25.0, "covariance": 1.0}),
        ("barlow", {"beta": 0.0051}),
        ("entropy", {"temperature": 1.0, "views": 0}),
    ],
)
def test_settings_of_the_families(name, settings):
    assert FAMILIES[name].name == name and FAMILIES[name].settings == settings


def test_with_settings_fixes_them_in_every_term_that_names_them():
    fixed = TOY.with_settings({"power": 3.0, "temperature": 2.0, "floor": 0.5})
    assert fixed.settings == {"power": 3.0, "temperature": 2.0, "margin": 1.0, "floor": 0.5}
    z, one = torch.full((2, 4, 12), 2.0), torch.ones(4, 12)
    assert torch.equal(fixed.normalise(z, THREE), torch.full_like(z, 8.0))  # 2³
    assert fixed.align(2 * one, one).item() == 0.5  # |2 − 1| / 2
    assert fixed.spread(z).item() == -1.0  # 1 − 4 / 2
    assert fixed.violation(torch.tensor([0.75]), torch.ones(1)).item() == 0.25


def test_with_settings_leaves_the_family_and_what_it_declares():
    fixed = TOY.with_settings({"power": 3.0})
    assert TOY.settings["power"] == 2.0
    for name in ("name", "spread", "weight", "averaged", "per_image", "scale_free"):
        assert getattr(fixed, name) == getattr(TOY, name)
    assert TOY.with_settings({}) == TOY


def test_an_unknown_setting_is_answered_with_the_nearest():
    says = (
        "unknown setting 'powr' of family 'toy' (did you mean 'power'?); "
        "it has: floor, margin, power, temperature"
    )
    with pytest.raises(ValueError) as error:
        TOY.with_settings({"floor": 0.5, "powr": 3.0})
    assert str(error.value) == says


def test_a_new_family_is_one_line(monkeypatch):
    """In `FAMILIES`, an objective uses it, its settings, its weight and its declarations."""
    monkeypatch.setitem(FAMILIES, "toy", TOY)
    objective = Objective("toy", THREE, content_pairs="query", power=1.0)
    assert objective.family == "toy" and objective.record.settings["power"] == 1.0
    assert objective.lambdas.tolist() == [3.0, 3.0, 3.0] and objective.weight == 1 / 3
    assert objective.scale_free and objective.frozen_normalise is objective.record.normalise

    z, other = torch.ones(4, 10, 12), torch.zeros(10, 12)
    z[0] = other  # each key is 1 from the query: align = 1 / 0.5, spread = 1 − (3/4) / 0.5
    terms = objective(z)
    assert terms.align.tolist() == [2.0, 2.0, 2.0] and terms.spread.item() == -0.5
    assert terms.loss.item() == 3.0 * 2.0 - 0.5
    torch.testing.assert_close(terms.violation, torch.full((3,), 1.9))


# ---------------------------------------------------------------- what every family declares


@each_family
def test_averaged(family):
    terms = Objective(family.name, THREE, lambdas=1.0)(views())
    align = terms.align.mean() if family.averaged else terms.align.sum()
    torch.testing.assert_close(terms.loss, align + terms.spread)


@each_family
def test_weight_is_the_default_of_lambda(family):
    assert Objective(family.name, THREE).lambdas.tolist() == [family.weight] * 3


@each_family
def test_per_image(family):
    """Normalising images one by one equals normalising the batch.

    A family whose `normalise` returns z as it is has nothing for probes to apply.
    """
    z = views()
    whole = family.normalise(z, THREE)
    images = [family.normalise(z[:, i : i + 1], THREE) for i in range(z.shape[1])]
    alone = torch.allclose(whole, torch.cat(images, dim=1), atol=1e-6)
    assert family.per_image == (alone and not torch.equal(whole, z))


@each_family
def test_probes_apply_a_normalise_that_acts_on_each_image_alone(family):
    objective = Objective(family.name, THREE)
    assert objective.frozen_normalise == (family.normalise if family.per_image else None)


@each_family
@pytest.mark.parametrize("d", [0, 5, 11])  # a dimension of each space
def test_scale_free(family, d):
    """Multiplying a dimension of z by 3 leaves the loss unchanged, or else it changes."""
    objective, z = Objective(family.name, THREE), views()
    assert objective.scale_free == family.scale_free
    scaled = z.clone()
    scaled[..., d] *= 3
    before, after = objective(z).loss, objective(scaled).loss
    change = ((after - before) / before).abs().item()
    # the families that standardise add 1e-5 to the variance
    assert change < 1e-4 if family.scale_free else change > 1e-2


@each_family
def test_a_family_is_a_frozen_record(family):
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.weight = 2.0

"""The four families against their originals, against slow loops, and against numbers worked out by hand."""

import math

import pytest
import torch

from msr.losses import barlow
from msr.losses import entropy
from msr.losses import pairwise
from msr.losses import simclr
from msr.losses import vicreg
from msr.objective import FAMILIES, Objective
from msr.spaces import Spaces

ONE = Spaces(("content",), (12,))
THREE = Spaces.of(("appearance", "spatial"), (5, 4, 3))


def views(V=2, B=10, D=12, seed=0):
    return torch.randn(
        V, B, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float32
    ).requires_grad_()


def value_and_gradient(f, z):
    (loss := f(z)).backward()
    grad, z.grad = z.grad, None
    return loss.detach(), grad


def same(ours, theirs, z, tol=1e-5):
    (a, ga), (b, gb) = value_and_gradient(ours, z), value_and_gradient(theirs, z)
    torch.testing.assert_close(a, b, atol=tol, rtol=tol)
    torch.testing.assert_close(ga, gb, atol=tol, rtol=tol)
    assert ga.abs().sum() > 0


# ------------------------------------------------------------------------------ M = 0: the originals, from a peer library


def lightly_loss(name, **options):
    return getattr(pytest.importorskip("lightly.loss"), name)(**options)


def test_vicreg_is_fairs():
    peer = lightly_loss(
        "VICRegLoss"
    )  # FAIR's coefficients: the hinge is halved, the covariance is not
    same(lambda z: Objective("vicreg", ONE)(z).loss, lambda z: peer(z[0], z[1]), views())
    same(
        lambda z: Objective("vicreg", ONE)(z).loss,
        lambda z: peer(z[0], z[1]),
        (0.3 * views().detach()).requires_grad_(),
    )


def test_barlow_is_barlow_twins():
    peer = lightly_loss("BarlowTwinsLoss", lambda_param=0.0051)
    same(lambda z: Objective("barlow", ONE)(z).loss, lambda z: peer(z[0], z[1]), views())


def test_simclr_decoupled_is_dcl():
    peer = lightly_loss("DCLLoss", temperature=0.15)
    same(lambda z: Objective("simclr", ONE)(z).loss, lambda z: peer(z[0], z[1]), views())


def test_simclr_ntxent_is_ntxent():
    peer = lightly_loss("NTXentLoss", temperature=0.15)
    same(
        lambda z: Objective("simclr", ONE, denominator="ntxent")(z).loss,
        lambda z: peer(z[0], z[1]),
        views(),
    )


# ------------------------------------------------------------------------------------- M > 0: loops over the formulas


def cut(z):
    return [z[..., :5], z[..., 5:9], z[..., 9:]]


def simclr_loops(z, tau=0.15):
    V, B, _ = z.shape
    u = [part / part.norm(dim=-1, keepdim=True) for part in cut(z)]
    align = [-sum(u[m][0, i] @ u[m][m + 1, i] for i in range(B)) / B / tau for m in range(3)]
    v, total = torch.cat(u, -1) / math.sqrt(3), 0
    for a in range(V):
        for i in range(B):
            total = total + torch.log(
                sum(
                    torch.exp(v[a, i] @ v[n, j] / tau) for n in range(V) for j in range(B) if j != i
                )
            )
    return sum(align) / 3 + total / (V * B)


def vicreg_loops(z):
    V, B, D = z.shape
    align = [
        sum(((part[0, i] - part[m + 1, i]) ** 2).mean() for i in range(B)) / B
        for m, part in enumerate(cut(z))
    ]
    hinge = cov = 0
    for view in z:
        c = sum(torch.outer(r, r) for r in view - view.mean(0)) / (B - 1)
        hinge = hinge + sum(torch.relu(1 - torch.sqrt(c[d, d] + 1e-4)) for d in range(D)) / D / V
        cov = cov + sum(c[d, e] ** 2 for d in range(D) for e in range(D) if d != e) / D / V
    return 25 * sum(align) / 3 + 25 * hinge + 2 * cov


def barlow_loops(z):
    V, B, D = z.shape

    def R(a, b):
        a, b = ((t - t.mean(0)) / torch.sqrt(t.var(0, unbiased=False) + 1e-5) for t in (a, b))
        return sum(torch.outer(a[i], b[i]) for i in range(B)) / B

    align = sum(
        (1 - R(part[0], part[m + 1])[d, d]) ** 2
        for m, part in enumerate(cut(z))
        for d in range(part.shape[-1])
    )
    spread = sum(
        R(z[0], z[k])[d, e] ** 2 for k in range(1, V) for d in range(D) for e in range(D) if d != e
    ) / (V - 1)
    return align + 0.0051 * spread


def entropy_loops(z, tau=1.0):
    V, B, D = z.shape
    flat = z.reshape(-1, D)
    z = (z - flat.mean(0)) / torch.sqrt(flat.var(0, unbiased=False) + 1e-5)
    align = (
        sum(
            ((part[0, i] - part[m + 1, i]) ** 2).sum()
            for m, part in enumerate(cut(z))
            for i in range(B)
        )
        / B
        / (2 * tau**2)
    )
    spread = 0
    for view in z[:2]:
        for i in range(B):
            spread = spread + torch.log(
                sum(
                    torch.exp(-((view[i] - view[j]) ** 2).sum() / (2 * tau**2))
                    for j in range(B)
                    if j != i
                )
                / (B - 1)
            )
    return align + spread / (2 * B)


@pytest.mark.parametrize(
    "family, loops",
    [
        ("simclr", simclr_loops),
        ("vicreg", vicreg_loops),
        ("barlow", barlow_loops),
        ("entropy", entropy_loops),
    ],
)
def test_three_spaces_equal_the_loops(family, loops):
    same(lambda z: Objective(family, THREE)(z).loss, loops, views(V=4), tol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_paired_aligns_each_image_with_its_own_key(family):
    z = views(V=2, B=12)
    terms = Objective(family, THREE, paired=True)(z)
    whole = Objective(family, THREE)
    zn = whole.normalise(z, THREE)
    for m, part in enumerate(THREE.split(zn).values()):
        turn = torch.arange(12) % 3 == m
        torch.testing.assert_close(terms.align[m], whole.align(part[0][turn], part[1][turn]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_weight_scales_its_own_space(family):
    z, weights = views(V=4), [0.5, 2.0, 0.0]
    terms = Objective(family, THREE, lambdas=weights)(z)
    averaged = 3 if family in ("simclr", "vicreg") else 1
    torch.testing.assert_close(
        terms.loss.detach(), (torch.tensor(weights) * terms.align).sum() / averaged + terms.spread
    )


def test_content_spread_is_added():
    z = views(V=4)
    plain, more = (Objective("simclr", THREE, content_spread=c)(z) for c in (0.0, 0.5))
    u = simclr.normalise(z, THREE)[..., :5]
    torch.testing.assert_close(more.loss - plain.loss, 0.5 * simclr.spread(u))


@pytest.mark.parametrize("family", ["simclr", "entropy"])
@pytest.mark.parametrize("denominator", ["decoupled", "ntxent"])
def test_chunks_change_nothing(family, denominator, monkeypatch):
    options = {"denominator": denominator} if family == "simclr" else {}
    z = views(V=4, B=9)
    whole = value_and_gradient(lambda z: Objective(family, THREE, **options)(z).loss, z)
    monkeypatch.setattr(pairwise, "CHUNK", 7)
    parts = value_and_gradient(lambda z: Objective(family, THREE, **options)(z).loss, z)
    for a, b in zip(whole, parts):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


# -------------------------------------------------------------------------------------------- numbers worked out by hand


def test_identical_views():
    z = views(V=1).detach().expand(4, -1, -1)
    assert torch.allclose(Objective("simclr", THREE)(z).align, torch.tensor(-1 / 0.15))
    assert torch.equal(Objective("vicreg", THREE)(z).align, torch.zeros(3))
    assert torch.equal(Objective("entropy", THREE)(z).align, torch.zeros(3))
    assert Objective("barlow", THREE)(z).align.max() < 1e-8
    assert torch.allclose(Objective("simclr", THREE)(z).violation, torch.zeros(3), atol=1e-6)


def test_collapsed_batch():
    z, B, V = torch.ones(4, 10, 12), 10, 4
    # v_a = v_n: every term of the sum is exp(1/τ), (B − 1) V of them
    assert math.isclose(
        Objective("simclr", THREE)(z).spread.item(), 1 / 0.15 + math.log((B - 1) * V), rel_tol=1e-6
    )
    # hinge 1 − √1e-4 = 0.99 in every dimension, no covariance
    assert math.isclose(Objective("vicreg", THREE)(z).spread.item(), 25 * 0.99, rel_tol=1e-5)
    # all distances 0: log of the mean of ones
    assert abs(Objective("entropy", THREE)(z).spread.item()) < 1e-6
    # correlation of constants is 0: each diagonal misses 1, nothing off it
    terms = Objective("barlow", THREE)(z)
    assert torch.allclose(terms.align, torch.tensor([5.0, 4.0, 3.0])) and terms.spread.item() == 0


def test_orthogonal_images():
    # two images, one view each of which is e_1 and the other e_2: ⟨v_1, v_2⟩ = 0, so log Σ over 2 views = log 2
    z = torch.eye(2)[None].expand(2, -1, -1)
    assert math.isclose(simclr.spread(z).item(), math.log(2), rel_tol=1e-6)
    # the same two with the positive in the sum: log(exp(1/τ) + 2)
    assert math.isclose(
        simclr.spread(z, denominator="ntxent").item(),
        math.log(math.exp(1 / 0.15) + 2),
        rel_tol=1e-6,
    )


def test_orthogonal_spaces():
    # ±1 in all four combinations: dimensions uncorrelated, variance 4/3; mean over j of exp(−d²/2): two at d² = 4, one at 8
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])[None].expand(2, -1, -1)
    assert vicreg.spread(z).item() == 0
    assert abs(barlow.spread(z).item()) < 1e-8
    assert math.isclose(
        entropy.spread(z).item(), math.log((2 * math.exp(-2) + math.exp(-4)) / 3), rel_tol=1e-5
    )


def test_copied_content_costs_spread():
    """Two spaces that hold the same thing spread less than two that hold different things: what keeps content out of style."""
    spaces = Spaces.of(("style",), (6, 6))
    a, b = views(V=1, B=64, D=6).detach(), views(V=1, B=64, D=6, seed=1).detach()
    for family in FAMILIES:
        copied, different = (
            Objective(family, spaces)(torch.cat([a, s], -1).expand(3, -1, -1)).spread
            for s in (a, b)
        )
        assert different < copied, family


def test_parzen_entropy_of_a_gaussian():
    # window τ on N(0, I_2): E log ∫ p(y) exp(−‖x − y‖²/2τ²) dy = 2 log(τ/√(1+τ²)) − E‖x‖² / 2(1 + τ²), E‖x‖² = 2
    z, tau = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)), 0.5
    exact = math.log(tau**2 / (1 + tau**2)) - 1 / (1 + tau**2)
    assert abs(entropy.parzen(z, tau).item() - exact) < 0.02


# ------------------------------------------------------------------------------------------------------ other promises


@pytest.mark.parametrize("family", FAMILIES)
def test_low_precision_input_gives_a_float32_loss(family):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = Objective(family, THREE)(views(V=4).bfloat16()).loss
    high = Objective(family, THREE)(views(V=4).bfloat16().float()).loss
    assert low.dtype == torch.float32 and torch.equal(low, high)


@pytest.mark.parametrize("family", FAMILIES)
def test_order_of_images_is_nothing(family):
    z, order = views(V=4), torch.randperm(10, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        Objective(family, THREE)(z).loss, Objective(family, THREE)(z[:, order]).loss
    )


@pytest.mark.parametrize(
    "settings, says",
    [
        (dict(family="simclear"), "did you mean 'simclr'"),
        (dict(family="vicreg", variense=3), "did you mean 'variance'"),
        (dict(family="simclr", lambdas=[1, 2]), "one weight ≥ 0 per space"),
        (dict(family="barlow", temperature=1), "it has: beta"),
    ],
)
def test_errors_name_the_right_one(settings, says):
    with pytest.raises(ValueError, match=says):
        Objective(spaces=THREE, **settings)


def test_unknown_denominator():
    with pytest.raises(ValueError, match="choose decoupled or ntxent"):
        simclr.spread(torch.ones(2, 2, 2), denominator="nt")

"""The four families against their originals, slow loops, and numbers worked out by hand."""

import math

import pytest
import torch

from msr.losses import FAMILIES, barlow, entropy, pairwise, simclr, similarity, vicreg
from msr.objective import Objective, content_pairs
from msr.spaces import Spaces

ONE = Spaces(("content",), (12,))
THREE = Spaces.of(("appearance", "spatial"), (5, 4, 3))
each_family = pytest.mark.parametrize("family", FAMILIES)


def views(V=2, B=10, D=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(V, B, D, generator=generator, dtype=torch.float32).requires_grad_()


def loss(family, spaces, **settings):
    """The loss as a function of z."""
    objective = Objective(family, spaces, **settings)
    return lambda z: objective(z).loss


def value_and_gradient(f, z):
    (value := f(z)).backward()
    grad, z.grad = z.grad, None
    return value.detach(), grad


def same(ours, theirs, z, tol=1e-5):
    (a, ga), (b, gb) = value_and_gradient(ours, z), value_and_gradient(theirs, z)
    torch.testing.assert_close(a, b, atol=tol, rtol=tol)
    torch.testing.assert_close(ga, gb, atol=tol, rtol=tol)
    assert ga.abs().sum() > 0


# ------------------------------------------------------ M = 0: the originals, from a peer library


def lightly_loss(name, **options):
    peer = getattr(pytest.importorskip("lightly.loss"), name)(**options)
    return lambda z: peer(z[0], z[1])


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_vicreg_is_fairs(scale):
    # FAIR's coefficients: the hinge is halved, the covariance is not
    z = (scale * views().detach()).requires_grad_()
    same(loss("vicreg", ONE), lightly_loss("VICRegLoss"), z)


def test_barlow_is_barlow_twins():
    same(loss("barlow", ONE), lightly_loss("BarlowTwinsLoss", lambda_param=0.0051), views())


def test_simclr_decoupled_is_dcl():
    same(loss("simclr", ONE), lightly_loss("DCLLoss", temperature=0.15), views())


def test_simclr_ntxent_is_ntxent():
    ours = loss("simclr", ONE, denominator="ntxent")
    same(ours, lightly_loss("NTXentLoss", temperature=0.15), views())


# -------------------------------------------------------------- M > 0: loops over the formulas


SHARED = {0: [(0, 1), (1, 2), (1, 3), (2, 3)], 1: [(0, 2)], 2: [(0, 3)]}  # space -> pairs of views


def cut(z):
    return [z[..., :5], z[..., 5:9], z[..., 9:]]


def aligned(z):
    """Space by space, the pairs (query, key), each [B, d], that it is aligned over."""
    return [[(part[a], part[b]) for a, b in SHARED[m]] for m, part in enumerate(cut(z))]


def simclr_loops(z, tau=0.15):
    V, B, _ = z.shape
    u = [part / part.norm(dim=-1, keepdim=True) for part in cut(z)]
    align = [
        -sum(a[i] @ b[i] for a, b in pairs for i in range(B)) / B / len(pairs) / tau
        for pairs in aligned(torch.cat(u, -1))
    ]
    v, spread = torch.cat(u, -1) / math.sqrt(3), 0
    for a in range(V):
        for i in range(B):
            others = [v[n, j] for n in range(V) for j in range(B) if j != i]
            spread = spread + torch.log(sum(torch.exp(v[a, i] @ other / tau) for other in others))
    return sum(align) / 3 + spread / (V * B)


def vicreg_loops(z):
    V, B, D = z.shape
    align = [
        sum(((a[i] - b[i]) ** 2).mean() for a, b in pairs for i in range(B)) / B / len(pairs)
        for pairs in aligned(z)
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
        return sum(torch.outer(a[i], b[i]) for i in range(len(a))) / len(a)

    align = spread = 0
    for pairs in aligned(z):  # one correlation of all pairs together
        r = R(*(torch.cat(side) for side in zip(*pairs)))
        align = align + sum((1 - r[d, d]) ** 2 for d in range(len(r)))
    for k in range(1, V):
        r = R(z[0], z[k])
        spread = spread + sum(r[d, e] ** 2 for d in range(D) for e in range(D) if d != e)
    return align + 0.0051 * spread / (V - 1)


def entropy_loops(z, tau=1.0):
    V, B, D = z.shape
    flat = z.reshape(-1, D)
    z = (z - flat.mean(0)) / torch.sqrt(flat.var(0, unbiased=False) + 1e-5)

    def squared(a, b):
        return ((a - b) ** 2).sum() / (2 * tau**2)

    align = spread = 0
    for pairs in aligned(z):
        align = align + sum(squared(a[i], b[i]) for a, b in pairs for i in range(B)) / B / len(
            pairs
        )
    for view in z:
        for i in range(B):
            kernels = [torch.exp(-squared(view[i], view[j])) for j in range(B) if j != i]
            spread = spread + torch.log(sum(kernels) / (B - 1))
    return align + spread / (V * B)


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
    same(loss(family, THREE), loops, views(V=4), tol=2e-5)


@each_family
def test_content_of_the_query_and_key_0_alone(family):
    z = views(V=4)
    terms = Objective(family, THREE, content_pairs="query")(z)
    alone = Objective(family, Spaces(("content",), (5,)))(torch.stack([z[0, :, :5], z[1, :, :5]]))
    if family != "entropy":  # whose normalisation is over all views
        torch.testing.assert_close(terms.align[0], alone.align[0])
    assert terms.align[0] != Objective(family, THREE)(z).align[0]


def test_pairs_that_share_content_alone():
    assert content_pairs(2) == [(0, 1)]
    assert content_pairs(3) == [(0, 1), (1, 2)]
    assert content_pairs(4) == SHARED[0]
    assert [len(content_pairs(M + 2)) for M in range(7)] == [1 + M * (M + 1) // 2 for M in range(7)]


@pytest.mark.parametrize("family, share", [("simclr", 3), ("vicreg", 3), ("barlow", 1)])
def test_separate_spreads_are_those_of_each_space_alone(family, share):
    z = views(V=4)
    record = FAMILIES[family]
    normal = record.normalise(z, THREE)
    own = sum(record.spread(part) for part in cut(normal)) / share
    torch.testing.assert_close(Objective(family, THREE, joint=False)(z).spread, own.detach())


def test_entropy_of_the_first_views_alone():
    z = views(V=4)
    two, every = (Objective("entropy", THREE, views=n)(z).spread for n in (2, 0))
    normal = entropy.normalise(z, THREE)
    torch.testing.assert_close(two, entropy.spread(normal[:2]).detach())
    torch.testing.assert_close(every, entropy.spread(normal).detach())
    assert two != every


@each_family
def test_only_the_joint_spread_makes_a_copy_dear(family):
    """A style space that repeats the content, against one that says something of its own."""
    draws = (torch.randn(256, 4, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    content, style = draws
    price = {}
    for joint in (True, False):
        objective = Objective(family, Spaces.of(("style",), (4, 4)), joint=joint)
        copy, own = (
            objective(torch.cat([content, s], 1).expand(3, -1, -1)).spread for s in (content, style)
        )
        price[joint] = float(copy - own)
    assert price[True] > 0
    assert abs(price[False]) < 0.1 * price[True]


@each_family
def test_paired_aligns_each_image_with_its_own_key(family):
    z = views(V=2, B=12)
    terms = Objective(family, THREE, paired=True)(z)
    record = Objective(family, THREE).record
    for m, part in enumerate(THREE.split(record.normalise(z, THREE)).values()):
        turn = torch.arange(12) % 3 == m
        torch.testing.assert_close(terms.align[m], record.align(part[0][turn], part[1][turn]))


@each_family
def test_a_weight_scales_its_own_space(family):
    z, weights = views(V=4), [0.5, 2.0, 0.0]
    terms = Objective(family, THREE, lambdas=weights)(z)
    averaged = 3 if family in ("simclr", "vicreg") else 1
    expected = (torch.tensor(weights) * terms.align).sum() / averaged + terms.spread
    torch.testing.assert_close(terms.loss.detach(), expected)


def test_content_alone_has_the_spread_of_both_terms():
    z, one = torch.randn(3, 16, 5, dtype=torch.float64), Spaces(("content",), (5,))
    plain, more = (Objective("vicreg", one, content_spread=c)(z) for c in (0.0, 0.5))
    torch.testing.assert_close(more.spread, 1.5 * plain.spread)


def test_content_spread_is_added():
    z = views(V=4)
    plain, more = (Objective("simclr", THREE, content_spread=c)(z) for c in (0.0, 0.5))
    u = simclr.normalise(z, THREE)[..., :5]
    torch.testing.assert_close(more.loss - plain.loss, 0.5 * simclr.spread(u))


@pytest.mark.parametrize(
    "family, settings",
    [
        ("simclr", {"denominator": "decoupled"}),
        ("simclr", {"denominator": "ntxent"}),
        ("entropy", {}),
    ],
)
def test_chunks_change_nothing(family, settings, monkeypatch):
    z = views(V=4, B=9)
    whole = value_and_gradient(loss(family, THREE, **settings), z)
    monkeypatch.setattr(pairwise, "CHUNK", 7)
    monkeypatch.setitem(similarity.BLOCK, "cpu", 4)
    parts = value_and_gradient(loss(family, THREE, **settings), z)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def by_hand(a, b, scale, first, alone):
    """log Σ exp(scale ⟨a, b⟩) of all pairs at once, [V, B]."""
    (V, B), N = a.shape[:2], b.shape[1]
    logits = scale * torch.einsum("vid,wjd->viwj", a, b)
    image = (first + torch.arange(B))[:, None] == torch.arange(N)
    view = torch.eye(V, dtype=torch.bool) if alone else torch.ones(V, V, dtype=torch.bool)
    out = view[:, None, :, None] & image[None, :, None, :]
    return logits.masked_fill(out, -math.inf).flatten(2).logsumexp(dim=2)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("first", [None, 0, 5, 8])
@pytest.mark.parametrize("block", [3, 4, 60, 100])  # of one view, of two, of all three
def test_sums_by_blocks_are_those_of_the_whole_matrix(alone, first, block, monkeypatch):
    """first: where the anchors' images stand among those of all ranks; None: one rank."""
    monkeypatch.setitem(similarity.BLOCK, "cpu", block)
    b = torch.nn.functional.normalize(torch.randn(3, 13, 5, dtype=torch.float64), dim=2)
    one = first is None
    a, first = (b, 0) if one else (b[:, first : first + 5], first)
    results = []
    for sums in (by_hand, similarity.log_sums):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        found = sums(x, x if one else y, 6.0, first, alone)
        torch.manual_seed(0)
        (found * torch.randn_like(found)).sum().backward()
        results.append((found, x.grad, y.grad if not one else x.grad))
    for mine, whole in zip(*results, strict=True):
        torch.testing.assert_close(mine, whole)


def test_a_temperature_too_low_for_blocks_gives_finite_sums():
    z = views(V=3, B=6)
    low = 1.99 / similarity.LARGEST
    values = [simclr.spread(simclr.normalise(z, THREE), t).item() * t for t in (low, low * 1.02)]
    assert values[0] == pytest.approx(values[1], rel=0.02) and all(map(math.isfinite, values))
    assert math.isfinite(simclr.spread(simclr.normalise(z, THREE), 0.001).item())


# ------------------------------------------------------------------- numbers worked out by hand


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
    spread = Objective("simclr", THREE)(z).spread.item()
    assert math.isclose(spread, 1 / 0.15 + math.log((B - 1) * V), rel_tol=1e-6)
    # hinge 1 − √1e-4 = 0.99 in every dimension, no covariance
    assert math.isclose(Objective("vicreg", THREE)(z).spread.item(), 25 * 0.99, rel_tol=1e-5)
    # all distances 0: log of the mean of ones
    assert abs(Objective("entropy", THREE)(z).spread.item()) < 1e-6
    # correlation of constants is 0: each diagonal misses 1, nothing off it
    terms = Objective("barlow", THREE)(z)
    assert torch.allclose(terms.align, torch.tensor([5.0, 4.0, 3.0])) and terms.spread.item() == 0


def test_orthogonal_images():
    # both views of one image are e_1, both of the other e_2: ⟨v_1, v_2⟩ = 0, so log Σ = log 2
    z = torch.eye(2)[None].expand(2, -1, -1)
    assert math.isclose(simclr.spread(z).item(), math.log(2), rel_tol=1e-6)
    # the same two with the positive in the sum: log(exp(1/τ) + 2)
    expected = math.log(math.exp(1 / 0.15) + 2)
    assert math.isclose(simclr.spread(z, denominator="ntxent").item(), expected, rel_tol=1e-6)


def test_orthogonal_spaces():
    # ±1 in all four combinations: dimensions uncorrelated, variance 4/3
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])[None].expand(2, -1, -1)
    assert vicreg.spread(z).item() == 0
    assert abs(barlow.spread(z).item()) < 1e-8
    # mean over j of exp(−d²/2): two others at d² = 4, one at d² = 8
    expected = math.log((2 * math.exp(-2) + math.exp(-4)) / 3)
    assert math.isclose(entropy.spread(z).item(), expected, rel_tol=1e-5)


@each_family
def test_copied_content_costs_spread(family):
    """Two spaces that hold the same spread less than two that hold different things.

    This is what keeps content out of style.
    """
    spaces = Spaces.of(("style",), (6, 6))
    a, b = (views(V=1, B=64, D=6, seed=seed).detach() for seed in (0, 1))
    copied, different = (torch.cat([a, style], -1).expand(3, -1, -1) for style in (a, b))
    objective = Objective(family, spaces)
    assert objective(different).spread < objective(copied).spread


def test_parzen_entropy_of_a_gaussian():
    # window τ on N(0, I_2): E log ∫ p(y) exp(−‖x − y‖²/2τ²) dy
    # = 2 log(τ/√(1+τ²)) − E‖x‖² / 2(1 + τ²), with E‖x‖² = 2
    z, tau = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)), 0.5
    exact = math.log(tau**2 / (1 + tau**2)) - 1 / (1 + tau**2)
    assert abs(entropy.parzen(z[None], tau).item() - exact) < 0.02


@pytest.mark.parametrize("D, tau, prefers", [(6, 0.7, "gaussian"), (16, 1.0, "folded")])
def test_which_law_a_window_prefers(D, tau, prefers):
    """Both laws have mean 0 and variance 1; the folded one is that of a sine of a uniform phase."""
    generator = torch.Generator().manual_seed(0)
    z, phase = (
        torch.randn(20, 128, D, generator=generator),
        torch.rand(20, 128, D, generator=generator),
    )
    laws = {"gaussian": z, "folded": math.sqrt(2) * torch.sin(2 * math.pi * phase)}
    spread = {name: entropy.spread(z, tau).item() for name, z in laws.items()}
    assert min(spread, key=spread.get) == prefers


# ------------------------------------------------------------------------------ other promises


@each_family
def test_low_precision_input_gives_a_float32_loss(family):
    z = views(V=4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = Objective(family, THREE)(z).loss
    high = Objective(family, THREE)(z.float()).loss
    assert low.dtype == torch.float32 and torch.equal(low, high)


@each_family
def test_order_of_images_is_nothing(family):
    z, order = views(V=4), torch.randperm(10, generator=torch.Generator().manual_seed(3))
    value = loss(family, THREE)
    torch.testing.assert_close(value(z), value(z[:, order]))


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

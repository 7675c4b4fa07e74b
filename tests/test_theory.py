"""The numbers and examples of the chapter on the theory, as far as a machine can check them."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad, quad
from scipy.optimize import minimize_scalar
from scipy.stats import kstest

from msr.data import counterexamples as examples

N = 20_000


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def is_uniform(*columns):
    """Each column is uniform on (0, 1), and no product of two of them or their squares deviates."""
    assert all(kstest(np.asarray(column), "uniform").pvalue > 1e-3 for column in columns)
    bends = [np.cos(k * np.pi * np.asarray(column)) for column in columns for k in (1, 2, 3)]
    worst = np.abs(np.corrcoef(bends) - np.eye(len(bends))).max()
    assert worst < 5 / math.sqrt(len(columns[0]))


# --------------------------------------------------------------------------- the example in numbers


def test_the_losses_of_the_five_encoders():
    exchanged, _ = dblquad(lambda s, t: (s - t) ** 2, 0, 1, 0, 1)
    assert exchanged == pytest.approx(1 / 6) and f"{exchanged:.2f}" == "0.17"
    mixed = torch.tensor([[1.0, 0.0], [0.5, 0.5]])  # the map (c, s) -> (c, (c + s) / 2)
    assert f"{-math.log(mixed.det()):.2f}" == "0.69"

    def triangle(x):  # the density of (c + s) / 2
        return 4 * min(x, 1 - x)

    entropy, _ = quad(lambda x: -triangle(x) * math.log(triangle(x)), 0, 1, points=[0.5])
    assert f"{-entropy:.2f}" == "0.19"


def test_the_first_exercise():
    assert 1 - math.exp(-1 / 6) == pytest.approx(0.15, abs=5e-3)


def test_the_second_exercise():
    rng = np.random.default_rng(0)
    c, u = rng.standard_normal((2, 10**6))
    assert np.corrcoef(2 * c + u, u)[0, 1] ** 2 == pytest.approx(1 / 5, abs=3e-3)


# ------------------------------------------------------------------------------------- the examples


def test_winding_doubles_areas_everywhere():
    """So twice covered it takes the uniform law to the uniform law, and is no bijection."""
    c = 0.02 + 0.96 * uniform(200, 2)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda x: examples.wound(x[None])[0]))(c)
    torch.testing.assert_close(jacobians.det().abs(), torch.full((200,), 2.0).double())
    around = torch.stack([torch.full((1001,), 0.5), torch.linspace(0, 1, 1001)], 1).double()
    x, y = (examples.wound(around) - 0.5).T
    turns = np.unwrap(torch.atan2(y, x).numpy())
    assert abs(turns[-1] - turns[0]) / (2 * math.pi) == pytest.approx(2, abs=1e-6)


def test_the_injective_example_is_uniform_injective_and_wound():
    u, upper = uniform(N) / 2, uniform(N, seed=1)
    c = torch.stack([uniform(N, seed=2), u + 0.5 * (upper > examples.rise(u))], 1)
    s = uniform(N, seed=3)
    h0, h1 = examples.wound(c), examples.injective(c, s)
    is_uniform(*h0.T, h1)
    assert np.corrcoef(h1, c[:, 1])[0, 1] == pytest.approx(0.61, abs=0.02)  # it knows of content
    # the two contents that have the same h0 have no h1 in common
    low = torch.stack([c[:, 0], c[:, 1] % 0.5], 1)
    edge = examples.rise(low[:, 1])
    assert (examples.injective(low, s) < edge).all()
    assert (examples.injective(low + torch.tensor([0, 0.5]), s) > edge).all()
    # its two forms meet smoothly
    x = torch.tensor([0.5 - 1e-6, 0.5, 0.5 + 1e-6]).double()
    around = torch.stack([torch.full_like(x, 0.3), x], 1)
    values = examples.injective(around, torch.full_like(x, 0.4))
    torch.testing.assert_close(values, torch.full_like(x, 0.4), atol=1e-10, rtol=0)


def test_a_fold_keeps_the_law_and_is_three_to_one():
    c = uniform(N)
    is_uniform(examples.folded(c))
    grid = torch.linspace(0, 1, 90_001).double()
    folded = examples.folded(grid)
    outside = (grid <= 1 / 3) | (grid >= 2 / 3)
    assert torch.equal(folded[outside], grid[outside])
    assert (folded.diff().abs() < 3.001 * grid.diff()).all()  # continuous, with slopes up to 3
    crossings = ((folded[:-1] < 0.55) != (folded[1:] < 0.55)).sum()
    assert crossings == 3


@pytest.mark.parametrize("j, k", [(1, 1), (-1, 2), (2, 1), (1, 0)])
def test_a_style_on_a_circle(j, k):
    """Uniform given content; independent of the style if k ≠ 0; two to one if j = 2."""
    c, s = uniform(2, N)

    def angle(points):
        return (torch.atan2(*points.T.flip(0)) / (2 * math.pi)) % 1

    on = examples.circled(s, c, j, k)
    is_uniform(angle(on), c)
    related = abs(np.corrcoef([*on.T.numpy(), *examples.circled(s, c, 1, 0).T.numpy()])[:2, 2:])
    assert (related.max() < 0.03) == (k != 0)
    again = examples.circled((s + 0.5) % 1, c, j, k)
    assert torch.allclose(on, again, atol=1e-9) == (j == 2)
    given = (angle(on) - k * c) % 1  # the style from its space and content, if |j| = 1
    assert j == 2 or torch.allclose(given, (j * s) % 1, atol=1e-9)


# ----------------------------------------------------------------------------- a window of width τ


def atoms(places, masses, width):
    """−E log of the Parzen density at the atoms of a law."""
    x, p = np.array(places), np.array(masses)
    kernel = np.exp(-((x[:, None] - x) ** 2) / (2 * width**2)) / (width * math.sqrt(2 * math.pi))
    return -(p * np.log(kernel @ p)).sum()


def three(outer, width):
    """The score of atoms at −a, 0, a, the outer two with this mass each; of variance 1."""
    a = 1 / math.sqrt(2 * outer)
    return atoms([-a, 0, a], [outer, 1 - 2 * outer, outer], width)


def gaussian(width):
    return 0.5 * math.log(2 * math.pi * (1 + width**2)) + 1 / (2 * (1 + width**2))


def test_which_laws_beat_the_normal_law():
    best = minimize_scalar(lambda m: -three(m, 1.0), bounds=(0.01, 0.49), method="bounded")
    assert f"{-best.fun:.3f}" == "1.521" and f"{gaussian(1.0):.3f}" == "1.516"
    assert atoms([-1, 1], [0.5, 0.5], 1.5) > gaussian(1.5) + 0.01
    assert searched(0.7) < gaussian(0.7) + 0.0014


def searched(width):
    """The largest score that gradient ascent finds, over laws of variance 1 on a grid."""
    x = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64)
    logits = (-x.square() / 2 + 0.3 * torch.cos(2.2 * x)).requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        p = logits.softmax(0)
        variance = (p * x.square()).sum() - (p * x).sum().square()
        scale = width * variance.sqrt()  # the same as to rescale the law
        kernel = torch.exp(-(x[:, None] - x).square() / (2 * scale.square()))
        found = (p * torch.log(kernel @ p / (width * math.sqrt(2 * math.pi)))).sum()
        found.backward()
        return found

    optimizer.step(loss)
    return -loss().item()

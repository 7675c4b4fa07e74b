"""What holds for every draw of spaces and losses (by hypothesis)."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from msr.losses import FAMILIES
from msr.objective import Objective
from msr.spaces import Spaces

seeds = st.integers(0, 2**32)


# ------------------------------------------------------------------------------------------ spaces


@given(st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=5), st.data())
def test_spaces_are_cut_and_joined(names, data):
    sizes = [data.draw(st.integers(1, 4)) for _ in names]
    spaces = Spaces(tuple(names), tuple(sizes))
    z = torch.arange(2.0 * spaces.dim).view(2, spaces.dim)
    parts = spaces.split(z)
    assert [part.shape[1] for part in parts.values()] == sizes and list(parts) == names
    assert torch.equal(spaces.join(dict(reversed(parts.items()))), z)
    width = data.draw(st.integers(0, 30).filter(lambda n: n != spaces.dim))
    with pytest.raises(ValueError, match=f"z has {width} dimensions"):
        spaces.split(torch.zeros(2, width))


@given(st.lists(st.text("ab", max_size=1), max_size=3), st.lists(st.integers(-3, 3), max_size=3))
def test_wrong_spaces_are_refused(names, sizes):
    right = len(set(names)) == len(names) == len(sizes) > 0 and min(sizes) > 0
    if right:
        assert Spaces(tuple(names), tuple(sizes)).dim == sum(sizes)
    else:
        with pytest.raises(ValueError):
            Spaces(tuple(names), tuple(sizes))


# ------------------------------------------------------------------------------------------ losses


@st.composite
def embeddings(draw):
    """Spaces, and embeddings z [V, B, D]: of noise at any scale, zero, constant, or two points."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    spaces = Spaces.of([f"style{m}" for m in range(1, len(sizes))], sizes)
    shape = (len(sizes) + 1, draw(st.integers(2, 9)), spaces.dim)
    generator = torch.Generator().manual_seed(draw(seeds))
    z = torch.randn(shape, generator=generator) * draw(
        st.sampled_from([1.0, 1e-30, 1e-8, 1e-3, 1e2, 1e4])
    )
    kind = draw(st.sampled_from(["noise", "zero", "constant", "same views", "zero row", "apart"]))
    if kind in ("zero", "constant"):
        z = torch.full(shape, 0.0 if kind == "zero" else draw(st.floats(-1e4, 1e4)))
    if kind == "same views":
        z = z[:1].expand(shape).clone()
    if kind == "zero row":
        z[:, 0] = 0
    if kind == "apart":
        z[:, 1:] += 1e4
    return spaces, z


@given(st.sampled_from(sorted(FAMILIES)), embeddings())
def test_a_loss_and_its_gradient_are_finite(family, drawn):
    spaces, z = drawn
    z.requires_grad_()
    terms = Objective(family, spaces)(z)
    terms.loss.backward()
    for value in (terms.loss, terms.align, terms.spread, terms.violation, z.grad):
        assert value.isfinite().all()


@given(st.sampled_from(sorted(FAMILIES)), embeddings(), seeds)
def test_the_order_of_the_images_does_not_matter(family, drawn, seed):
    spaces, z = drawn
    z = z.double()
    objective = Objective(family, spaces)
    order = torch.randperm(z.shape[1], generator=torch.Generator().manual_seed(seed))
    a, b = objective(z), objective(z[:, order])
    assume(math.isfinite(a.loss))
    for one, other in ((a.loss, b.loss), (a.align, b.align), (a.spread, b.spread)):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_one_image_alone_is_refused_or_finite(family):
    z = torch.randn(2, 1, 4)
    try:
        assert Objective(family, Spaces.of((), (4,)))(z).loss.isfinite()
    except ValueError as error:
        assert "at least 2 images" in str(error)

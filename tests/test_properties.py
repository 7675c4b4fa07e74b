"""What holds for every draw of transforms, resampling and views (by hypothesis)."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from msr import augment
from msr.augment import PRESETS, Pipeline, Transform
from msr.augment.presets import SPRITE_PRESETS, pipelines
from msr.augment.spatial import ResizedCrop, resample
from msr.views import Views

SIZES = [(1, 1), (8, 8), (17, 33)]  # height, width
seeds = st.integers(0, 2**32)
unit = st.floats(0, 1, width=32)


def below(kind):
    """The class itself and all that are derived from it."""
    return [kind, *(c for child in kind.__subclasses__() for c in below(child))]


def by_default(kind, size):
    """A transform with its default strengths; `size` where it asks for that."""
    asks = inspect.signature(kind).parameters
    return kind(**{"size": size} if "size" in asks else {})


CLASSES = [kind for kind in below(Transform) if kind.name != "transform"]  # not the bare parents
PRESET = {**PRESETS, **{f"sprites {name}": preset for name, preset in SPRITE_PRESETS.items()}}


def transforms(size):
    """Every class of transform at its default strength, and every transform of every preset."""
    own = [by_default(kind, size) for kind in CLASSES]
    pairs = (pipelines(preset, size) for preset in PRESET.values())
    return own + [t for pair in pairs for pipeline in pair for t in pipeline.transforms.values()]


N = len(transforms(8))
each = st.integers(0, N - 1)


@st.composite
def images(draw, sizes=SIZES):
    """Images float [B, 3, H, W] in [0, 1]: of noise, constant, black, white, or half and half."""
    h, w = draw(st.sampled_from(sizes))
    kind = draw(st.sampled_from(["noise", "black", "white", "grey", "halves", "colour"]))
    if kind == "noise":
        return torch.rand(3, 3, h, w, generator=torch.Generator().manual_seed(draw(seeds)))
    x = torch.full((3, 3, h, w), {"black": 0.0, "white": 1.0}.get(kind, draw(unit)))
    if kind == "halves":
        x[..., : w // 2] = draw(unit)
    if kind == "colour":
        x[:, draw(st.integers(0, 2))] = draw(unit)
    return x


def close(a, b):
    return torch.allclose(a, b, atol=2e-5, rtol=1e-4)


# -------------------------------------------------------------------------------------- transforms


def test_all_transforms_are_found():
    exported = {v for v in vars(augment).values() if isinstance(v, type)} & set(below(Transform))
    assert exported - {Transform} <= set(CLASSES) and N > 50


@given(each, images(), seeds)
def test_a_transform_of_any_image(i, x, seed):
    """Finite, in [0, 1] if random, of the same type, repeatable, and for each image alone."""
    h, w = x.shape[2:]
    t = transforms(h)[i]
    params = t.sample(torch.Generator().manual_seed(seed), len(x), h)
    before, y = x.clone(), t.apply(x, params)
    assert torch.equal(x, before), "the input is not changed"
    assert torch.equal(y, t.apply(x, params)), "the same parameters give the same image"
    shape = (h, h) if isinstance(t, ResizedCrop) else (h, w)
    assert y.dtype == x.dtype and y.shape == (3, 3, *shape) and y.isfinite().all()
    if t.random:
        assert -1e-5 <= y.min() and y.max() <= 1 + 1e-5
    one = [t.apply(x[k : k + 1], {n: v[k : k + 1] for n, v in params.items()}) for k in range(3)]
    assert close(torch.cat(one), y), "a batch is its images"
    shared = {name: v[:1].expand_as(v) for name, v in params.items()}
    assert close(t.apply(x[:1].expand(3, -1, -1, -1), shared), one[0].expand(3, -1, -1, -1))


@pytest.mark.parametrize("i", range(N))
def test_an_image_of_one_pixel_is_changed_too(i):
    t, x = transforms(1)[i], torch.full((2, 3, 1, 1), 0.3)
    params = t.sample(torch.Generator().manual_seed(0), 2, 1)
    y = t.apply(x, params | {"on": torch.ones(2, dtype=torch.bool)})
    assert y.shape == x.shape and y.isfinite().all()


@given(each, images([(1, 1), (8, 8), (17, 17)]), seeds)
def test_what_is_off_changes_nothing(i, x, seed):
    t = transforms(x.shape[2])[i]
    params = t.sample(torch.Generator().manual_seed(seed), len(x), x.shape[2])
    if t.random:
        y = t.apply(x, params | {"on": torch.zeros(3, dtype=torch.bool)})
        assert torch.equal(y, x)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@given(each, st.sampled_from(SIZES[1:]), seeds)
def test_a_transform_stays_on_its_device(i, side, seed):
    t = transforms(side[0])[i]
    params = t.sample(torch.Generator().manual_seed(seed), 3, side[0])
    with FakeTensorMode(allow_non_fake_inputs=True):
        x = torch.empty(3, 3, *side, device="cuda")
        y = t.apply(x, {name: v.to("cuda") for name, v in params.items()})
        assert y.device.type == "cuda" and y.dtype == torch.float32


strength = st.one_of(st.floats(-2, 2), st.sampled_from([0.0, 1.0, math.nan, math.inf, 1e30, 180.0]))


def strengths(kind, draw):
    """Random values for every number and every pair among the arguments of a transform."""
    values = {}
    for name, p in inspect.signature(kind).parameters.items():
        if isinstance(p.default, float):
            values[name] = draw(strength)
        elif isinstance(p.default, tuple):
            values[name] = tuple(draw(strength) for _ in p.default)
    return values


@given(st.sampled_from(CLASSES), images([(8, 8)]), seeds, st.data())
def test_any_strength_is_refused_in_one_line_or_works(kind, x, seed, data):
    values = strengths(kind, data.draw)
    size = {"size": 8} if "size" in inspect.signature(kind).parameters else {}
    try:
        t = kind(**size, **values)
    except ValueError as error:
        assert "\n" not in str(error) and "give" in str(error), error
        return
    params = t.sample(torch.Generator().manual_seed(seed), len(x), 8)
    y = t.apply(x, params)
    assert y.isfinite().all(), (t, values)
    assert not t.random or (-1e-5 <= y.min() and y.max() <= 1 + 1e-5), (t, values)


@given(st.sampled_from(sorted(PRESET)), images([(8, 8), (17, 17)]), seeds)
def test_a_pipeline_of_any_image(name, x, seed):
    for pipeline in pipelines(PRESET[name], x.shape[2]):
        drawn = Pipeline([t for t in pipeline.transforms.values() if t.random])
        params = drawn.sample(torch.Generator().manual_seed(seed), len(x), x.shape[2])
        y = drawn.apply(x, params)
        assert y.isfinite().all() and -1e-5 <= y.min() and y.max() <= 1 + 1e-5
        off = {k: p | {"on": torch.zeros(3, dtype=torch.bool)} for k, p in params.items()}
        assert torch.equal(drawn.apply(x, off), x)


# -------------------------------------------------------------------------------------- resampling


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=4
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    unit,
)
def test_the_weights_of_any_box_sum_to_one(boxes, n_in, n_out, grey):
    start = torch.tensor([a for a, _, _ in boxes] + [far for *_, far in boxes])
    length = torch.tensor([b for _, b, _ in boxes] * 2)
    weights = resample(start, length, n_in, n_out)
    assert weights.shape == (len(start), n_out, n_in) and weights.min() >= 0
    assert close(weights.sum(dim=2), torch.ones(()))
    assert close(weights @ torch.full((n_in, 1), grey), torch.tensor(grey))


# ------------------------------------------------------------------------------------------- views


@st.composite
def grouped(draw):
    """Views of a random preset, with some of its groups that do not overlap."""
    query, key = pipelines(PRESET[draw(st.sampled_from(sorted(PRESET)))], 8)
    groups, taken = [], set()
    for group in draw(st.permutations(query.groups)):
        members = set(query.group(group))
        if not members & taken and draw(st.booleans()):
            groups.append(group)
            taken |= members
    return Views(query, key, groups, paired=draw(st.booleans()))


@given(grouped(), seeds, st.integers(2, 7))
def test_a_key_shares_its_group_with_the_query(views, seed, n):
    params = views.sample(torch.Generator().manual_seed(seed), n, 8)
    assert len(params) == views.n_views
    M = len(views.groups)
    for m, group in enumerate(views.groups, start=1):
        key = params[1] if views.paired else params[m + 1]
        rows = [i for i in range(n) if not views.paired or i % (M + 1) == m]
        for name in views.members[group]:
            for k, drawn in params[0][name].items():
                assert torch.equal(key[name][k][rows], drawn[rows]), (group, name, k)
    drawn = [name for name, t in views.query.transforms.items() if t.draw is not Transform.draw]
    alone = params[1]["crop"]["at"] if "crop" in drawn else params[1]["zoom"]["zoom"]
    first = params[0]["crop"]["at"] if "crop" in drawn else params[0]["zoom"]["zoom"]
    assert not torch.equal(alone[0], first[0]), "the first image's key 0 draws everything afresh"


@given(grouped(), seeds, images([(8, 8)]))
def test_views_of_any_image(views, seed, x):
    a, b = (views(x, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert a.shape == (views.n_views, 3, 3, 8, 8) and torch.equal(a, b) and a.isfinite().all()
    whole = views((x * 255).byte(), torch.Generator().manual_seed(seed))
    assert whole.shape == a.shape and whole.dtype == torch.float32


@given(st.sampled_from(sorted(PRESET)), st.data())
def test_groups_overlap_or_are_accepted(name, data):
    query, key = pipelines(PRESET[name], 8)
    groups = data.draw(st.lists(st.sampled_from(query.groups), max_size=4))
    members = [name for group in groups for name in query.group(group)]
    if len(set(members)) == len(members):
        assert Views(query, key, groups).n_views == len(groups) + 2
    else:
        with pytest.raises(ValueError, match="must not overlap"):
            Views(query, key, groups)

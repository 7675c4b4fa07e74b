"""Compiled kernels do what the transforms do, in any number of threads, and only where they may."""

import os
import subprocess
import sys

import pytest
import torch

from msr import augment
from msr.augment import PRESETS, Pipeline, pipelines, sweep
from msr.augment.kernels import compiled
from msr.augment.presets import SPRITE_PRESETS
from msr.views import Views

N = 12
TRANSFORMS = [
    augment.ResizedCrop(24),
    augment.ResizedCrop(40, overhang=0.3),
    augment.ResizedCrop(9),
    augment.HorizontalFlip(),
    augment.VerticalFlip(),
    augment.Rotation(40),
    augment.Affine(30, 0.2, (0.7, 1.4), 20, p=0.7),
    augment.Place(0.3, p=0.7),
    augment.Size((0.1, 0.2)),
    augment.ColorJitter(0.4, 0.4, 0.8, 0.5),
    augment.ColorJitter(hue=0.0),
    augment.Greyscale(0.5),
    augment.GaussianBlur(),
    augment.Solarise(0.3, 0.5),
    augment.Expose(0.9),
    augment.Normalise(),
]
each_transform = pytest.mark.parametrize("t", TRANSFORMS, ids=repr)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(n=N, h=24, w=None, channels=3):
    x = torch.randint(0, 256, (n, channels, h, w or h), generator=generator(1), dtype=torch.uint8)
    x[0] = 0
    x[1] = 77  # grey
    return x


@pytest.fixture
def by_torch(monkeypatch):
    """Switch the kernels off."""

    def off():
        monkeypatch.setattr(sweep, "swept", lambda x, *_: (x, 0))

    return off


@each_transform
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_a_kernel_does_what_its_transform_does(t, kind):
    x = augment.base.to_float(pixels())
    pipeline = Pipeline([t])
    params = pipeline.sample(generator(2), N, 24)
    given = pixels() if kind == torch.uint8 else x
    made, done = sweep.swept(given, [[t]], params)
    assert done == 1
    torch.testing.assert_close(made, t.apply(x, params[t.name]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("t", TRANSFORMS[2:12], ids=repr)
@pytest.mark.parametrize("h, w", [(24, 17), (1, 5), (2, 2), (1, 1)])
def test_images_of_any_shape(t, h, w, by_torch):
    x, pipeline = pixels(h=h, w=w), Pipeline([t])
    params = pipeline.sample(generator(2), N, h)
    made = pipeline.apply(x, params)
    by_torch()
    torch.testing.assert_close(made, pipeline.apply(x, params), atol=1e-4, rtol=0)


@pytest.mark.parametrize("preset", [*PRESETS, *SPRITE_PRESETS])
@pytest.mark.parametrize("stored", [32, 50])
def test_views_are_those_of_pytorch(preset, stored, by_torch):
    """Of images larger than the views too; where views are normalised, by values of 0.2."""
    views = Views(*pipelines((PRESETS | SPRITE_PRESETS)[preset], 32), ("appearance", "spatial"))
    x = pixels(h=stored)
    made = views(x, generator(3))
    by_torch()
    torch.testing.assert_close(made, views(x, generator(3)), atol=1e-3, rtol=0)


def test_all_of_the_papers_transforms_are_one_sweep(monkeypatch):
    seen = []
    carried_out = sweep.carried_out
    monkeypatch.setattr(sweep, "carried_out", lambda *a: (seen.append(a), carried_out(*a))[1])
    for preset in ("medium", "shapes", "small"):
        query, _ = pipelines(preset, 16)
        query.apply(pixels(), query.sample(generator(), N, 24))
    assert [len(steps) for *_, steps, last in seen if last] == [5, 2, 3]


# ------------------------------------------------------------------------------- to the last bit


def test_what_changes_nothing_leaves_every_bit():
    x = pixels()
    turned, whole = augment.Rotation(30), augment.ResizedCrop(24, p=0.0)
    for start in (whole, turned, augment.HorizontalFlip()):
        steps = [start, augment.ColorJitter(), augment.GaussianBlur(), augment.Solarise()]
        pipeline = Pipeline(steps)
        params = pipeline.sample(generator(), N, 24)
        for p in params.values():
            p["on"][:] = False
        assert torch.equal(pipeline.apply(x, params), x.float() / 255)


def test_mirrored_images_keep_every_bit():
    x = torch.rand(N, 3, 24, 24, generator=generator())
    pipeline = Pipeline([augment.HorizontalFlip(1.0), augment.VerticalFlip(1.0)])
    assert torch.equal(pipeline.apply(x, pipeline.sample(generator(), N, 24)), x.flip(2, 3))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("floats", [1, 3 * 24 * 24 * 5, 2**30])
def test_views_do_not_depend_on_threads_and_pieces(threads, floats, monkeypatch):
    views, before = Views(*pipelines("medium", 24)), torch.get_num_threads()
    expected = views(pixels(), generator())
    monkeypatch.setattr(sweep, "CACHE", floats)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(views(pixels(), generator()), expected)
    finally:
        torch.set_num_threads(before)


def test_rows_of_parameters_may_belong_to_any_image(by_torch):
    pipeline, _ = pipelines("medium", 24)
    which = torch.tensor([3, 0, 3, 7])
    params = pipeline.sample(generator(), 4, 24)
    made = pipeline.apply(pixels(), params, which=which)
    assert torch.equal(made, pipeline.apply(pixels()[which], params))
    by_torch()
    torch.testing.assert_close(
        made, pipeline.apply(pixels(), params, which=which), atol=1e-4, rtol=0
    )


# ---------------------------------------------------------------------------- where they may work


class Inverted(augment.Solarise):
    """Overrides what it does, and has no kernel of its own."""

    def change(self, x, params):
        return 1 - x


class Stronger(augment.Solarise):
    """Overrides what it draws only."""

    def draw(self, generator, n, size):
        return {}


def test_a_transform_that_overrides_what_it_does_has_no_inherited_kernel():
    t, p = Inverted(p=1.0), {"on": torch.ones(N, dtype=torch.bool)}
    assert t.kernel(p, (3, 8, 8)) is None and Stronger().kernel(p, (3, 8, 8)) is not None
    x = pixels()
    made = Pipeline([t]).apply(x, {t.name: p})
    assert torch.equal(made, 1 - x.float() / 255)


@pytest.mark.parametrize(
    "x",
    [
        pixels().double() / 255,
        pixels(channels=1).float() / 255,
        (pixels().float() / 255).requires_grad_(),
    ],
    ids=["double", "one channel", "gradients"],
)
def test_what_kernels_cannot_do_pytorch_does(x):
    t = augment.Solarise() if x.shape[1] == 1 else augment.ColorJitter()
    turned = augment.Rotation(20, padding="reflection")
    steps = [augment.HorizontalFlip(), t] if x.dtype == torch.float64 else [turned, t]
    pipeline = Pipeline(steps)
    params = pipeline.sample(generator(), N, 24)
    made, in_turn = pipeline.apply(x, params), x
    for step in pipeline.transforms.values():
        in_turn = step.apply(in_turn, params[step.name])
    torch.testing.assert_close(made, in_turn, atol=1e-6, rtol=0)
    assert made.dtype == x.dtype and made.requires_grad == x.requires_grad


def test_parameters_of_another_number_of_images():
    pipeline, _ = pipelines("medium", 24)
    for n in (1, 4):
        with pytest.raises(ValueError, match=f"parameters of {n} images for a batch of 12; draw"):
            pipeline.apply(pixels(), pipeline.sample(generator(), n, 24))


@pytest.mark.parametrize("which", [[0, N], [-1, 0]])
def test_rows_of_images_that_are_not_there(which):
    pipeline, _ = pipelines("medium", 24)
    with pytest.raises(ValueError, match="which: images .* of 12; count from 0"):
        pipeline.apply(pixels(), pipeline.sample(generator(), 2, 24), which=torch.tensor(which))


def test_no_images():
    pipeline, _ = pipelines("medium", 24)
    assert pipeline.apply(pixels()[:0], pipeline.sample(generator(), 0, 24)).shape == (0, 3, 24, 24)


# ------------------------------------------------------------------------------------ compilation


def test_without_a_folder_for_machine_code_it_is_not_kept(monkeypatch):
    asked = []

    def njit(cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.compiled(len) is len and asked == [True, False]


DIGEST = """
import hashlib, torch
from msr.augment import pipelines
from msr.augment.presets import SPRITE_PRESETS
from msr.views import Views

for preset in ("medium", "small", SPRITE_PRESETS["strong"]):
    x = torch.randint(0, 256, (8, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator())
    views = Views(*pipelines(preset, 24))(x, torch.Generator())
    print(hashlib.sha256(views.numpy().tobytes()).hexdigest())
"""


def test_views_are_the_same_whether_kernels_were_compiled_before(tmp_path):
    """Or a run that was killed would not end as one that nobody disturbed."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DIGEST]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300).stdout
        for _ in range(2)
    )
    assert len(first.split()) == 3 and first == second
    assert any(tmp_path.rglob("*.nbc"))


INTERPRETED = """
import torch
from msr.augment import PRESETS, HorizontalFlip, Pipeline, VerticalFlip, pipelines
from msr.augment.presets import SPRITE_PRESETS
from msr.views import Views

for preset in (*PRESETS.values(), *SPRITE_PRESETS.values()):
    for stored in (1, 7, 12):
        views = Views(*pipelines(preset, 8))
        x = torch.randint(0, 256, (6, 3, stored, stored), dtype=torch.uint8)
        assert views(x, torch.Generator()).isfinite().all()
for channels in (1, 2, 4):
    flips = Pipeline([HorizontalFlip(), VerticalFlip()])
    x = torch.randint(0, 256, (9, channels, 5, 5), dtype=torch.uint8)
    assert flips.apply(x, flips.sample(torch.Generator(), 9, 5)).isfinite().all()
"""


def test_kernels_stay_within_their_arrays():
    """Interpreted, an index beyond an array is an error."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", INTERPRETED]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert not found.returncode, found.stderr

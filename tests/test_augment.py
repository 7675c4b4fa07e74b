"""Each transform equals torchvision's functional; identity is exact; draws reproduce."""

import copy
import math

import pytest
import torch
import torchvision.transforms.v2.functional as tv

from msr import augment
from msr.augment import spatial

S, N = 24, 6
TRANSFORMS = [
    augment.ResizedCrop(S),
    augment.HorizontalFlip(),
    augment.VerticalFlip(),
    augment.Rotation(40),
    augment.Affine(30, 0.2, (0.7, 1.4), 20),
    augment.Translate(0.3),
    augment.Place(0.3),
    augment.Zoom((0.5, 2)),
    augment.Size((0.1, 0.2)),
    augment.ColorJitter(),
    augment.Greyscale(),
    augment.GaussianBlur(),
    augment.Solarise(),
    augment.Equalise(),
]


def kind(t):
    return type(t).__name__


each_transform = pytest.mark.parametrize("t", TRANSFORMS, ids=kind)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.rand(N, 3, S, S, generator=generator(1))


def each(f, x, *columns):
    """torchvision's functional, image by image."""
    return torch.stack([f(x[i], *(c[i].item() for c in columns)) for i in range(len(x))])


def on(n=N, **params):
    return {"on": torch.ones(n, dtype=torch.bool), **params}


# -------------------------------------------------------------------------- against torchvision


@pytest.mark.parametrize("size", [16, 24, 60])  # down, mixed, up
def test_resized_crop_is_torchvisions_on_whole_pixels(size):
    x = torch.rand(4, 3, 40, 40, generator=generator(2))
    boxes = torch.tensor([[3, 5, 20, 30], [0, 0, 40, 40], [10, 0, 7, 9], [31, 20, 9, 20]])
    ours = spatial.cut(x, boxes / 40, size)
    theirs = [
        tv.resized_crop(image, *box.tolist(), [size, size], antialias=True)
        for image, box in zip(x, boxes, strict=True)
    ]
    torch.testing.assert_close(ours, torch.stack(theirs), atol=2e-5, rtol=0)


def test_crop_beyond_the_image_repeats_its_edge():
    x = torch.arange(16.0).view(1, 1, 4, 4) / 16
    out = spatial.cut(x, torch.tensor([[-1.0, 0.0, 1.0, 1.0]]), 4)
    torch.testing.assert_close(out, x[:, :, :1].expand(1, 1, 4, 4))


def test_flip(x):
    assert torch.equal(augment.HorizontalFlip().apply(x, on()), tv.horizontal_flip(x))
    assert torch.equal(augment.VerticalFlip().apply(x, on()), tv.vertical_flip(x))


@pytest.mark.parametrize("shear", [0.0, 15.0])
def test_affine(x, shear):
    t = augment.Affine(degrees=40, translate=0.25, zoom=(0.6, 1.5), shear=shear)
    p = t.sample(generator(), N, S)
    p["on"][:], p["shift"] = True, (p["shift"] * S).round() / S

    def theirs(i):
        return tv.affine(
            x[i],
            angle=p["angle"][i].item(),
            translate=(p["shift"][i] * S).round().int().tolist(),
            scale=p["zoom"][i].item(),
            shear=[p["shear"][i].item(), 0.0],
            interpolation=tv.InterpolationMode.BILINEAR,
        )

    expected = torch.stack([theirs(i) for i in range(N)])
    torch.testing.assert_close(t.apply(x, p), expected, atol=2e-4, rtol=0)


def test_rotation_clockwise_as_affine(x):
    angle, zero = torch.linspace(-60, 60, N), torch.zeros(N)
    p = on(angle=angle, shear=zero, shift=torch.zeros(N, 2), zoom=zero + 1)

    def theirs(image, degrees):
        return tv.rotate(image, -degrees, interpolation=tv.InterpolationMode.BILINEAR)

    expected = each(theirs, x, angle)
    torch.testing.assert_close(augment.Rotation(60).apply(x, p), expected, atol=2e-4, rtol=0)


def test_jitter_is_four_functionals_in_order(x):
    t = augment.ColorJitter(0.4, 0.4, 0.4, 0.5, p=1)
    p = t.sample(generator(), N, S)

    def theirs(image, brightness, contrast, saturation, hue):
        image = tv.adjust_brightness(image, brightness)
        image = tv.adjust_contrast(image, contrast)
        image = tv.adjust_saturation(image, saturation)
        return tv.adjust_hue(image, hue)

    expected = each(theirs, x, p["brightness"], p["contrast"], p["saturation"], p["hue"])
    torch.testing.assert_close(t.apply(x, p), expected, atol=2e-5, rtol=0)


def test_greyscale(x):
    ours, theirs = augment.Greyscale().apply(x, on()), tv.rgb_to_grayscale(x, 3)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_blur(size):
    x = torch.rand(N, 3, size, size, generator=generator(3))
    sigma = torch.linspace(0.1, 2, N)
    kernel = 2 * augment.GaussianBlur.radius(size) + 1
    ours = augment.GaussianBlur().apply(x, on(sigma=sigma))
    theirs = each(lambda image, s: tv.gaussian_blur(image, [kernel, kernel], [s, s]), x, sigma)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_solarise(x):
    assert torch.equal(augment.Solarise(0.5).apply(x, on()), tv.solarize(x, 0.5))


def test_equalise():
    x = torch.randint(0, 256, (N, 3, S, S), generator=generator(4), dtype=torch.uint8)
    x[1] = 77  # one value: nothing to make flat
    x[2] //= 8
    ours = (augment.Equalise().apply(x.float() / 255, on()) * 255).round()
    assert torch.equal(ours, each(tv.equalize, x).float())


def test_normalise(x):
    theirs = tv.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(augment.Normalise().apply(x, {}), theirs, atol=1e-6, rtol=0)


def test_undo_is_the_inverse_of_normalise(x):
    t = augment.Normalise()
    torch.testing.assert_close(t.undo(t.apply(x, {})), x, atol=1e-6, rtol=0)


def test_expose_brightens_what_is_dark_and_leaves_the_rest(x):
    x = x.clone()
    x[0], x[1] = 0.0, x[1] / 50
    bright = augment.Expose(0.25).apply(x, {})
    assert torch.equal(bright[0], x[0]) and torch.equal(bright[2:], x[2:])
    torch.testing.assert_close(bright[1], x[1] * (0.25 / x[1].max()))
    with pytest.raises(ValueError, match="expose: least = 1.5; give 0 to 1"):
        augment.Expose(1.5)


# --------------------------------------------------------------------- identity, draws, batches


@each_transform
def test_off_is_exactly_the_image(t, x):
    t = copy.copy(t)
    t.p = 0.0
    p = t.sample(generator(), N, S)
    assert not p["on"].any()
    if t.name == "crop":  # a resize to the same size: weights are 0 and 1
        torch.testing.assert_close(t.apply(x, p), x, atol=1e-6, rtol=0)
    else:
        assert torch.equal(t.apply(x, p), x)


def test_identity_parameters_are_exact(x):
    one, zero = torch.ones(N), torch.zeros(N)
    jitter = on(brightness=one, contrast=one, saturation=one, hue=zero)
    assert torch.equal(augment.ColorJitter().apply(x, jitter), x)
    assert torch.equal(augment.Solarise(1.1).apply(x, on()), x)
    whole = on(extent=torch.ones(N, 2), at=torch.zeros(N, 2), aspect=one)
    assert torch.equal(augment.ResizedCrop(S).apply(x, whole), x)
    still = on(angle=zero, shear=zero, shift=torch.zeros(N, 2), zoom=one)
    torch.testing.assert_close(augment.Affine().apply(x, still), x, atol=1e-5, rtol=0)


@each_transform
def test_draws_are_per_image_and_reproduce(t):
    a, b, c = (t.sample(generator(seed), 64, S) for seed in (5, 5, 6))
    assert all(len(v) == 64 for v in a.values())
    assert all(torch.equal(a[k], b[k]) for k in a)
    moving = [k for k in a if k != "on" and a[k].std() > 0]
    assert all(not torch.equal(a[k], c[k]) for k in moving)
    assert all(len(a[k].unique(dim=0)) > 32 for k in moving)


@each_transform
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_probability(t, p):
    t, n = copy.copy(t), 4000
    t.p = p
    share = t.sample(generator(), n, S)["on"].float().mean()
    assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_draws_keep_their_ranges():
    n = 20_000
    crop = augment.ResizedCrop(S, (0.08, 1))
    top, left, height, width = crop.box(crop.sample(generator(), n, S)).unbind(1)
    assert top.min() >= 0 and (top + height).max() <= 1 + 1e-6
    assert left.min() >= 0 and (left + width).max() <= 1 + 1e-6
    jitter = augment.ColorJitter(0.4, 0.3, 0.2, 0.1, p=0.8).sample(generator(), n, S)
    assert abs(jitter["on"].float().mean() - 0.8) < 4 * math.sqrt(0.16 / n)
    for name, width in (("brightness", 0.4), ("contrast", 0.3), ("saturation", 0.2)):
        low, high = jitter[name].min(), jitter[name].max()
        assert 1 - width <= low < 1 - 0.95 * width
        assert 1 + 0.95 * width < high <= 1 + width


@each_transform
def test_same_image_alone_and_in_a_batch(t, x):
    t = copy.copy(t)
    t.p = 1.0
    p = t.sample(generator(), N, S)
    images = [slice(i, i + 1) for i in range(N)]
    alone = torch.cat([t.apply(x[i], {k: v[i] for k, v in p.items()}) for i in images])
    torch.testing.assert_close(t.apply(x, p), alone, atol=1e-6, rtol=0)


# --------------------------------------------------------------------------------------- others


def test_every_exported_transform_is_tested_here():
    exported = [c for c in vars(augment).values() if isinstance(c, type)]
    transforms = {c for c in exported if issubclass(c, augment.Transform)}
    drawn = {t for t in transforms - {augment.Transform} if t.random}
    assert {type(t) for t in TRANSFORMS} == drawn


@pytest.mark.parametrize(
    "make",
    [
        lambda: augment.HorizontalFlip(1.5),
        lambda: augment.ColorJitter(hue=0.7),
        lambda: augment.ResizedCrop(8, scale=(0.5, 0.1)),
        lambda: augment.Rotation(10, padding="wrap"),
    ],
)
def test_settings_that_cannot_be_meant(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize("wrong", [{"padding": "mirror"}, {"centre": "middle"}])
def test_affine_names_what_it_knows(wrong):
    with pytest.raises(ValueError, match=f"affine: unknown {next(iter(wrong))} .*choose"):
        augment.Affine(**wrong)

"""A pipeline: its groups, its presets, and its affine maps, which resample an image once."""

import math

import pytest
import torch

from msr import augment
from msr.augment import PRESETS, Pipeline, pipelines, spatial
from msr.augment.mass import mass_centre, mass_covariance
from msr.augment.presets import SPRITE_PRESETS
from msr.data import dsprites
from msr.views import Views

S = 16


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --------------------------------------------------------------------------- groups and presets


def test_groups_are_the_declared_ones_then_the_transforms_names():
    query, _ = pipelines("strong", S)
    declared = ("spatial", "affine", "appearance", "color", "texture")
    names = ("crop", "flip", "rotation", "jitter", "greyscale", "blur", "solarise")
    assert query.groups == (*declared, *names)  # normalise draws nothing, so it is in no group
    assert query.group("spatial") == ("crop", "flip", "rotation")
    assert query.group("affine") == ("flip", "rotation")
    assert query.group("appearance") == ("jitter", "greyscale", "blur", "solarise")
    assert query.group("color") == ("jitter", "greyscale", "solarise")
    assert query.group("texture") == query.group("blur") == ("blur",)


def test_a_transforms_own_name_wins_over_a_group_of_that_name():
    both = Pipeline([augment.Rotation(10), augment.Affine(10), augment.ResizedCrop(S)])
    assert both.groups == ("spatial", "affine", "rotation", "crop")
    assert both.group("affine") == ("affine",)
    assert both.group("spatial") == ("rotation", "affine", "crop")
    assert Pipeline([augment.Rotation(10), augment.HorizontalFlip()]).group("affine") == (
        "rotation",
        "flip",
    )


def test_a_transform_stands_once():
    with pytest.raises(ValueError, match="each transform may stand once .* flip, blur, flip"):
        Pipeline([augment.HorizontalFlip(), augment.GaussianBlur(), augment.HorizontalFlip()])


@pytest.mark.parametrize("preset", [*PRESETS.values(), *SPRITE_PRESETS.values()])
def test_query_and_key_of_a_preset_hold_the_same_transforms(preset):
    query, key = pipelines(preset, S)
    assert list(query.transforms) == list(key.transforms)
    assert list(query.transforms)[-1] == "normalise"


def test_a_preset_of_ones_own():
    def own(size):
        return [
            augment.ResizedCrop(size),
            (augment.GaussianBlur(p=1.0), augment.GaussianBlur(p=0.0)),
        ]

    query, key = pipelines(own, S)
    assert query.transforms["crop"].size == key.transforms["crop"].size == S
    assert (query.transforms["blur"].p, key.transforms["blur"].p) == (1.0, 0.0)


def test_unknown_preset():
    with pytest.raises(ValueError, match="did you mean 'medium'"):
        pipelines("medum", S)


# ---------------------------------------------------------------------------------- affine maps


def sprite(rows, columns, size=48):
    """A white box on black ground, [1, 3, size, size]."""
    x = torch.zeros(1, 3, size, size)
    x[:, :, rows, columns] = 1.0
    return x


@pytest.mark.parametrize("centre", ["image", "mass"])
def test_neighbouring_affine_transforms_are_one_resampling(centre):
    """On a smooth image three maps at once equal three in turn, up to their interpolation."""
    axis = torch.linspace(-1, 1, 96)
    x = torch.exp(-((axis[None, :] - 0.1) ** 2 + 2 * (axis[:, None] + 0.15) ** 2) / 0.1)
    x = x.expand(4, 3, 96, 96).contiguous()
    steps = [
        augment.Zoom((0.8, 1.3), centre=centre),
        augment.Rotation(180, centre=centre),
        augment.Translate(0.15, centre=centre),
    ]
    pipeline = Pipeline([*steps, augment.Solarise(p=0.0)])
    params = pipeline.sample(generator(3), 4, 96)
    params["rotation"]["on"][1] = False
    in_turn = x
    for t in steps:
        in_turn = t.apply(in_turn, params[t.name])
    torch.testing.assert_close(pipeline.apply(x, params), in_turn, atol=0.03, rtol=0)
    for p in params.values():
        p["on"][:] = False
    assert torch.equal(pipeline.apply(x, params), x)  # nothing on: unchanged, to the bit


@pytest.mark.parametrize("size", [40, 12])  # larger boxes and smaller ones than the views
def test_a_crop_and_its_flips_are_one_resampling(size, monkeypatch):
    x = torch.rand(8, 3, 32, 24, generator=generator(1))
    steps = [augment.ResizedCrop(size), augment.HorizontalFlip(), augment.VerticalFlip()]
    pipeline = Pipeline(steps)
    params = pipeline.sample(generator(2), 8, 32)
    assert 0 < params["flip"]["on"].sum() < 8
    in_turn = x
    for t in steps:
        in_turn = t.apply(in_turn, params[t.name])
    monkeypatch.setattr(spatial.Flip, "change", None)  # no flip by itself
    torch.testing.assert_close(pipeline.apply(x, params), in_turn, atol=1e-5, rtol=0)


def test_flips_before_a_crop_are_flips():
    x = torch.rand(4, 3, 16, 16, generator=generator(1))
    pipeline = Pipeline([augment.HorizontalFlip(1.0), augment.ResizedCrop(16, p=0.0)])
    out = pipeline.apply(x, pipeline.sample(generator(), 4, 16))
    assert torch.equal(out, x.flip(3))


class Seen(augment.Solarise):
    """Remembers how many images passed through it."""

    def change(self, x, params):
        self.n = len(x)
        return super().change(x, params)


def test_on_a_cpu_only_images_that_drew_a_transform_pass_through_it():
    x = torch.rand(200, 3, 4, 4, generator=generator(1))
    t = Seen(p=0.1)
    params = t.sample(generator(), 200, 4)
    t.apply(x, params)
    assert 0 < t.n == params["on"].sum() < 50


@pytest.mark.parametrize("preset", [*PRESETS, *SPRITE_PRESETS])
def test_a_pipeline_leaves_its_images_as_they_are_unless_told(preset):
    pipeline, _ = pipelines((PRESETS | SPRITE_PRESETS)[preset], S)
    x = torch.rand(20, 3, S, S, generator=generator(1))
    before, params = x.clone(), pipeline.sample(generator(), 20, S)
    out = pipeline.apply(x, params)
    assert torch.equal(x, before)
    assert torch.equal(out, pipeline.apply(x, params, inplace=True))


class Turn(augment.Transform):
    """Returns a view of the images that it is given."""

    name = "box"  # as a group might be called in the code

    def change(self, x, params):
        return x.transpose(2, 3)


class Grey(augment.Transform):
    """Returns one value for several pixels, and overrides `apply` without `inplace`."""

    name = "grey"

    def apply(self, x, params):
        return x[:, :1].expand_as(x)


@pytest.mark.parametrize("own", [Turn(), Grey()])
def test_images_are_not_overwritten_through_a_view_of_them(own):
    x = torch.rand(4, 3, 16, 16, generator=generator(1))
    pipeline = Pipeline([own, augment.Solarise(p=0.5), augment.ResizedCrop(8), augment.Normalise()])
    before, params = x.clone(), pipeline.sample(generator(), 4, 16)
    out = pipeline.apply(x, params)
    assert torch.equal(x, before) and out.shape == (4, 3, 8, 8)
    in_turn = x
    for t in pipeline.transforms.values():
        in_turn = t.apply(in_turn, params[t.name])
    torch.testing.assert_close(out, in_turn, atol=1e-5, rtol=0)
    assert torch.equal(out, pipeline.apply(x.clone(), params, inplace=True))


class Blank(augment.ResizedCrop):
    """A crop of which nothing is left."""

    def apply(self, x, params, inplace=False):
        return super().apply(x, params).mul(0)


class FromTheEnd(spatial.Flip):
    """Exchanges left and right, whose axis is counted from the end."""

    name, axis = "from_the_end", -1


def test_crops_and_flips_of_ones_own_are_what_they_say():
    x = torch.rand(4, 3, 16, 16, generator=generator(1))
    blank, mirrored = Pipeline([Blank(16)]), Pipeline([augment.ResizedCrop(16), FromTheEnd(1.0)])
    assert not blank.apply(x, blank.sample(generator(), 4, 16)).any()
    params = mirrored.sample(generator(), 4, 16)
    cropped = augment.ResizedCrop(16).apply(x, params["crop"])
    torch.testing.assert_close(mirrored.apply(x, params), cropped.flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("preset", ["medium", "shapes"])
def test_views_can_be_differentiated(preset):
    pipeline, _ = pipelines(preset, 16)
    x = torch.rand(6, 3, 16, 16, generator=generator(1), requires_grad=True)
    pipeline.apply(x, pipeline.sample(generator(), 6, 16)).square().sum().backward()
    assert x.grad.isfinite().all() and (x.grad.flatten(1).norm(dim=1) > 0).all()


def test_views_are_float32_under_autocast():
    pipeline, _ = pipelines("medium", 16)
    x, params = torch.rand(6, 3, 16, 16), pipeline.sample(generator(), 6, 16)
    with torch.autocast("cpu", torch.bfloat16):
        under = pipeline.apply(x, params)
    assert torch.equal(under, pipeline.apply(x, params))


def test_parameters_of_another_number_of_images():
    t = augment.Solarise()
    with pytest.raises(ValueError, match="parameters of 1 images for a batch of 4; draw 4"):
        t.apply(torch.rand(4, 3, 8, 8), t.sample(generator(), 1, 8))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_colours_of_other_floats(dtype):
    x = torch.rand(6, 3, 8, 8, generator=generator(1)).round(decimals=2)
    x[0] = 0.5  # grey
    for t in (augment.ColorJitter(hue=0.5, p=0.5), augment.Greyscale(0.5)):
        params = t.sample(generator(), 6, 8)
        out = t.apply(x.to(dtype), params)
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), t.apply(x, params), atol=0.05, rtol=0)
    assert augment.luma((x * 255).to(torch.uint8)).max() > 1


def test_about_the_mass_an_object_stays_where_it_is():
    x = sprite(slice(8, 14), slice(30, 40))
    before = mass_centre(x)
    torch.testing.assert_close(before, torch.tensor([[35 / 48 - 0.5, 11 / 48 - 0.5]]))

    turn = augment.Affine(degrees=180, zoom=(0.5, 0.9), centre="mass")
    params = turn.sample(generator(), 1, 48)
    after = mass_centre(turn.apply(x, params))
    torch.testing.assert_close(after, before, atol=0.01, rtol=0)
    about_the_image = augment.Affine(degrees=180, zoom=(0.5, 0.9)).apply(x, params)
    assert (mass_centre(about_the_image) - before).norm() > 0.05

    shift = augment.Translate(0.1, centre="mass")
    params = shift.sample(generator(1), 1, 48)
    moved = mass_centre(shift.apply(x, params)) - before
    torch.testing.assert_close(moved, params["shift"], atol=0.01, rtol=0)


def test_the_mass_centre_of_a_black_image_is_its_middle():
    assert torch.equal(mass_centre(torch.zeros(1, 3, 5, 5)), torch.zeros(1, 2))


def test_a_place_reveals_nothing_of_the_place_before():
    """Two sprites that stood apart are put at one place; later turns leave them there.

    A sprite whose place is off stays where it was.
    """
    x = torch.cat([sprite(slice(8, 14), slice(30, 40)), sprite(slice(30, 36), slice(6, 16))])
    zoom, turn = augment.Zoom((0.5, 0.9), centre="mass"), augment.Rotation(180, centre="mass")
    pipeline = Pipeline([zoom, augment.Place(0.25), turn])
    assert pipeline.group("translation") == ("translation",)
    params = pipeline.sample(generator(), 2, 48)
    place = params["translation"]
    place["shift"][1] = place["shift"][0]
    centres = mass_centre(pipeline.apply(x, params))
    torch.testing.assert_close(centres, place["shift"], atol=0.01, rtol=0)

    place["on"][1] = False
    after = mass_centre(pipeline.apply(x, params))
    expected = torch.stack([centres[0], mass_centre(x)[1]])
    torch.testing.assert_close(after, expected, atol=0.01, rtol=0)


def test_transforms_about_different_centres_are_not_joined():
    turn, shift = augment.Rotation(90), augment.Translate(0.2, centre="mass")
    pipeline, x = Pipeline([turn, shift]), sprite(slice(8, 14), slice(30, 40))
    params = pipeline.sample(generator(2), 1, 48)
    in_turn = shift.apply(turn.apply(x, params["rotation"]), params["translation"])
    torch.testing.assert_close(pipeline.apply(x, params), in_turn, atol=1e-4, rtol=0)


def test_no_view_of_a_sprite_is_all_but_black():
    """Without `Expose` a dozen of 2,000 views are darker than 0.15; with it none is below 0.25."""
    sprites = dsprites.render(dsprites.values_of(dsprites.classes_of(dsprites.draw(2000, 0))), 32)
    *steps, expose, _ = SPRITE_PRESETS["strong"](32)
    pipeline = Pipeline(steps)
    views = pipeline.apply(sprites, pipeline.sample(generator(), 2000, 32))
    before, after = (x.amax(dim=(1, 2, 3)) for x in (views, expose.apply(views, {})))
    assert 8 <= (before < 0.15).sum() <= 16
    assert after.min() > 0.2499
    assert torch.equal(after[before > 0.25], before[before > 0.25])


def size(x):
    """The size of each object [B], as `Size` draws it."""
    return mass_covariance(x, mass_centre(x)).diagonal(dim1=1, dim2=2).sum(1).sqrt()


def test_the_size_of_a_box_is_known():
    """That of a box of 6 × 10 pixels is the root of its variances, (n² − 1) / 12 on each axis."""
    x = sprite(slice(8, 14), slice(30, 40))
    assert size(x).item() == pytest.approx(math.sqrt((35 + 99) / 12) / 48)
    assert size(torch.zeros(1, 3, 5, 5)) == 0


def test_a_size_reveals_nothing_of_the_size_before():
    """A small and a large sprite are brought to one size, after a zoom and before a turn.

    A sprite whose size is off keeps it, and a black image stays black.
    """
    x = torch.cat([sprite(slice(10, 16), slice(20, 26)), sprite(slice(10, 30), slice(20, 40))])
    x = torch.cat([x, torch.zeros(1, 3, 48, 48)])
    steps = [augment.Place(0.05), augment.Size((0.1, 0.2)), augment.Rotation(180, centre="mass")]
    pipeline = Pipeline(steps)
    params = pipeline.sample(generator(), 3, 48)
    drawn = params["zoom"]["zoom"]
    drawn[1] = drawn[0]
    out = pipeline.apply(x, params)
    torch.testing.assert_close(size(out)[:2], drawn[:2], atol=0.005, rtol=0)
    assert out.isfinite().all() and out[2].max() == 0
    params["zoom"]["on"][1] = False
    assert size(pipeline.apply(x, params))[1] == pytest.approx(size(x)[1].item(), abs=0.005)


# ------------------------------------------------------------------------------ how images lie


@pytest.mark.parametrize("preset", PRESETS)
def test_views_lie_as_convolutions_read_them(preset):
    """So a training step need not copy them."""
    pipes = pipelines(preset, S)
    unlike = (pipes[0], Pipeline([*list(pipes[0].transforms.values())[:-1], Halved()]))
    for pair in (pipes, unlike):
        x = Views(*pair, ("appearance",))(torch.rand(4, 3, S, S), generator()).flatten(0, 1)
        assert x.is_contiguous(memory_format=torch.channels_last)


class Halved(augment.Normalise):
    """Another last transform, without a kernel."""

    def apply(self, x, params, inplace=False):
        return x / 2


def test_a_pipeline_of_nothing_gives_the_rows_as_floats():
    x = torch.randint(0, 256, (3, 3, S, S), dtype=torch.uint8)
    which = torch.tensor([2, 0, 0, 1])
    assert torch.equal(Pipeline([]).apply(x, {}, which=which), x[which].float() / 255)

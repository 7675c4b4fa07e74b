"""Sprites: exact indices, a fixed split, pictures against a slow reference, the original's file."""

import math
import time

import numpy as np
import pytest
import torch

from msr.data import dsprites, dsprites_file

HELD = [3, 7, 8, 9, 21, 25, 46, 47, 53, 57, 61, 63]  # which of the first 64 indices are held out


def some_indices(n, seed):
    return torch.randint(dsprites.N, (n,), generator=torch.Generator().manual_seed(seed))


def test_index_and_factors_round_trip():
    index = torch.cat([torch.arange(3000), torch.tensor([dsprites.N - 1]), some_indices(5000, 0)])
    classes = dsprites.classes_of(index)
    assert torch.equal(dsprites.index_of(classes), index)
    for name, digits in classes.items():
        assert 0 <= int(digits.min()) and int(digits.max()) < dsprites.RADIX[name]
    assert dsprites.N == 10 * 737_280 and dsprites.N_WHITE == 737_280
    with pytest.raises(ValueError, match="outside 0"):
        dsprites.classes_of(torch.tensor([dsprites.N]))


def test_the_order_is_the_originals():
    """y changes fastest, then x, orientation, scale, shape."""
    steps = {}
    for factor in dsprites.RADIX:
        one = {name: torch.tensor([int(name == factor)]) for name in dsprites.RADIX}
        steps[factor] = int(dsprites.index_of(one))
    spatial = {"scale": 40_960, "orientation": 1024, "x": 32, "y": 1}
    assert steps == {"color": 737_280, "shape": 245_760, **spatial}


def test_values_are_the_originals():
    classes = {k: torch.tensor([0, n - 1]) for k, n in dsprites.RADIX.items()}
    values = dsprites.values_of(classes)
    assert values["scale"].tolist() == [0.5, 1.0] and values["x"].tolist() == [0.0, 1.0]
    torch.testing.assert_close(values["orientation"], torch.tensor([0.0, 2 * math.pi]))
    torch.testing.assert_close(values["color"][0] * 255, torch.tensor([0x1F, 0x77, 0xB4]).float())


# -------------------------------------------------------------------------------------- the split


def test_draws_of_the_two_sides_are_distinct_and_seeded():
    train, test = dsprites.draw(4000, 0), dsprites.draw(4000, 0, test=True)
    assert len(set(train.tolist())) == len(set(test.tolist())) == 4000
    assert not set(train.tolist()) & set(test.tolist())
    assert torch.equal(train, dsprites.draw(4000, 0))
    assert not torch.equal(train, dsprites.draw(4000, 1))
    with pytest.raises(ValueError, match="give fewer"):
        dsprites.draw(dsprites.N, 0)


def test_the_split_is_stable_and_even():
    index = some_indices(200_000, 1)
    held, classes = dsprites.is_test(index), dsprites.classes_of(index)
    for name, n in dsprites.RADIX.items():  # 4.5 standard errors of a share of 0.1
        share = torch.stack([held[classes[name] == j].float().mean() for j in range(n)])
        assert (share - 0.1).abs().max() < 4.5 * math.sqrt(0.09 * n / len(index)), name
    # the same on every machine, for ever
    assert dsprites.is_test(torch.arange(64)).nonzero()[:, 0].tolist() == HELD
    # orientations 0 and 2π look alike
    sides = []
    for orientation in (0, 39):
        turned = classes | {"orientation": torch.full_like(index, orientation)}
        sides.append(dsprites.is_test(dsprites.index_of(turned)))
    assert torch.equal(*sides)


# --------------------------------------------------------------------------------------- pictures


def inside(shape: str, x: float, y: float) -> bool:
    """Whether a point of the sprite's own frame lies in the shape, from its definition."""
    if shape == "square":
        return max(abs(x), abs(y)) < math.sqrt(0.5)
    if shape == "ellipse":
        return x**2 + (2 * y) ** 2 < 1
    # a square on its corner, with half discs on its upper sides
    x, y = abs(x * 1.15 / 1.7), 0.55 - y * 1.15 / 1.7
    return (x + y < 1 and y > x) or (x - 0.25) ** 2 + (y - 0.75) ** 2 < 1 / 8


def coverage(shape: str, size: int, fine: int) -> np.ndarray:
    """The share of each pixel inside the sprite of the next test, fine × fine points a pixel."""
    mean = np.zeros((size, size))
    cos, sin, radius = math.cos(0.7), math.sin(0.7), 0.23 * 0.9
    for row in range(size * fine):
        for column in range(size * fine):
            dx = (column + 0.5) / (size * fine) - (0.25 + 0.5 * 0.3)
            dy = (row + 0.5) / (size * fine) - (0.25 + 0.5 * 0.6)
            u, v = cos * dx + sin * dy, cos * dy - sin * dx
            mean[row // fine, column // fine] += inside(shape, u / radius, v / radius) / fine**2
    return mean


@pytest.mark.parametrize("i", range(3))
def test_render_against_a_slow_reference(i):
    values = {
        "shape": torch.tensor([i]),
        "scale": torch.tensor([0.9]),
        "orientation": torch.tensor([0.7]),
        "x": torch.tensor([0.3]),
        "y": torch.tensor([0.6]),
        "color": torch.tensor([[1.0, 0.5, 0.25]]),
    }
    mean = coverage(dsprites.SHAPES[i], size=32, fine=8)
    image = dsprites.render(values, 32)[0]
    error = np.abs(image[0].numpy() - mean)
    # rendered corners are softer than their coverage
    assert error.max() < 0.3 and error.mean() < 0.004 and mean.sum() > 40
    torch.testing.assert_close(image[1], image[0] / 2)


def test_every_sprite_stays_in_view():
    index = dsprites.draw(2000, 3)
    x = dsprites.render(dsprites.values_of(dsprites.classes_of(index)))
    border = torch.cat([x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]], dim=-1)
    assert border.max() == 0 and x.amax(dim=(1, 2, 3)).min() > 0.4


def test_orientations_one_period_apart_look_alike():
    shape = torch.arange(3)
    centre = {"x": torch.full((3,), 0.5), "y": torch.full((3,), 0.5)}
    base = {**centre, "shape": shape, "scale": torch.ones(3), "color": torch.ones(3, 3)}
    angle, period = torch.full((3,), 0.4), 2 * math.pi / torch.tensor(dsprites.SYMMETRY)

    def render(orientation):
        return dsprites.render({**base, "orientation": orientation})

    torch.testing.assert_close(render(angle), render(angle + period), atol=1e-4, rtol=0)
    a, b = dsprites.turns(angle, shape), dsprites.turns(angle + period, shape)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    # half a period apart they look different
    assert ((render(angle) - render(angle + period / 2)).abs().sum((1, 2, 3)) > 50).all()


def test_rendering_is_fast():
    values = dsprites.values_of(dsprites.classes_of(dsprites.draw(1024, 0)))
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        dsprites.render(values)
        best = min(best, time.perf_counter() - start)
    assert best < 0.6  # 0.11 s on two idle cores; the rest is for one thread and busy neighbours


def test_contact_sheet_changes_one_factor_per_row():
    rows = dsprites.contact_sheet(32, columns=6)
    assert [name.split()[0] for name in rows] == list(dsprites.RADIX)
    for x in rows.values():
        assert len(x) <= 6
        assert all((x[0] - x[i]).abs().max() > 0.1 for i in range(1, len(x) - 1))


def test_load_gives_labels_and_factors():
    train, val = dsprites.load(60, 40, size=32)
    assert train.pixels.shape == (60, 3, 32, 32) and train.pixels.dtype == torch.uint8
    assert set(train.labels) == {"shape", "color"} and len(val) == 40
    assert train.factors["orientation"].shape == (60, 2)
    assert torch.equal(train.pick(torch.tensor([3])).pixels[0], train.pixels[3])
    free, _ = dsprites.load(60, 40, size=32, continuous=True)
    assert set(free.labels) == {"shape"} and "hue" in free.factors
    assert len(free.factors["x"].unique()) == 60


# ---------------------------------------------------------------------------- the original's file


def tiny(path, n=200, **changes):
    """A file in the form of the original: n rows of its order, drawn at random."""
    order = torch.randperm(dsprites.N_WHITE, generator=torch.Generator().manual_seed(0))
    classes = dsprites.classes_of(order[:n].sort().values)
    white = {**dsprites.values_of(classes), "color": torch.ones(n, 3)}
    table = np.stack([classes[k].numpy() for k in dsprites.RADIX], axis=1)
    fields = {
        "imgs": (dsprites.render(white)[:, 0] > 0.5).byte().numpy(),
        "latents_classes": table,
        "latents_values": table.astype(float),
        "metadata": np.array({"title": "dSprites"}, dtype=object),
    } | changes
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})
    return str(path)


def test_the_originals_file(tmp_path):
    """Pixels, factors and colours belong together."""
    path = tiny(tmp_path / "tiny.npz")
    masks, classes = dsprites_file.read(path)
    assert masks.shape == (200, 64, 64) and masks.max() == 1 and classes["color"].max() == 0
    train, val = dsprites.load(100, 50, npz=path)
    index, _ = dsprites.draw_rows(classes, 100, 0, False)
    ours = dsprites.values_of(dsprites.classes_of(index))
    white = dsprites.render({**ours, "color": torch.ones(100, 3)}) > 0.5
    expected = (white * ours["color"][:, :, None, None] * 255).round().byte()
    assert torch.equal(train.pixels, expected) and len(val) == 50


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"imgs": None}, "no field 'imgs'"),
        ({"latents_classes": np.zeros((200, 5), int)}, "dSprites has"),
        ({"latents_classes": np.full((200, 6), 99)}, "out of range"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        dsprites_file.read(tiny(tmp_path / "wrong.npz", **changes))


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="is not there"):
        dsprites_file.read(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read"):
        dsprites_file.read(str(tmp_path / "text.npz"))
    with pytest.raises(ValueError, match="side, not 5000"):
        dsprites.load(5000, 10, npz=tiny(tmp_path / "tiny.npz"))

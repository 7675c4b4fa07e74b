"""Sprites: exact indices, a split that never moves, pictures against a slow reference, the original's file."""
import math
import time

import numpy as np
import pytest
import torch

from msr.data import sprites

HELD = [3, 7, 8, 9, 21, 25, 46, 47, 53, 57, 61, 63]           # which of the first 64 indices are held out


def test_index_and_factors_round_trip():
    index = torch.cat([torch.arange(3000), torch.tensor([sprites.N - 1]), torch.randint(sprites.N, (5000,), generator=torch.Generator().manual_seed(0))])
    classes = sprites.classes_of(index)
    assert torch.equal(sprites.index_of(classes), index)
    assert all(0 <= int(v.min()) and int(v.max()) < sprites.RADIX[k] for k, v in classes.items())
    assert sprites.N == 10 * 737_280 and sprites.N_WHITE == 737_280
    # the original's order: y fastest, then x, orientation, scale, shape
    step = {k: int(sprites.index_of({n: torch.tensor([int(n == k)]) for n in sprites.RADIX})) for k in sprites.RADIX}
    assert step == {"color": 737_280, "shape": 245_760, "scale": 40_960, "orientation": 1024, "x": 32, "y": 1}
    with pytest.raises(ValueError, match="outside 0"):
        sprites.classes_of(torch.tensor([sprites.N]))


def test_values_are_the_originals():
    classes = {k: torch.tensor([0, n - 1]) for k, n in sprites.RADIX.items()}
    values = sprites.values_of(classes)
    assert values["scale"].tolist() == [0.5, 1.0] and values["x"].tolist() == [0.0, 1.0]
    torch.testing.assert_close(values["orientation"], torch.tensor([0.0, 2 * math.pi]))
    torch.testing.assert_close(values["color"][0] * 255, torch.tensor([0x1F, 0x77, 0xB4]).float())


def test_split_is_disjoint_stable_and_even():
    train, test = sprites.draw(4000, 0), sprites.draw(4000, 0, test=True)
    assert len(set(train.tolist())) == len(set(test.tolist())) == 4000 and not set(train.tolist()) & set(test.tolist())
    assert torch.equal(train, sprites.draw(4000, 0)) and not torch.equal(train, sprites.draw(4000, 1))
    index = torch.randint(sprites.N, (200_000,), generator=torch.Generator().manual_seed(1))
    held, classes = sprites.is_test(index), sprites.classes_of(index)
    for name, n in sprites.RADIX.items():                     # 4.5 standard errors of a share of 0.1
        share = torch.stack([held[classes[name] == j].float().mean() for j in range(n)])
        assert (share - 0.1).abs().max() < 4.5 * math.sqrt(0.09 * n / len(index)), name
    assert sprites.is_test(torch.arange(64)).nonzero()[:, 0].tolist() == HELD                  # the same on every machine, for ever
    first, last = sprites.classes_of(index) | {"orientation": torch.zeros_like(index)}, sprites.classes_of(index) | {"orientation": torch.full_like(index, 39)}
    assert torch.equal(sprites.is_test(sprites.index_of(first)), sprites.is_test(sprites.index_of(last)))
    with pytest.raises(ValueError, match="give fewer"):
        sprites.draw(sprites.N, 0)


def inside(shape: str, x: float, y: float) -> bool:
    """Whether a point of the sprite's own frame lies in the shape, from its definition."""
    if shape == "square":
        return max(abs(x), abs(y)) < math.sqrt(0.5)
    if shape == "ellipse":
        return x**2 + (2 * y)**2 < 1
    x, y = abs(x * 1.15 / 1.7), 0.55 - y * 1.15 / 1.7         # a square on its corner, half discs on its upper sides
    return (x + y < 1 and y > x) or (x - 0.25)**2 + (y - 0.75)**2 < 1 / 8


@pytest.mark.parametrize("i", range(3))
def test_render_against_a_slow_reference(i):
    size, fine = 32, 8
    values = {"shape": torch.tensor([i]), "scale": torch.tensor([0.9]), "orientation": torch.tensor([0.7]), "x": torch.tensor([0.3]),
              "y": torch.tensor([0.6]), "color": torch.tensor([[1.0, 0.5, 0.25]])}
    mean = np.zeros((size, size))
    for row in range(size * fine):                            # 64 points per pixel, one at a time
        for column in range(size * fine):
            dx, dy = (column + 0.5) / (size * fine) - (0.25 + 0.5 * 0.3), (row + 0.5) / (size * fine) - (0.25 + 0.5 * 0.6)
            u, v = math.cos(0.7) * dx + math.sin(0.7) * dy, math.cos(0.7) * dy - math.sin(0.7) * dx
            mean[row // fine, column // fine] += inside(sprites.SHAPES[i], u / (0.23 * 0.9), v / (0.23 * 0.9)) / fine**2
    image = sprites.render(values, size)[0]
    error = np.abs(image[0].numpy() - mean)
    assert error.max() < 0.3 and error.mean() < 0.004 and mean.sum() > 40                      # corners are softer than their coverage
    torch.testing.assert_close(image[1], image[0] / 2)


def test_every_sprite_stays_in_view_and_symmetry_holds():
    index = sprites.draw(2000, 3)
    x = sprites.render(sprites.values_of(sprites.classes_of(index)))
    border = torch.cat([x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]], dim=-1)
    assert border.max() == 0 and x.amax(dim=(1, 2, 3)).min() > 0.4
    base = {"scale": torch.ones(3), "x": torch.full((3,), 0.5), "y": torch.full((3,), 0.5), "color": torch.ones(3, 3), "shape": torch.arange(3)}
    angle = torch.full((3,), 0.4)
    turned = angle + 2 * math.pi / torch.tensor(sprites.SYMMETRY)
    torch.testing.assert_close(sprites.render({**base, "orientation": angle}), sprites.render({**base, "orientation": turned}), atol=1e-4, rtol=0)
    torch.testing.assert_close(sprites.turns(angle, base["shape"]), sprites.turns(turned, base["shape"]), atol=1e-5, rtol=0)
    half = angle + math.pi / torch.tensor(sprites.SYMMETRY)   # half of the period looks different
    assert ((sprites.render({**base, "orientation": angle}) - sprites.render({**base, "orientation": half})).abs().sum((1, 2, 3)) > 50).all()


def test_rendering_is_fast():
    values = sprites.values_of(sprites.classes_of(sprites.draw(1024, 0)))
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        sprites.render(values)
        best = min(best, time.perf_counter() - start)
    assert best < 0.6                                         # 0.11 s on two idle cores, with one thread and busy neighbours allowed for


def test_load_gives_labels_and_factors():
    train, test = sprites.load(60, 40, size=32)
    assert train.pixels.shape == (60, 3, 32, 32) and train.pixels.dtype == torch.uint8 and len(test) == 40
    assert set(train.labels) == {"shape", "color"} and train.factors["orientation"].shape == (60, 2)
    assert torch.equal(train.pick(torch.tensor([3])).pixels[0], train.pixels[3])
    free, _ = sprites.load(60, 40, size=32, continuous=True)
    assert set(free.labels) == {"shape"} and len(free.factors["x"].unique()) == 60 and "hue" in free.factors


def tiny(path, n=200, **changes):
    """A file in the form of the original: n rows of its order, some drawn."""
    index = torch.randperm(sprites.N_WHITE, generator=torch.Generator().manual_seed(0))[:n].sort().values
    classes = sprites.classes_of(index)
    white = {**sprites.values_of(classes), "color": torch.ones(n, 3)}
    table = np.stack([classes[k].numpy() for k in sprites.RADIX], axis=1)
    fields = {"imgs": (sprites.render(white)[:, 0] > 0.5).byte().numpy(), "latents_classes": table, "latents_values": table.astype(float),
              "metadata": np.array({"title": "dSprites"}, dtype=object)} | changes
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})
    return str(path)


def test_the_originals_file(tmp_path):
    path = tiny(tmp_path / "tiny.npz")
    masks, classes = sprites.read_npz(path)
    assert masks.shape == (200, 64, 64) and masks.max() == 1 and classes["color"].max() == 0
    train, test = sprites.load(100, 50, npz=path)
    ours = sprites.values_of({k: v for k, v in sprites.classes_of(sprites.draw_rows(classes, 100, 0, False)[0]).items()})
    expected = ((sprites.render({**ours, "color": torch.ones(100, 3)}) > 0.5) * ours["color"][:, :, None, None] * 255).round().byte()
    assert torch.equal(train.pixels, expected) and len(test) == 50                           # pixels, factors and colours belong together


@pytest.mark.parametrize("changes, message", [
    ({"imgs": None}, "no field 'imgs'"), ({"latents_classes": np.zeros((200, 5), int)}, "dSprites has"),
    ({"latents_classes": np.full((200, 6), 99)}, "out of range")])
def test_a_wrong_file_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        sprites.read_npz(tiny(tmp_path / "wrong.npz", **changes))


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="is not there"):
        sprites.read_npz(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read"):
        sprites.read_npz(str(tmp_path / "text.npz"))
    with pytest.raises(ValueError, match="side, not 5000"):
        sprites.load(5000, 10, npz=tiny(tmp_path / "tiny.npz"))


def test_contact_sheet_changes_one_factor_per_row():
    rows = sprites.contact_sheet(32, columns=6)
    assert [name.split()[0] for name in rows] == list(sprites.RADIX) and all(len(x) <= 6 for x in rows.values())
    assert all((x[0] - x[i]).abs().max() > 0.1 for x in rows.values() for i in range(1, len(x) - 1))

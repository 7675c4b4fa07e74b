"""The linear probe of the field on features whose answer is known, and on image files."""

import math
import shutil

import pytest
import small
import torch
from small import imagenet_setup
from torch import nn

from msr.data import images
from msr.evaluate import linear, linear_probe
from msr.report import sentences, tables


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A sweep short enough for tests."""
    monkeypatch.setattr(linear, "EPOCHS", 4)
    monkeypatch.setattr(linear, "RATES", (0.01, 0.3))


def clusters(n, classes, seed):
    """Features [n, 2 · classes] of which half are one-hot with noise and half noise; labels [n]."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    noise = torch.randn(n, 2 * classes, generator=generator)
    return nn.functional.one_hot(y, 2 * classes) + 0.05 * noise, y


@pytest.mark.parametrize("half", [False, True])
def test_separable_clusters_are_all_right(half):
    (x, y), (x_test, y_test) = clusters(300, 10, 0), clusters(100, 10, 1)
    x, x_test = (z.half() if half else z for z in (x, x_test))
    assert linear.top_k(x, y, x_test, y_test, 10) == (1.0, 1.0)
    assert linear.top_k(1000 * x, y, 1000 * x_test, y_test, 10) == (1.0, 1.0), "any scale"


def test_top_5_of_five_classes_is_one_and_of_noise_a_half():
    x, x_test = (torch.randn(n, 4, generator=torch.Generator().manual_seed(n)) for n in (300, 2000))
    y, y_test = torch.arange(300), torch.arange(2000)
    top1, top5 = linear.top_k(x, y % 5, x_test, y_test % 5, 5)
    assert top5 == 1.0 and top1 == pytest.approx(0.2, abs=0.05)
    top1, top5 = linear.top_k(x, y % 10, x_test, y_test % 10, 10)
    assert (top1, top5) == (pytest.approx(0.1, abs=0.05), pytest.approx(0.5, abs=0.06))


def test_accuracies_by_hand():
    """Logits are the features: the label of row i is ranked i-th."""
    head = nn.Linear(7, 7)
    nn.init.eye_(head.weight)
    nn.init.zeros_(head.bias)
    x = torch.arange(7.0).flip(0).expand(7, 7)  # class 0 first, class 6 last
    found = linear.accuracies(head, (torch.zeros(7), torch.ones(7)), x, torch.arange(7))
    assert found == pytest.approx((1 / 7, 5 / 7))


def test_the_scored_images_choose_nothing(monkeypatch):
    """The rate is chosen, and the layer fitted, without a look at them."""
    (x, y), fitted, fit = clusters(200, 4, 0), [], linear.fit

    def watched(x, y, rows, classes, rates, *rest):
        heads, scale = fit(x, y, rows, classes, rates, *rest)
        fitted.append((len(rows), list(rates), heads[-1].weight.detach().clone()))
        return heads, scale

    monkeypatch.setattr(linear, "fit", watched)
    for test in (clusters(50, 4, 1), (torch.zeros(50, 8), torch.zeros(50, dtype=torch.long))):
        linear.top_k(x, y, *test, 4)
    sweep, final, again, final_again = fitted
    assert sweep[:2] == (180, list(linear.RATES)) and final[0] == 200 and len(final[1]) == 1
    assert torch.equal(sweep[2], again[2]) and torch.equal(final[2], final_again[2])


def test_layers_fitted_at_once_are_those_fitted_alone():
    x, y = clusters(100, 4, 0)
    rows = torch.arange(100)
    both, scale = linear.fit(x, y, rows, 4, [0.01, 0.3], torch.Generator().manual_seed(3), "cpu")
    for rate, head in zip((0.01, 0.3), both, strict=True):
        (alone,), _ = linear.fit(x, y, rows, 4, [rate], torch.Generator().manual_seed(3), "cpu")
        torch.testing.assert_close(alone.weight, head.weight)
    torch.testing.assert_close(scale[0], x.mean(0))
    torch.testing.assert_close(scale[1], x.std(0, correction=0))


def test_degenerate_features():
    (x, y), (x_test, y_test) = clusters(40, 4, 0), clusters(8, 4, 1)
    broken = x.clone()
    broken[0, 0] = 1e9
    assert all(math.isnan(v) for v in linear.top_k(broken.half(), y, x_test, y_test, 4))
    assert all(math.isnan(v) for v in linear.top_k(x, y, x_test[:0], y_test[:0], 4))
    top1, _ = linear.top_k(torch.ones(40, 3), y, torch.ones(8, 3), y_test, 4)
    assert top1 == 0.25
    assert linear.top_k(x[:1], y[:1], x_test[:1], y_test[:1], 1) == (1.0, 1.0)


# ------------------------------------------------------------------------------------- of images


def test_all_images_are_used_and_broken_files_left_out(photographs, tmp_path, monkeypatch):
    """More images than the small probes take; features stay aligned with their labels."""
    root = tmp_path / "broken"
    shutil.copytree(photographs, root)
    for name in ("train/dark/3.jpg", "val/light/5.jpg"):
        (root / name).write_bytes(b"no image")
    monkeypatch.setattr(images, "AT_ONCE", 0)
    monkeypatch.setattr(linear, "DECODED", 7)
    given = dict(batch_size=8, max_bad=0.5, probe_images=50, max_images=0, linear_probe=True)
    setup = imagenet_setup(data_dir=str(root), out_dir=str(tmp_path / "out"), **given)
    run = setup.fit(0)
    x, kept = linear.stored(run.model, run.views.query, setup.train)
    assert len(kept) == 47 and x["h"].dtype == torch.float16
    whole = setup.embed(run, setup.train)
    plain = linear.stored(run.model, run.views.query, setup.train, run.objective.frozen_normalise)
    for space in linear.SPACES:
        torch.testing.assert_close(
            plain[0][space].float(), torch.from_numpy(whole[space]), atol=2e-3, rtol=2e-3
        )
    table = setup.linear(run)
    assert set(table) == set(linear.SPACES) and table == setup.linear(run)
    assert table["h"] == {"class_top1": 1.0, "class_top5": 1.0}


def test_it_is_scored_on_all_held_out_images(photographs):
    few = imagenet_setup(data_dir=str(photographs), batch_size=8, probe_images=50)
    probed = len(imagenet_setup(data_dir=str(photographs), batch_size=8).val)
    assert len(few.val) == probed == 24


def test_no_classes_are_refused_before_training(photographs, tmp_path):
    root = photographs / "train" / "dark"
    given = dict(data_dir=str(root), val_dir=str(photographs / "val" / "light"), batch_size=8)
    with pytest.raises(ValueError, match="^linear_probe needs images in class folders"):
        imagenet_setup(**given, linear_probe=True)


def test_rendered_shapes_have_a_table_per_label(monkeypatch, tmp_path):
    small.few_shapes(monkeypatch)
    setup = imagenet_setup(linear_probe=True)
    model, objective = setup.build(0)
    table = linear_probe(model, setup.views.query, setup.train, setup.val)
    assert {"shape_top1", "shape_top5", "color_top1"} <= set(table["content"])
    assert all(row["shape_top1"] <= row["shape_top5"] for row in table.values())


# ------------------------------------------------------------------------------------ on the page


def test_what_the_page_says_beside_the_small_probe():
    text = sentences.small_probe(4000, 1281167, field=False)
    assert "fitted on 4,000 of 1,281,167 training images" in text
    assert "cannot be compared with numbers in papers" in text and "with `linear_probe`" in text
    assert "second table here" in sentences.small_probe(10, 20, field=True)
    assert tables.words("class_top1") == "class (top-1)"

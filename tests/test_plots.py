"""Figures show the numbers they are given; progress leaves one line per epoch in a pipe."""

import math

import numpy as np
import pytest

from msr.report import galleries, plots, training_plots
from msr.report.verdict import Verdict
from msr.train.progress import Progress

rng = np.random.default_rng(0)


def cell(value, std=0.1):
    return {"value": value, "std": std, "n": 1 if std is None else 3, "values": []}


def texts(fig):
    return [t.get_text() for axis in fig.axes for t in axis.texts]


def test_heatmap_prints_values_and_spread():
    table = {
        "content": {"a": cell(0.5, 0.01), "b": cell(-0.2, None)},
        "h": {"a": cell(1.0, None)},
    }
    assert texts(plots.heatmap(table, columns=["a", "b"])) == ["0.50\n±0.01", "−0.20", "1.00"]


def test_several_heatmaps_leave_out_what_a_table_lacks():
    half = cell(0.5, None)
    tables = {"one": {"a": {"x": half}, "b": {"x": half}}, "two": {"a": {"x": half}}}
    fig = plots.heatmaps(tables, ["a", "b"], ["x"])
    assert [axis.get_title(loc="left") for axis in fig.axes] == ["one", "two"]
    assert texts(fig) == ["0.50"] * 3


def test_dots_and_tradeoff_show_their_numbers():
    table = {
        "p": {"content": cell(0.9), "leak": cell(0.2), "seconds": cell(5)},
        "q": {"content": cell(0.5), "leak": cell(0.4), "seconds": cell(9)},
    }
    axis = plots.dots({"study": table}, ["content", "leak"]).axes[0]
    shown = [list(container[0].get_xdata()) for container in axis.containers]
    assert shown == [[0.9, 0.5], [0.2, 0.4]]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["p", "q"]
    left, right = plots.tradeoff(table, "seconds", ["content", "leak"]).axes
    points = [(c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in right.containers]
    assert points == [(5, 0.2), (9, 0.4)] and left.get_title(loc="left") == "content"


def test_differences_are_filled_where_the_interval_excludes_zero():
    panel = {"a": Verdict(0.2, 0.1, 3), "b": Verdict(0.2, 0.3, 3), "c": Verdict(0.1, math.inf, 1)}
    kinds = {"a": "content", "b": "spatial", "c": "content"}
    fig = plots.differences({"one": panel, "two": panel}, kinds)
    axis, points = fig.axes[0], [container[0] for container in fig.axes[0].containers]
    assert [point.get_xdata()[0] for point in points] == [0.2, 0.2, 0.1]
    fills = [point.get_markerfacecolor() for point in points]
    assert fills == [plots.COLORS["content"], "white", "white"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["content", "spatial"]


def test_spaces_without_a_colour_take_the_spare_ones_in_order():
    among = ["content", "zoom", "rotation"]
    assert plots.color("content", among) == plots.COLORS["content"]
    assert [plots.color(name, among) for name in among[1:]] == list(plots.SPARE[:2])
    assert plots.color("alone") == plots.SPARE[0]


def test_planes_and_hue():
    points = rng.normal(size=(7, 2))
    fig = galleries.planes({"s": (points, galleries.hue(np.arctan2(*points.T)))})
    np.testing.assert_allclose(fig.axes[0].collections[0].get_offsets(), points)
    np.testing.assert_allclose(galleries.hue(0.3), galleries.hue(0.3 + 2 * np.pi))


def test_neighbours_shows_the_rows_it_is_given():
    """Two queries side by side, the empty panel between them hidden, the queries framed."""
    images = rng.uniform(size=(6, 3, 4, 4))
    nearest = {"content": np.array([[0, 1, 2], [3, 4, 5]]), "spatial": np.array([[0, 2, 3]] * 2)}
    fig = galleries.neighbours(images, nearest)
    shown = [axis.images[0].get_array() for axis in fig.axes if axis.get_visible()]
    assert len(shown) == 12 and len(fig.axes) == 14
    for found, expected in zip(shown, [0, 1, 2, 3, 4, 5, 0, 2, 3, 0, 2, 3]):
        np.testing.assert_allclose(found, images[expected].transpose(1, 2, 0), rtol=1e-6)
    framed = [axis.spines["left"].get_visible() for axis in fig.axes if axis.get_visible()]
    assert framed == [True, False, False] * 4


def test_curves_take_mean_and_band_over_runs():
    logs = [
        [
            {"epoch": e, "spread": s + e, "violation/content": 1.0, "lambda/content": 1.0}
            for e in range(6)
        ]
        for s in (0, 2)
    ]
    fig = training_plots.curves(logs, ["content"])
    np.testing.assert_allclose(fig.axes[1].lines[0].get_ydata(), np.arange(6) + 1)
    band = fig.axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((1 - 2**0.5, 6 + 2**0.5))  # over n − 1


def test_views_are_labelled():
    fig = galleries.views(
        rng.uniform(size=(2, 3, 4, 4)),
        rng.uniform(size=(2, 2, 3, 4, 4)),
        ["query", "key 0"],
        ["draws t", "shares content"],
    )
    assert texts(fig) == ["image", "query", "key 0"]
    assert fig.axes[2].get_title() == "shares content"


def test_a_line_per_epoch_in_a_pipe(capsys):
    with Progress(4, "run") as bar:
        for step in range(1, 5):
            bar.update(step, f"step {step}", end_of_epoch=step % 2 == 0)
    assert capsys.readouterr().out == "run: step 2\nrun: step 4\n"


def test_a_sheet_and_columns_of_images():
    image = np.zeros((4, 3, 8, 8))
    fig = galleries.sheet({"one": image[:2], "two": image})
    assert sum(len(axis.images) for axis in fig.axes) == 6
    right = {"answer": [True, False, True]}
    fig = galleries.columns_of({"query": image[:3], "answer": image[:3]}, right)
    left = [axis.spines["left"] for axis in fig.axes]
    frames = [spine.get_edgecolor() for spine in left if spine.get_visible()]
    assert len(frames) == 3 and frames[0] == frames[2] != frames[1]


def test_bytes_are_shown_as_fractions():
    image = np.array([0, 51, 255], dtype=np.uint8).reshape(3, 1, 1)
    np.testing.assert_allclose(galleries.to_image(image), [[[0, 0.2, 1]]], rtol=1e-6)
    np.testing.assert_allclose(galleries.to_image(image / 128), [[[0, 51 / 128, 1]]], rtol=1e-6)


def test_curves_show_weights_only_where_they_move():
    """Else misalignment against joint entropy: the path of each space, which ends in a dot."""
    logs = [
        [
            {"epoch": e, "spread": -e, "violation/content": 1 / e, "lambda/content": 1.0}
            for e in (1, 2, 3)
        ]
    ]
    last = training_plots.curves(logs, ["content"]).axes[2]
    assert last.get_title(loc="left") == "one against the other"
    assert list(last.lines[0].get_xdata()) == [1, 2, 3] and last.lines[1].get_xdata() == [3]
    logs[0][-1]["lambda/content"] = 2.0
    last = training_plots.curves(logs, ["content"]).axes[2]
    assert "weight" in last.get_title(loc="left")


def test_less_is_better_is_seen_by_hollow_points():
    table = {"a": {"content": cell(0.9), "leak": cell(0.1)}}
    axis = plots.dots({"study": table}, ["content", "leak"], less=["leak"]).axes[0]
    full, hollow = (container[0] for container in axis.containers)
    assert hollow.get_markerfacecolor() == "white" != full.get_markerfacecolor()
    assert "less is better" in axis.get_legend_handles_labels()[1][1]

"""Figures show the numbers they are given; progress leaves one line per epoch where nobody watches."""
import numpy as np

from msr import plots
from msr.progress import Progress

rng = np.random.default_rng(0)


def texts(fig):
    return [t.get_text() for axis in fig.axes for t in axis.texts]


def test_heatmap_prints_values_and_spread():
    table = {"content": {"a": {"value": 0.5, "std": 0.01, "n": 3}, "b": {"value": -0.2, "std": None, "n": 1}}, "h": {"a": {"value": 1.0, "std": None, "n": 1}}}
    assert texts(plots.heatmap(table, columns=["a", "b"])) == ["0.50\n±0.01", "−0.20", "1.00"]


def test_several_heatmaps_leave_out_what_a_table_lacks():
    cell = {"value": 0.5, "std": None, "n": 1}
    fig = plots.heatmaps({"one": {"a": {"x": cell}, "b": {"x": cell}}, "two": {"a": {"x": cell}}}, ["a", "b"], ["x"])
    assert [axis.get_title(loc="left") for axis in fig.axes] == ["one", "two"] and texts(fig) == ["0.50"] * 3


def test_dots_and_tradeoff_show_their_numbers():
    def cell(v):
        return {"value": v, "std": 0.1, "n": 3}
    table = {"p": {"content": cell(0.9), "leak": cell(0.2), "seconds": cell(5)}, "q": {"content": cell(0.5), "leak": cell(0.4), "seconds": cell(9)}}
    axis = plots.dots({"study": table}, ["content", "leak"]).axes[0]
    assert [list(container[0].get_xdata()) for container in axis.containers] == [[0.9, 0.5], [0.2, 0.4]]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["p", "q"]
    left, right = plots.tradeoff(table, "seconds", ["content", "leak"]).axes
    assert [(c[0].get_xdata()[0], c[0].get_ydata()[0]) for c in right.containers] == [(5, 0.2), (9, 0.4)] and left.get_title(loc="left") == "content"


def test_planes_and_hue():
    points = rng.normal(size=(7, 2))
    axis = plots.planes({"s": (points, plots.hue(np.arctan2(*points.T)))}).axes[0]
    np.testing.assert_allclose(axis.collections[0].get_offsets(), points)
    np.testing.assert_allclose(plots.hue(0.3), plots.hue(0.3 + 2 * np.pi))


def test_neighbours_are_the_nearest_in_each_space():
    images, x = rng.uniform(size=(6, 3, 4, 4)), np.arange(6.0)[:, None]
    fig = plots.neighbours(images, {"content": x, "spatial": x[[0, 5, 1, 2, 3, 4]]}, queries=[0], k=2)
    shown = [axis.images[0].get_array() for axis in fig.axes if axis.images]
    for found, expected in zip(shown, [0, 1, 2, 0, 2, 3]):
        np.testing.assert_allclose(found, images[expected].transpose(1, 2, 0), rtol=1e-6)


def test_curves_take_mean_and_band_over_runs():
    logs = [[{"epoch": e, "spread": s + e, "violation/content": 1.0, "lambda/content": 1.0} for e in range(6)] for s in (0, 2)]
    fig = plots.curves(logs, ["content"])
    np.testing.assert_allclose(fig.axes[1].lines[0].get_ydata(), np.arange(6) + 1)
    band = fig.axes[1].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == 0 and band.max() == 7


def test_views_are_labelled():
    fig = plots.views(rng.uniform(size=(2, 3, 4, 4)), rng.uniform(size=(2, 2, 3, 4, 4)), ["query", "key 0"], ["draws t", "shares content"])
    assert texts(fig) == ["image", "query", "key 0"] and fig.axes[2].get_title() == "shares content"


def test_a_line_per_epoch_in_a_pipe(capsys):
    with Progress(4, "run") as bar:
        for step in range(1, 5):
            bar.update(step, f"step {step}", end_of_epoch=step % 2 == 0)
    assert capsys.readouterr().out == "run: step 2\nrun: step 4\n"


def test_a_sheet_and_columns_of_images():
    image = np.zeros((4, 3, 8, 8))
    fig = plots.sheet({"one": image[:2], "two": image})
    assert sum(len(axis.images) for axis in fig.axes) == 6
    fig = plots.columns_of({"query": image[:3], "answer": image[:3]}, {"answer": [True, False, True]})
    frames = [axis.spines["left"].get_edgecolor() for axis in fig.axes if axis.spines["left"].get_visible()]
    assert len(frames) == 3 and frames[0] == frames[2] != frames[1]

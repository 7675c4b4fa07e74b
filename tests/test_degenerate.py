"""Every measure on degenerate input gives a number, nan where a score has no meaning, or one line.

One class, one image of each class, features that are constant or not finite, blind spaces, empty
groups, and none or one of things. (test_degenerate_report.py does the same for what a page shows.)
"""

import inspect
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from msr.augment import ColorJitter, HorizontalFlip, Normalise, ResizedCrop
from msr.augment.pipeline import Pipeline
from msr.data import Images
from msr.evaluate import classifier, dci, features, probes, readers, retrieval, sensitivity, style
from msr.spaces import Spaces
from msr.views import Views

rng = np.random.default_rng(0)
NAN = math.nan


@pytest.fixture(autouse=True)
def quiet():
    """A degenerate input gives no warning of division by zero or of a mean of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


# ------------------------------------------------------------------------------- classification


def clusters(y, d=4):
    """Features [N, d] that the labels determine."""
    return np.eye(max(d, 8))[np.asarray(y) % 8] + 0.01 * rng.normal(size=(len(y), max(d, 8)))


CLASSIFIERS = {
    "linear": probes.linear,
    "knn": probes.knn,
    "classify": lambda *sides: probes.classify(*sides).score,
    "accuracy": classifier.accuracy,
    "few": lambda *sides: classifier.few_shot_accuracy(*sides, shots=3),
}
each_classifier = pytest.mark.parametrize("probe", CLASSIFIERS.values(), ids=CLASSIFIERS)
y5 = np.arange(40) % 5


@each_classifier
def test_one_class_to_fit_on_is_the_prediction(probe):
    one = np.full(12, 3)
    test_y = np.array([3, 3, 3, 1])
    assert probe(clusters(one), one, clusters(test_y), test_y) == 0.75


@each_classifier
def test_one_image_of_each_class(probe):
    one = np.arange(5)
    exact = np.eye(8)[one], one, np.eye(8)[y5], y5
    assert probe(*exact) == 1.0


@each_classifier
def test_one_image_in_all(probe):
    assert probe(clusters([2]), np.array([2]), clusters(y5), y5) == 0.2


@each_classifier
def test_constant_features_give_a_share(probe):
    same = np.ones((40, 3))
    score = probe(same, y5, same, y5)
    assert score == pytest.approx(0.2)


@each_classifier
def test_features_that_are_not_finite_give_no_score(probe):
    bad = clusters(y5)
    bad[3, 1] = NAN
    assert math.isnan(probe(bad, y5, clusters(y5), y5))
    assert math.isnan(probe(clusters(y5), y5, bad, y5))


@each_classifier
def test_a_held_out_class_that_was_not_fitted_is_wrong(probe):
    few, test_y = y5[y5 < 4], np.arange(5)
    assert probe(clusters(few), few, clusters(test_y), test_y) == 0.8


@each_classifier
def test_nothing_to_score_on_gives_no_score(probe):
    assert math.isnan(probe(clusters(y5), y5, clusters(y5)[:0], y5[:0]))


@pytest.mark.parametrize("classes, images", [(300, 1000), (30, 60), (3, 6), (2, 3)])
def test_a_penalty_is_chosen_with_few_images_of_each_class(classes, images):
    """More classes than a fifth of the images: no class is unknown to the fit."""
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    fit, held = classifier.held_out(y, 0)
    assert set(y[fit]) == set(y) and 0 < len(held) <= math.ceil(images / 5)
    assert sorted([*fit, *held]) == list(range(images))
    again = classifier.held_out(y, 0)
    assert all((a == b).all() for a, b in zip((fit, held), again))
    assert (classifier.held_out(y, 1)[1] != held).any() or images < 10
    if images == 60:
        x = np.eye(classes)[y]
        assert classifier.accuracy(x, y, x, y, n_l2=4) == 1.0


def test_the_penalty_is_one_where_nothing_can_be_held_out(monkeypatch):
    y, used = np.array([*range(50), 0, 1]), []
    monkeypatch.setattr(classifier, "score", lambda probe, *sides: used.append(probe.C) or 0.5)
    assert len(classifier.held_out(y, 0)[1]) == 0 and len(classifier.held_out(y, 0)[0]) == 52
    assert classifier.accuracy(clusters(y), y, clusters(y), y) == 0.5 and used == [1.0]


# ----------------------------------------------------------------------------------- regression


def test_targets_that_do_not_vary_have_no_score():
    x = rng.normal(size=(30, 2))
    y = np.stack([x[:, 0], np.ones(30)], 1)
    varies, constant = probes.regress(x, y, x, y)[0]
    assert varies > 0.9 and math.isnan(constant)
    assert math.isnan(probes.many(x, {"a": y[:, 1]}, x, {"a": y[:, 1]})["a"].score)
    assert np.isnan(probes.r2(y[:1], y[:1])).all()
    assert probes.many(x, {}, x, {}) == {} == probes.nested({})
    assert math.isnan(probes.scores({"a": probes.Reading(NAN)})["a"])
    row = {"a": probes.Reading(NAN), "b": probes.Reading(0.5)}
    assert probes.nested({"joined": row, "content": row})["joined"]["b"] == 0.5


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_to_regress_on(n):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 1))
    score, error = probes.regress(x, y, rng.normal(size=(20, 2)), rng.normal(size=(20, 1)))
    assert score.shape == (1,) and np.isfinite(score).all() and error == np.inf


def test_constant_and_broken_features_to_regress_on():
    y = rng.normal(size=(30, 2))
    same = np.ones((30, 3))
    assert np.abs(probes.regress(same, y, same, y)[0]).max() < 1e-6
    assert np.isnan(probes.regress(np.full((30, 3), NAN), y, same, y)[0]).all()
    assert np.isnan(probes.regress(same, y[:, 0], np.full((30, 3), np.inf), y[:, 0])[0]).all()
    sides = readers.lift(same, 10, [1, 2]).fit(same).transform(same)
    assert np.isfinite(sides).all() and probes.side_by_side({"h": same}, "joined") == []


def test_label_probes_without_labels_and_with_one_class():
    pixels = torch.zeros(12, 3, 8, 8, dtype=torch.uint8)
    some = {"h": rng.normal(size=(12, 3))}
    none = Images(8, pixels)
    assert probes.label_probes(some, some, none, none) == {"h": {}}
    one = Images(8, pixels, labels={"class": torch.zeros(12, dtype=torch.long)})
    assert probes.label_probes(some, some, one, one) == {
        "h": {"class_linear": 1.0, "class_knn": 1.0}
    }


# ------------------------------------------------------------------------------------------ DCI


def test_dci_of_nothing_that_matters():
    zero = np.zeros((3, 2))
    assert dci.disentanglement(zero) == 0 and dci.completeness(zero) == pytest.approx(0)
    assert dci.entropy(np.ones((2, 1)), 1).tolist() == [0, 0]
    assert dci.shares(zero, 1).tolist() == [[0.5, 0.5]] * 3
    assert dci.size(3, 3) == 1
    assert math.isnan(dci.explicitness([1, 2], [NAN, NAN], 1.0))
    assert dci.explicitness([1, 2], [1.0, 1.0], 1.0) == 0
    with pytest.raises(ValueError, match="give one loss per capacity"):
        dci.explicitness([], [], 1.0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dci_of_constant_codes_and_factors():
    code, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    constant = dci.scores(np.ones((60, 2)), y, np.ones((60, 2)), y)
    assert constant["disentanglement"] == 0 and abs(constant["informativeness"]) < 1e-6
    assert dci.importances(np.ones((60, 2)), y).tolist() == [[0, 0]] * 2
    half = np.stack([code[:, 0], np.ones(60)], 1)
    scores = dci.scores(code, half, code, half)
    assert scores["informativeness"] > 0.9, "of the factor that varies"
    assert np.isnan(dci.loss_capacity(code, half, code, half)[:, 1]).all()
    none = dci.scores(code, half[:, 1:], code, half[:, 1:])
    assert math.isnan(none["informativeness"]) and math.isnan(none["explicitness"])
    for wrong in (code[:1], np.full((60, 2), NAN)):
        with pytest.raises(ValueError, match="give two finite codes or more, and one factor"):
            dci.scores(wrong, y[: len(wrong)], code, y)
    with pytest.raises(ValueError, match="and 0 factors"):
        dci.scores(code, y[:, :0], code, y[:, :0])


# ------------------------------------------------------------------------------------ retrieval


def test_retrieval_in_blind_spaces_and_small_galleries():
    gallery = {"a": torch.eye(4), "blind": torch.ones(4, 2)}
    queries = torch.arange(4)[:, None]
    found = retrieval.retrieve(gallery, queries, [("blind", 0), ("a", 0)])
    assert found.tolist() == [0, 1, 2, 3]
    one = {"a": torch.ones(1, 2)}
    assert retrieval.retrieve(one, torch.zeros(1, 1, dtype=torch.long), [("a", 0)]).tolist() == [0]
    with pytest.raises(ValueError, match="nothing to match"):
        retrieval.retrieve(gallery, queries, [])
    assert retrieval.nearest_images(np.ones((3, 2)), [2], k=5).shape == (1, 3)
    assert retrieval.nearest_images(np.ones((1, 2)), [0]).tolist() == [[0]]


# --------------------------------------------------------------------------------- of the model


class Blind(torch.nn.Module):
    """A network whose spaces are the same for every image; h is the red level."""

    spaces = Spaces.of(("appearance", "spatial"), (1, 1, 1))

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x[:, :1].mean((2, 3)), torch.ones(len(x), 3)


VIEWS = Views(
    Pipeline([ResizedCrop(8, (0.5, 1.0)), ColorJitter(0.2, 0, 0, 0, p=1.0), Normalise()]),
    groups=("appearance", "spatial"),
)
PIXELS = torch.randint(0, 255, (24, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize("scale_free", [False, True])
def test_sensitivity_of_blind_spaces_and_of_one_image(scale_free):
    table = sensitivity(Blind(), VIEWS, PIXELS, scale_free=scale_free)
    assert table["content"] == {"appearance": 0.0, "spatial": 0.0}
    one = sensitivity(Blind(), VIEWS, PIXELS[:1], scale_free=scale_free)
    assert all(math.isnan(v) for row in one.values() for v in row.values())
    bare = Views(Pipeline([HorizontalFlip(), Normalise()]))
    assert sensitivity(Blind(), bare, PIXELS)["h"] == {}


@pytest.mark.parametrize("n", [1, 2, 24])
def test_style_probes_of_blind_spaces_and_few_images(n):
    table = style.style_probes(Blind(), VIEWS, PIXELS[:n], PIXELS[:n])
    assert math.isnan(table["h"]["contrast"]), "contrast is never changed"
    assert math.isnan(table["content"]["brightness"]) == (n == 1)
    if n == 24:
        assert -0.5 < table["content"]["brightness"] <= 0
    drawn = style.drawn(Blind(), VIEWS, PIXELS[:n], 0)
    assert drawn.pair("h").shape == (n, 2)
    assert set(style.style_scores(VIEWS, drawn, drawn)) == set(table)


def test_no_images_and_one_image():
    with pytest.raises(ValueError, match="no images to embed; give one or more"):
        features.embed(Blind(), PIXELS[:0], VIEWS.query)
    assert features.embed(Blind(), PIXELS[:1], VIEWS.query)["h"].shape == (1, 1)
    assert len(features.embed_views(Blind(), PIXELS, VIEWS.query, [])) == 0
    assert features.plain(VIEWS.query, 0)["crop"]["on"].shape == (0,)
    split = Images(8, PIXELS)
    assert features.readable(split) is split and features.side(split) == 8
    assert [len(piece) for piece in features.pieces(split, 23)] == [23, 1]
    params = style.style_draw(VIEWS.query, torch.Generator(), 0, 8)
    assert all(len(v) == 0 for v in style.style_targets(VIEWS.query, params).values())


# ------------------------------------------------------------------------- what was tried at all

# tried through those that call them
NOT_MEASURES = {"classifier.score", "probes.accuracy_of", "probes.aligned", "style.in_turn"}
NOT_MEASURES |= {"style.pair_scores"}


@pytest.mark.parametrize(
    "module",
    [classifier, dci, features, probes, retrieval, style],
    ids=lambda module: module.__name__.removeprefix("msr.evaluate."),
)
def test_every_function_is_tried_here(module):
    """A new measure needs a line in this file."""
    source, short = Path(__file__).read_text(), module.__name__.removeprefix("msr.evaluate.")
    for name, function in inspect.getmembers(module, inspect.isfunction):
        own = function.__module__ == module.__name__ and not name.startswith("_")
        if own and f"{short}.{name}" not in NOT_MEASURES:
            assert f"{short}.{name}" in source, f"{short}.{name}"

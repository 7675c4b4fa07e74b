"""Probes: how well labels and factors are predicted from frozen features, on held-out images.

scikit-learn fits the probes. In all functions `train` and `test` are features, [N, d] and
[N_test, d], and `train_y` and `test_y` are what is to be predicted from them.

Where a score has no meaning it is nan: if a feature is not finite, if there is nothing to score on,
and the R² of a target that is the same for all test images.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from msr.data.images import Images
from msr.evaluate import readers
from msr.evaluate.features import Features

FEWEST_OF_A_CLASS = 10  # training images of a class below which no network is fitted


class Reading(NamedTuple):
    """The score of a probe on test images, and its error on training images that were held out."""

    score: float
    error: float = math.inf  # none were held out


# ---------------------------------------------------------------------------------- classification


def linear(train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray) -> float:
    """Return the top-1 test accuracy, from 0 to 1, of multinomial logistic regression.

    train_y, test_y: labels [N] and [N_test]. Settings: standardised features, L-BFGS, ℓ2 penalty
    with C = 1, at most 300 iterations, tolerance 1e-3.
    """
    return accuracy_of(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3)),
        train,
        train_y,
        test,
        test_y,
    )


def knn(
    train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, k: int = 20
) -> float:
    """Return the top-1 test accuracy, from 0 to 1, of the k nearest neighbours.

    train_y, test_y: labels [N] and [N_test]. Settings: cosine distance between features from which
    the training mean is subtracted; votes weighted by the inverse of the distance; k is at most N.
    """
    mean = train.mean(axis=0)
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance")
    return accuracy_of(model, train - mean, train_y, test - mean, test_y)


def classify(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    functions: int = 500,
    sizes: Sequence[int] = (),
) -> Reading:
    """Return the top-1 test accuracy, from 0 to 1, of a nonlinear classifier.

    It is logistic regression on the features and on radial functions of them, or a small network,
    whichever is better on held-out training images (`readers.classifiers`). The error there is the
    share that it gets wrong. train_y, test_y: labels [N] and [N_test]. functions, sizes: as in
    `readers.lift`.
    """
    if not len(test) or not (np.isfinite(train).all() and np.isfinite(test).all()):
        return Reading(float("nan"))
    x, x_test = (aligned(train, sizes)(side) for side in (train, test))
    models = readers.classifiers(x, functions, sizes)
    few = np.unique(train_y, return_counts=True)[1].min() < FEWEST_OF_A_CLASS
    if few or len(models) == 1:
        return Reading(accuracy_of(models[0], x, train_y, x_test, test_y))
    held = readers.held_out(len(x))
    sides = x[~held], train_y[~held], x[held], train_y[held]
    right = [accuracy_of(model, *sides) for model in models]
    best = int(np.argmax(right))
    return Reading(accuracy_of(models[best], x, train_y, x_test, test_y), 1 - right[best])


def accuracy_of(
    model: ClassifierMixin,
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
) -> float:
    """Fit a classifier and return its top-1 test accuracy, from 0 to 1.

    A fit that does not converge gives no warning. If all training images have one class, that class
    is predicted. Test images of a class that no training image has count as wrong.
    """
    if not len(test) or not (np.isfinite(train).all() and np.isfinite(test).all()):
        return float("nan")
    if len(np.unique(train_y)) < 2:
        model = DummyClassifier()
    with warnings.catch_warnings():
        # about fits that did not converge, many classes, and future defaults of scikit-learn
        for kind in (ConvergenceWarning, UserWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        return float(model.fit(train, train_y).score(test, test_y))


# -------------------------------------------------------------------------------------- regression


def regress(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    functions: int = 500,
    sizes: Sequence[int] = (),
    each: int = 1,
    order: readers.Components | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the held-out R² of a nonlinear regression for each target [T], and its error [T].

    It is ridge regression on the features and on radial functions of them, or a small network,
    whichever predicts the target better on held-out training images (`readers.regressors`,
    `readers.predicted`). So the same probe serves spaces of 3 dimensions and features of 500. The
    error is that on these images, as a share of the variance, infinite if none are held out.

    train_y, test_y: targets [N, T] and [N_test, T], or [N] and [N_test] for T = 1. functions,
    sizes: as in `readers.lift`. each: number of successive rows of `train` that belong to one
    image. order: what brings the leading directions of features to the front; by default these are
    their principal components.
    """
    nothing = np.full(train_y[:1].size, np.inf)
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        return nothing * np.nan, nothing
    if len(train) < 2:
        return r2(test_y, np.broadcast_to(train_y, test_y.shape)), nothing
    order = order or aligned(train, sizes)
    x, x_test = order(train), order(test)
    scaler = StandardScaler().fit(train_y.reshape(len(train), -1))
    y = scaler.transform(train_y.reshape(len(train), -1))
    models = readers.regressors(x, functions, sizes)
    with readers.quiet():
        found, errors = readers.predicted(models, x, y, x_test, readers.held_out(len(x), each))
    return r2(test_y, scaler.inverse_transform(found).reshape(test_y.shape)), errors


def aligned(train: np.ndarray, sizes: Sequence[int]) -> readers.Components:
    """Return the map from features [N, d] to what readers see.

    This is their principal components, but the standardised features if they are several spaces
    side by side, whose columns must stay apart.
    """
    if len(sizes) > 1:
        return make_pipeline(MinMaxScaler(clip=True), StandardScaler()).fit(train).transform
    return readers.components(train)


def r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the R² of predictions for each target, [T]; nan where y is the same in every row.

    y, predicted: [N, T] or [N].
    """
    columns = y.reshape(len(y), -1)
    varies = (columns != columns[:1]).any(axis=0)
    if not varies.any():  # as of a single row
        return np.full(len(varies), np.nan)
    return np.where(varies, r2_score(y, predicted, multioutput="raw_values"), np.nan)


def many(
    train: np.ndarray,
    targets: Mapping[str, np.ndarray],
    test: np.ndarray,
    test_targets: Mapping[str, np.ndarray],
    sizes: Sequence[int] = (),
    each: int = 1,
    order: readers.Components | None = None,
) -> dict[str, Reading]:
    """Return the held-out R² {name: R², with its error} of several named targets from one fit.

    targets, test_targets: {name: [N] or [N, T]} of the training and of the test images. A target of
    several columns gives the mean of their R². Other arguments and settings as in `regress`.
    Without targets the result is empty.
    """
    if not targets:
        return {}
    columns = {name: y.reshape(len(y), -1) for name, y in targets.items()}
    y = np.concatenate(list(columns.values()), axis=1)
    y_test = np.concatenate([test_targets[name].reshape(len(test), -1) for name in columns], axis=1)
    found, errors = regress(train, y, test, y_test, sizes=sizes, each=each, order=order)
    row: dict[str, Reading] = {}
    start = 0
    for name, column in columns.items():
        own = slice(start, start := start + column.shape[1])
        row[name] = Reading(float(found[own].mean()), float(errors[own].mean()))
    return row


def scores(row: Mapping[str, Reading]) -> dict[str, float]:
    """Return the scores alone, {target: score}."""
    return {name: found.score for name, found in row.items()}


def nested(table: Mapping[str, Mapping[str, Reading]]) -> dict[str, dict[str, float]]:
    """Return the scores {space: {target: score}}; `joined` is read through its parts too.

    Each space is some columns of `joined`. So what a space tells, joined tells as well, and a
    reader of all columns that misses it has a fault of its own. Of each target, therefore, joined
    is read as a whole or through one of the spaces, by whichever has the smallest error on held-out
    training images; as a whole where none were held out. (The spaces are functions of h as well.
    But to read h through its projector would favour networks whose projector keeps style.)
    """
    spaces = [space for space in table if space not in ("h", "joined")]

    def read(space: str, target: str) -> float:
        parts = [space, *spaces] if space == "joined" else [space]
        return min((table[part][target] for part in parts), key=lambda found: found.error).score

    return {space: {target: read(space, target) for target in row} for space, row in table.items()}


def side_by_side(features: Features, space: str) -> list[int]:
    """Return the argument `sizes` that the probes need for the features of `space`.

    For `joined` these are the numbers of dimensions of all spaces; for others the list is empty.
    """
    if space != "joined":
        return []
    return [z.shape[1] for name, z in features.items() if name not in ("h", "joined")]


# ----------------------------------------------------------------------------- labels of one split


def label_probes(
    train: Features, test: Features, train_images: Images, test_images: Images
) -> dict[str, dict[str, float]]:
    """Return the probes of labels and factors from every space, {space: {target: score}}.

    A label gives the targets `<label>_linear` and `<label>_knn`, with their held-out top-1
    accuracy. A factor gives a target of its own name, with its held-out R²; if x and y are factors,
    `position` is the mean of the two. train, test: features of all images of the two splits.
    train_images, test_images: these splits. Settings as in `linear`, `knn` and `many`.
    """
    table, continuous = {}, {}
    for space in train:
        row: dict[str, float] = {}
        for label, y in train_images.labels.items():
            sides = train[space], y.numpy(), test[space], test_images.labels[label].numpy()
            row |= {f"{label}_linear": linear(*sides), f"{label}_knn": knn(*sides)}
        if train_images.factors:
            factors = {name: y.numpy() for name, y in train_images.factors.items()}
            test_factors = {name: y.numpy() for name, y in test_images.factors.items()}
            sizes = side_by_side(train, space)
            continuous[space] = many(train[space], factors, test[space], test_factors, sizes)
        table[space] = row
    for space, found in nested(continuous).items():
        table[space] |= found
        if {"x", "y"} <= set(found):
            table[space]["position"] = (found["x"] + found["y"]) / 2
    return table

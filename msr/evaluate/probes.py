"""Probes: how well labels and factors are predicted from frozen features, on held-out images.

scikit-learn fits the probes. In all functions `train` and `test` are features, [N, d] and
[N_test, d], and `train_y` and `test_y` are what is to be predicted from them.

Where a score has no meaning it is nan: if a feature is not finite, if there is nothing to score on,
and the R² of a target that is the same for all test images.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from msr.data.images import Images
from msr.evaluate.features import Features

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
    components: int = 500,
    sizes: Sequence[int] = (),
) -> float:
    """Return the top-1 test accuracy, from 0 to 1, of a nonlinear classifier.

    It is logistic regression on the features and on radial functions of them (`lift`), for spaces
    of a few dimensions, in which classes need not be linearly separable. train_y, test_y: labels
    [N] and [N_test]. components, sizes: as in `lift`. Settings: L-BFGS, ℓ2 penalty with C = 1, at
    most 200 iterations, tolerance 1e-3.
    """
    return accuracy_of(
        make_pipeline(lift(train, components, sizes), LogisticRegression(max_iter=200, tol=1e-3)),
        train,
        train_y,
        test,
        test_y,
    )


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


def lift(train: np.ndarray, components: int, sizes: Sequence[int] = ()) -> Pipeline:
    """Return a transformer that adds radial functions of the features [N, d] to them.

    The features are standardised. The functions are Nyström features of a Gaussian kernel of width
    √(d/2), with centres drawn from the training features by seed 0; there are `components` of them,
    but at most N. sizes: the numbers of dimensions of the spaces, if the features are several
    spaces side by side. Then half as many functions of each space alone are added, since in the
    distance over all d dimensions the larger spaces hide what a small one encodes. train: read for
    its shape only; the result is not fitted yet.
    """

    def kernel(d: int, n: int) -> Nystroem:
        return Nystroem(gamma=1 / d, n_components=min(n, len(train)), random_state=0)

    steps = [FunctionTransformer(), kernel(train.shape[1], components)]
    if len(sizes) > 1:
        starts = np.cumsum([0, *sizes])
        alone = [
            (f"{start}", kernel(d, components // 2), slice(start, start + d))
            for start, d in zip(starts, sizes)
        ]
        steps.append(ColumnTransformer(alone))
    return make_pipeline(StandardScaler(), make_union(*steps))


def regress(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    components: int = 500,
    sizes: Sequence[int] = (),
) -> np.ndarray:
    """Return the held-out R² of a nonlinear ridge regression for each target, [T].

    train_y, test_y: targets [N, T] and [N_test, T], or [N] and [N_test] for T = 1. components,
    sizes: as in `lift`. Settings: ridge regression on the features and on the radial functions of
    `lift`. The ridge penalty of each target is one of ten from 1e-3 to 1e6 on a logarithmic scale,
    chosen by leave-one-out on the training images. The fit is smooth, and linear where that is
    enough, so the same probe serves spaces of 3 dimensions and of 500.
    """
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        return np.full(train_y[:1].size, np.nan)
    if len(train) < 2:
        return r2(test_y, np.broadcast_to(train_y, test_y.shape))
    ridge = RidgeCV(np.logspace(-3, 6, 10), alpha_per_target=train_y.ndim > 1)
    model = make_pipeline(lift(train, components, sizes), ridge)
    return r2(test_y, model.fit(train, train_y).predict(test))


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
) -> dict[str, float]:
    """Return the held-out R² {name: R²} of several named targets from one fit.

    targets, test_targets: {name: [N] or [N, T]} of the training and of the test images. A target of
    several columns gives the mean of their R². sizes: as in `lift`. Settings as in `regress`.
    Without targets the result is empty.
    """
    if not targets:
        return {}
    columns = {name: y.reshape(len(y), -1) for name, y in targets.items()}
    y = np.concatenate(list(columns.values()), axis=1)
    y_test = np.concatenate([test_targets[name].reshape(len(test), -1) for name in columns], axis=1)
    scores = regress(train, y, test, y_test, sizes=sizes)
    row: dict[str, float] = {}
    start = 0
    for name, column in columns.items():
        row[name] = float(scores[start : start + column.shape[1]].mean())
        start += column.shape[1]
    return row


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
    table = {}
    for space in train:
        row: dict[str, float] = {}
        for label, y in train_images.labels.items():
            sides = train[space], y.numpy(), test[space], test_images.labels[label].numpy()
            row |= {f"{label}_linear": linear(*sides), f"{label}_knn": knn(*sides)}
        if train_images.factors:
            factors = {name: y.numpy() for name, y in train_images.factors.items()}
            test_factors = {name: y.numpy() for name, y in test_images.factors.items()}
            sizes = side_by_side(train, space)
            row |= many(train[space], factors, test[space], test_factors, sizes)
            if {"x", "y"} <= set(row):
                row["position"] = (row["x"] + row["y"]) / 2
        table[space] = row
    return table

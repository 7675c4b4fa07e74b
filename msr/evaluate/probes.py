"""Probes: how well labels and factors are predicted from features, on held-out images.

The model is frozen; scikit-learn fits. Throughout, `train` and `test` are features [N, d] and
[N_test, d], `train_y` and `test_y` what is to be predicted from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.compose import ColumnTransformer
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
    """Return the top-1 accuracy of multinomial logistic regression, labels [N].

    Settings: standardised features, L-BFGS, ℓ2 penalty with C = 1, at most 300 iterations,
    tolerance 1e-3.
    """
    return _accuracy(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3)),
        train,
        train_y,
        test,
        test_y,
    )


def knn(
    train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, k: int = 20
) -> float:
    """Return the top-1 accuracy of the k nearest neighbours, labels [N].

    Settings: cosine distance between features centred by the training mean, votes weighted by the
    inverse of the distance; k is at most the number of training images.
    """
    mean = train.mean(axis=0)
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine", weights="distance")
    return float(model.fit(train - mean, train_y).score(test - mean, test_y))


def classify(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    components: int = 500,
    sizes: Sequence[int] = (),
) -> float:
    """Return the top-1 accuracy of logistic regression on the features and functions of them.

    For spaces of a few dimensions, where no line need separate the classes; labels [N]. Settings:
    the features and the radial functions of `lift`, L-BFGS, ℓ2 penalty with C = 1, at most 200
    iterations, tolerance 1e-3.
    """
    return _accuracy(
        make_pipeline(lift(train, components, sizes), LogisticRegression(max_iter=200, tol=1e-3)),
        train,
        train_y,
        test,
        test_y,
    )


def _accuracy(
    model: Pipeline, train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray
) -> float:
    """Fit the model, stopped at its last iteration without a warning, and score it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(model.fit(train, train_y).score(test, test_y))


# -------------------------------------------------------------------------------------- regression


def lift(train: np.ndarray, components: int, sizes: Sequence[int] = ()) -> Pipeline:
    """Return a transformer from features [N, d] to themselves and radial functions of them.

    The features are standardised. There are `components` Nyström functions, or as many as training
    images if these are fewer, of a Gaussian kernel of width √(d/2); its centres are drawn with
    seed 0. sizes: the widths of the spaces, if several stand side by side in the features. Then
    half as many functions of each space alone are added, since a distance in all d dimensions
    drowns what a space of few dimensions encodes.
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
    """Return the held-out R² of ridge regression, one per column of y [N, T].

    Settings: the features and the radial functions of `lift`. The ridge penalty of each column,
    one of ten from 1e-3 to 1e6 on a logarithmic scale, is chosen by leave-one-out on the training
    part. The fit is linear where that is enough and else smooth: one probe for spaces of 3
    dimensions and of 500.
    """
    ridge = RidgeCV(np.logspace(-3, 6, 10), alpha_per_target=train_y.ndim > 1)
    model = make_pipeline(lift(train, components, sizes), ridge)
    return r2_score(test_y, model.fit(train, train_y).predict(test), multioutput="raw_values")


def many(
    train: np.ndarray,
    targets: Mapping[str, np.ndarray],
    test: np.ndarray,
    test_targets: Mapping[str, np.ndarray],
    sizes: Sequence[int] = (),
) -> dict[str, float]:
    """Return the held-out R² of several named targets, {name: [N] or [N, T]}, from one fit.

    Settings as in `regress`. A target of several columns gives their mean R². Without targets
    there are no scores.
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
    """Return `sizes` for the probes of one of the features.

    For `joined` these are the widths of the spaces, for all others there are none.
    """
    if space != "joined":
        return []
    return [z.shape[1] for name, z in features.items() if name not in ("h", "joined")]


# ----------------------------------------------------------------------------- labels of one split


def label_probes(
    train: Features, test: Features, train_images: Images, test_images: Images
) -> dict[str, dict[str, float]]:
    """Return {space: {<label>_linear, <label>_knn: top-1 accuracy; <factor>: R²}}.

    train, test: features of the images of the two splits. Settings as in `linear`, `knn` and
    `many`. Where x and y are factors, `position` is the mean of their R².
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

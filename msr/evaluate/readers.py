"""Readers: the nonlinear models that probes fit to features, and the choice between them.

Smooth functions of all features predict well from a space of a few dimensions. In features as wide
as h they see little of a target that depends on a few directions in a nonlinear way, since in the
distance over all dimensions the other directions outweigh those few. A small network finds such
directions. So probes fit both, and of each target the reader is kept that is better on images held
out from the fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

# Principal components that readers see: a network the few leading ones and all, kernels all
LEADING, KEPT = 32, 256
FEWEST = 200  # training images below which no network is fitted, and nothing is held out
MARGIN = 0.03  # by so much of the variance a network must be better than the kernels
NETWORK = {
    "hidden_layer_sizes": (256,),
    "alpha": 0.1,
    "learning_rate_init": 2e-3,
    "batch_size": 128,
    "max_iter": 60,
    "early_stopping": True,
    "random_state": 0,
}

Components = Callable[[np.ndarray], np.ndarray]  # features [N, d] -> components [N, k]


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out warnings of fits that end early, and of features in which nothing varies."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        for kind in (ConvergenceWarning, DataConversionWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        yield


def components(train: np.ndarray) -> Components:
    """Return a map from features [N, d] to their leading principal components [N, k].

    The features are clipped to the range of the training features, since a unit that is almost
    always silent may otherwise be fifty standard deviations away, and standardised. k is at most
    `KEPT`, d and N. train: the training features.
    """
    kept = PCA(min(KEPT, *train.shape), random_state=0)
    with quiet():
        return make_pipeline(MinMaxScaler(clip=True), StandardScaler(), kept).fit(train).transform


def changes(before: np.ndarray, after: np.ndarray) -> Components:
    """Return a map from pairs of views to the components that change most between them.

    before, after: training features of both views [N, d]. The map takes pairs [N, 2 d], of which
    the first half are the features before and the second half their change, and returns [N, 2 k]:
    along the first principal axis of the change the feature before and the change, then along the
    second, and so on. So the leading columns show what a change acts on, however little of the
    variance over images it is. Features are clipped and standardised as in `components`.
    """
    both = np.concatenate([before, after])
    scaled = make_pipeline(MinMaxScaler(clip=True), StandardScaler()).fit(both)
    change = scaled.transform(after) - scaled.transform(before)
    with quiet():
        found = PCA(min(KEPT // 2, *change.shape), random_state=0).fit(change)
    axes = found.components_.T  # [d, k]

    def map_pairs(pairs: np.ndarray) -> np.ndarray:
        first, change = np.split(pairs, 2, axis=1)
        start = scaled.transform(first)
        moved = scaled.transform(first + change) - start
        return np.stack([start @ axes, moved @ axes], axis=2).reshape(len(pairs), -1)

    return map_pairs


def lift(x: np.ndarray, functions: int = 500, sizes: Sequence[int] = ()) -> FeatureUnion:
    """Return a transformer that adds radial functions of the columns of x [N, k] to them.

    The functions are Nyström features of a Gaussian kernel, whose width is the root of half of the
    total variance; its centres are drawn from the rows by seed 0. There are `functions` of them,
    but at most as many as there are rows that are not held out (see `held_out`). The columns are
    divided by the root of their total variance, so that a penalty weighs them as it weighs the
    functions. sizes: the numbers of columns of the spaces, if x is several spaces side by side.
    Then half as many functions of each space alone are added, since in the distance over all
    columns the larger spaces hide what a small one encodes. x: read for its shape and variance
    only; the result is not fitted yet.
    """
    rows = len(x) - (int(held_out(len(x)).sum()) if len(x) >= FEWEST else 0)

    def kernel(columns: slice, n: int) -> Pipeline:
        near = Nystroem(gamma=1 / total(x[:, columns]), n_components=min(n, rows), random_state=0)
        return make_pipeline(FunctionTransformer(taken, kw_args={"columns": columns}), near)

    every = slice(None)
    parts = [("columns", FunctionTransformer()), ("all", kernel(every, functions))]
    if len(sizes) > 1:
        starts = np.cumsum([0, *sizes])
        slices = [slice(start, start + d) for start, d in zip(starts, sizes)]
        parts += [(f"{own.start}", kernel(own, functions // 2)) for own in slices]
    return FeatureUnion(parts, transformer_weights={"columns": total(x) ** -0.5})


def total(x: np.ndarray) -> float:
    """Return the total variance of the columns of x [N, k], or 1 if nothing varies."""
    variance = float(x.var(axis=0).sum())
    return variance if variance > 1e-12 else 1.0


def taken(x: np.ndarray, columns: slice) -> np.ndarray:
    """Return some columns of x [N, d]."""
    return x[:, columns]


def scaled(x: np.ndarray, columns: slice, scale: float) -> np.ndarray:
    """Return some columns of x [N, d], divided by `scale`."""
    return x[:, columns] / scale


def network(model: Any, x: np.ndarray, leading: int) -> Pipeline:
    """Return a network that reads the first `leading` columns of x [N, k]; it is not fitted yet.

    Its settings are `NETWORK`, with early stopping on a tenth of the training rows. The columns
    keep their relative sizes and have a mean variance of 1. model: of scikit-learn, such as
    MLPRegressor.
    """
    columns = slice(0, min(leading, x.shape[1]))
    scale = (total(x[:, columns]) / columns.stop) ** 0.5
    settings = {"columns": columns, "scale": scale}
    return make_pipeline(FunctionTransformer(scaled, kw_args=settings), model(**NETWORK))


def networks(model: Any, x: np.ndarray) -> list[Pipeline]:
    """Return the networks to choose from for components x [N, k]: of the leading ones and of all.

    There is none for fewer than `FEWEST` rows, and one where all columns are leading.
    """
    widths = sorted({min(width, x.shape[1]) for width in (LEADING, KEPT)})
    return [network(model, x, width) for width in widths if len(x) >= FEWEST]


def regressors(x: np.ndarray, functions: int, sizes: Sequence[int]) -> list[Pipeline]:
    """Return the readers of continuous targets [N, T] to choose from, none fitted yet.

    The first is ridge regression on `lift`; the penalty of each target is one of six from 1e-6 to
    1e4 on a logarithmic scale, chosen by leave-one-out. Others are `networks`.
    """
    ridge = RidgeCV(np.logspace(-6, 4, 6), alpha_per_target=True)
    return [make_pipeline(lift(x, functions, sizes), ridge), *networks(MLPRegressor, x)]


def classifiers(x: np.ndarray, functions: int, sizes: Sequence[int]) -> list[Pipeline]:
    """Return the readers of labels [N] to choose from, none fitted yet.

    The first is logistic regression on `lift`, with the columns standardised, an ℓ2 penalty with
    C = 1, L-BFGS, at most 200 iterations and a tolerance of 1e-3. Others are `networks`.
    """
    logistic = LogisticRegression(max_iter=200, tol=1e-3)
    smooth = lift(x, functions, sizes).set_params(transformer_weights=None)
    return [make_pipeline(smooth, logistic), *networks(MLPClassifier, x)]


def held_out(n: int, each: int = 1) -> np.ndarray:
    """Return which of n training rows readers are compared on: bool [n], a fifth of the images.

    each: number of successive rows that belong to one image. Images are drawn by seed 0.
    """
    images = n // each
    mask = np.zeros(images, dtype=bool)
    mask[np.random.default_rng(0).permutation(images)[: images // 5]] = True
    return np.repeat(mask, each)


def predicted(
    readers: list[Pipeline], x: np.ndarray, y: np.ndarray, x_test: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the predictions [N_test, T] of the best reader of each target, and its error [T].

    x [N, k], y [N, T], x_test [N_test, k]. held: from `held_out`. Readers are fitted on the rows
    that are not held out and compared on those that are, by squared error; the first is kept unless
    another explains `MARGIN` more of the variance. The others are not fitted where the first leaves
    no more than that of any target. If the first is kept, it is fitted again on all rows, with the
    penalties that were chosen. The error is that on the rows held out, as a share of the variance
    there; infinite if there is only one reader, which is not compared.
    """

    def read(model: Pipeline, rows: np.ndarray) -> np.ndarray:
        return model.predict(rows).reshape(len(rows), -1)

    def errors_of(model: Pipeline) -> np.ndarray:
        found = read(model.fit(x[~held], y[~held]), x[held])
        return ((found - y[held]) ** 2).mean(axis=0) / spread

    if len(readers) == 1:
        return read(readers[0].fit(x, y), x_test), np.full(y.shape[1], np.inf)
    spread = np.maximum(y[held].var(axis=0), 1e-12)
    errors = errors_of(readers[0])[None]  # [1, T]
    if errors.max() > MARGIN:  # else no other can be better by as much
        errors = np.stack([errors[0], *map(errors_of, readers[1:])])  # [readers, T]
    readers = readers[: len(errors)]
    handicap = np.where(np.arange(len(readers)) == 0, 0, MARGIN)
    best, targets = np.argmin(errors + handicap[:, None], axis=0), np.arange(y.shape[1])  # [T]
    if (best == 0).any():
        smooth, ridge = readers[0]
        readers = [make_pipeline(smooth, Ridge(alpha=ridge.alpha_)).fit(x, y), *readers[1:]]
    every = np.stack([read(model, x_test) for model in readers])  # [readers, N_test, T]
    return every[best, :, targets].T, errors[best, targets]

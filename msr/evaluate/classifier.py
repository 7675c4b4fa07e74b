"""A linear classifier on frozen features: the usual measure of transfer learning.

In all functions `train` and `test` are features, [N, d] and [N_test, d], and `train_y` and
`test_y` their labels, [N] and [N_test].
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr.evaluate.features import STREAM
from msr.evaluate.probes import accuracy_of

L2 = (1e-6, 1e5)  # range of the ℓ2 penalty, as in Ericsson et al. 2021
DRAWS = 5  # random draws of the few training images


def accuracy(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    n_l2: int = 9,
    seed: int = 0,
) -> float:
    """Return the top-1 test accuracy, from 0 to 1, of logistic regression with a chosen penalty.

    Settings: multinomial, standardised features, L-BFGS, at most 100 iterations, tolerance 1e-3.
    The ℓ2 penalty is one of `n_l2` values from 1e-6 to 1e5 on a logarithmic scale: the one with the
    highest accuracy on a held-out fifth of the training images. The final fit uses all of these
    (the protocol of Ericsson et al. 2021, whose scale has 45 values). Each fit along the scale
    starts from the one before. seed: of the choice of that fifth, see `held_out`. Where there are
    too few images of each class to hold some out, the penalty is 1, as in `few_shot_accuracy`.
    """
    fold = [held_out(train_y, seed)]
    if not len(fold[0][1]):
        return score(LogisticRegression(max_iter=100, tol=1e-3), train, train_y, test, test_y)
    strengths = np.sort(1 / np.geomspace(*L2, n_l2))  # scikit-learn's C
    probe = LogisticRegressionCV(Cs=strengths, cv=fold, scoring="accuracy", max_iter=100, tol=1e-3)
    return score(probe, train, train_y, test, test_y)


def held_out(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows to fit on, held-out rows): a random fifth of N images to choose a penalty on.

    y: labels [N]. seed: of the choice. The fifth is stratified by class where that is possible,
    that is where every class has two images and each side has as many images as there are classes.
    Otherwise one random image of every class stays on the side of the fit, so that no class is
    unknown to it, and the held-out ones are drawn at random from the other images; rare classes
    then weigh less in the choice of the penalty than in the test. If these others are less than a
    fifth, they would say little of most classes, and none is held out.
    """
    n, (_, counts) = len(y), np.unique(y, return_counts=True)
    fifth = math.ceil(n / 5)  # as scikit-learn rounds
    if counts.min() >= 2 and len(counts) <= min(fifth, n - fifth):
        splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
        return next(splitter.split(np.zeros((n, 1)), y))
    order = np.random.default_rng(STREAM + seed).permutation(n)
    _, first = np.unique(y[order], return_index=True)  # one image of each class
    others = np.delete(order, first)
    held = others[:fifth] if len(others) >= fifth else others[:0]
    return np.setdiff1d(order, held), np.sort(held)


def few_shot_accuracy(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    shots: int,
    seed: int = 0,
) -> float:
    """Return the top-1 test accuracy, from 0 to 1, of a fit on `shots` images per class.

    It is the mean over `DRAWS` random draws of these images; of a class with fewer, all are used.
    Settings: logistic regression on standardised features, L-BFGS, at most 200 iterations,
    tolerance 1e-3. The ℓ2 penalty is 1, since there are too few images to hold some out and choose
    it. seed: of the draws.
    """
    generator, scores = np.random.default_rng(STREAM + seed), []
    for _ in range(DRAWS):
        rows = np.concatenate(
            [
                generator.permutation(np.flatnonzero(train_y == c))[:shots]
                for c in np.unique(train_y)
            ]
        )
        probe = LogisticRegression(max_iter=200, tol=1e-3)
        scores.append(score(probe, train[rows], train_y[rows], test, test_y))
    return float(np.mean(scores))


def score(
    probe: LogisticRegression,
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
) -> float:
    """Fit the probe on standardised features and return its top-1 test accuracy, from 0 to 1.

    Degenerate cases as in `probes.accuracy_of`.
    """
    return accuracy_of(make_pipeline(StandardScaler(), probe), train, train_y, test, test_y)

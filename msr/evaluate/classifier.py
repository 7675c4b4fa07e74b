"""A linear classifier on frozen features: the usual measure of transfer learning.

In all functions `train` and `test` are features, [N, d] and [N_test, d], and `train_y` and
`test_y` their labels, [N] and [N_test].
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr.evaluate.features import STREAM

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
    starts from the one before. seed: of the choice of that fifth. Raises ValueError where a class
    has only one training image.
    """
    splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)
    fold = list(splitter.split(train, train_y))
    strengths = np.sort(1 / np.geomspace(*L2, n_l2))  # scikit-learn's C
    probe = LogisticRegressionCV(Cs=strengths, cv=fold, scoring="accuracy", max_iter=100, tol=1e-3)
    return score(probe, train, train_y, test, test_y)


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
    """Fit the probe on standardised features and return its top-1 test accuracy, from 0 to 1."""
    with warnings.catch_warnings():
        # about fits that did not converge, and about future defaults of scikit-learn
        warnings.simplefilter("ignore")
        return float(make_pipeline(StandardScaler(), probe).fit(train, train_y).score(test, test_y))

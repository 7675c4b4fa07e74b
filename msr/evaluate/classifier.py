"""A linear classifier on frozen features, as transfer learning is judged.

Throughout, `train` and `test` are features [N, d] and [N_test, d], `train_y` and `test_y` their
labels [N] and [N_test].
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr.evaluate.features import STREAM

L2 = (1e-6, 1e5)  # range of the penalty, as in Ericsson et al. 2021
DRAWS = 5  # of the few shots


def accuracy(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    n_l2: int = 9,
    seed: int = 0,
) -> float:
    """Return the top-1 accuracy of multinomial logistic regression, its ℓ2 penalty chosen.

    Settings: standardised features, L-BFGS, at most 100 iterations, tolerance 1e-3. The penalty is
    one of n_l2 from 1e-6 to 1e5 on a logarithmic scale, the best on a fifth of the training part;
    the final fit is on all of it (the protocol of Ericsson et al. 2021, whose scale has 45). Each
    fit along the scale starts from the one before. seed: of the split.
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
    """Return the top-1 accuracy from `shots` images of each class, mean over DRAWS draws of them.

    Settings: standardised features, L-BFGS, at most 200 iterations, tolerance 1e-3. The ℓ2 penalty
    is 1, since so few images leave none to choose it by. seed: of the draws.
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
    """Fit the probe on standardised features and return its top-1 accuracy on the test part."""
    with warnings.catch_warnings():
        # fits that did not converge, and scikit-learn's defaults to come
        warnings.simplefilter("ignore")
        return float(make_pipeline(StandardScaler(), probe).fit(train, train_y).score(test, test_y))

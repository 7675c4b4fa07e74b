"""Disentanglement scores of a code against known factors: DCI (Eastwood & Williams 2018) and its ES (Eastwood et al. 2023).

The importance matrix R [L, K] says how much dimension i of the code matters for factor j; everything else is a function of it,
or of the curve of a probe's loss against its capacity.
"""
from __future__ import annotations

from typing import Sequence

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def entropy(p: np.ndarray, axis: int) -> np.ndarray:
    """Shannon entropy of the distributions along `axis`, in units of log(their length): 0 for one-hot, 1 for uniform."""
    n = p.shape[axis]
    if n == 1:
        return np.zeros(p.sum(axis=axis).shape)
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=axis) / np.log(n)


def shares(importance: np.ndarray, axis: int) -> np.ndarray:
    """Each row or column scaled to sum to 1; one of zeros becomes uniform, so that it scores 0."""
    total = importance.sum(axis=axis, keepdims=True)
    return np.where(total > 0, importance / np.where(total > 0, total, 1.0), 1 / importance.shape[axis])


def disentanglement(importance: np.ndarray) -> float:
    """D = Σ_i ρ_i (1 − H_K(P_i)), P_i the shares of dimension i among the factors, ρ_i its share of all importance.

    importance [L, K], non-negative. 1: every dimension serves one factor; 0: each serves all alike. (2018, section 2)
    """
    weight = importance.sum(axis=1)
    if weight.sum() == 0:
        return 0.0
    return float((weight / weight.sum() * (1 - entropy(shares(importance, 1), 1))).sum())


def completeness(importance: np.ndarray) -> float:
    """C = mean_j (1 − H_L(P_j)), P_j the shares of factor j among the dimensions. 1: each factor sits in one dimension."""
    return float((1 - entropy(shares(importance, 0), 0)).mean())


def explicitness(capacity: Sequence[float], loss: Sequence[float], baseline: float) -> float:
    """E = 1 − AULCC / Z, the area between the loss-capacity curve and its lowest loss ℓ*, over Z = ½ (κ* − κ_b)(ℓ_b − ℓ*).

    capacity ascending, κ_b = capacity[0] the weakest probe; κ* the first capacity to reach ℓ* = min(loss); `baseline` ℓ_b the loss of
    a constant prediction. 1: the weakest probe does as well as any; 0: the loss falls in a straight line; −1: only the strongest
    probe helps. (2023, section 4.) Returns 0 where no probe beats the constant. Raises ValueError for unequal lengths.
    """
    capacity, loss = np.asarray(capacity, float), np.asarray(loss, float)
    if len(capacity) != len(loss) or len(loss) == 0 or (np.diff(capacity) <= 0).any():
        raise ValueError(f"{len(capacity)} capacities and {len(loss)} losses: give one loss per capacity, capacities ascending")
    best = int(loss.argmin())
    if loss[best] >= baseline:
        return 0.0
    if best == 0:
        return 1.0
    k, gap = capacity[: best + 1], loss[: best + 1] - loss[best]
    area = float(((gap[1:] + gap[:-1]) / 2 * np.diff(k)).sum())
    return 1 - area / (0.5 * (k[-1] - k[0]) * (baseline - loss[best]))


def size(code: int, factors: int) -> float:
    """S = K / L, the number of factors over that of code dimensions: 1 for a code as small as the factors allow."""
    return factors / code


def importances(code: np.ndarray, factors: np.ndarray, seed: int = 0) -> np.ndarray:
    """R [L, K]: impurity importances of a random forest per factor, each scaled by the forest's out-of-bag R² (at least 0), so that
    what predicts nothing weighs nothing. code [N, L], factors [N, K]."""
    columns = []
    for y in factors.T:
        forest = RandomForestRegressor(50, max_depth=12, max_samples=min(1.0, 2000 / len(y)), oob_score=True, random_state=seed).fit(code, y)
        columns.append(forest.feature_importances_ * max(0.0, forest.oob_score_))
    return np.stack(columns, axis=1)


CAPACITIES = (2, 4, 8, 16, 32, 64, 128, 256, 512)             # radial functions of the explicitness probe


def loss_capacity(train, train_y, test, test_y) -> np.ndarray:
    """Held-out 1 − R² [len(CAPACITIES), K] of ridge regression on so many Nyström radial functions of the code, and no linear term."""
    rows = []
    for n in CAPACITIES:
        model = make_pipeline(StandardScaler(), Nystroem(gamma=1 / train.shape[1], n_components=min(n, len(train)), random_state=0),
                              RidgeCV(np.logspace(-6, 3, 10), alpha_per_target=True))
        rows.append(1 - r2_score(test_y, model.fit(train, train_y).predict(test), multioutput="raw_values"))
    return np.clip(rows, 0, 1)


def scores(train, train_y, test, test_y, seed: int = 0) -> dict[str, float]:
    """{disentanglement, completeness, informativeness, explicitness, size} of a code [N, L] against factors [N, K].

    Informativeness is the mean best R² along the loss-capacity curve; capacity is counted in doublings of the number of
    radial functions. Held-out throughout.
    """
    importance, loss = importances(train, train_y, seed), loss_capacity(train, train_y, test, test_y)
    capacity = np.log2(CAPACITIES)
    return {"disentanglement": disentanglement(importance), "completeness": completeness(importance),
            "informativeness": float((1 - loss.min(axis=0)).mean()),
            "explicitness": float(np.mean([explicitness(capacity, column, 1.0) for column in loss.T])),
            "size": size(train.shape[1], train_y.shape[1])}

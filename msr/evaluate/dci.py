"""Disentanglement scores DCI-ES of a code against known factors.

DCI is of Eastwood & Williams 2018, its extension ES of Eastwood et al. 2023. A code has L
dimensions, and there are K factors. The entry (i, j) of the importance matrix R [L, K] says how
much dimension i of the code matters for predicting factor j. Each score is a function of this
matrix, of the curve of a probe's loss against its capacity, or of L and K.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr.evaluate.probes import r2

# ------------------------------------------------------------------------ of the importance matrix


def entropy(p: np.ndarray, axis: int) -> np.ndarray:
    """Return the Shannon entropy of the distributions p along `axis`, which the result lacks.

    It is divided by the logarithm of their length: 0 for one-hot, 1 for uniform. Distributions of
    length 1 have the entropy 0.
    """
    n = p.shape[axis]
    if n == 1:
        return np.zeros(p.sum(axis=axis).shape)
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=axis) / np.log(n)


def shares(importance: np.ndarray, axis: int) -> np.ndarray:
    """Return the importance matrix [L, K] scaled to sum to 1 along `axis`.

    axis 1 scales each row (dimension), axis 0 each column (factor). One that is all zero becomes
    uniform, so that its score is 0.
    """
    total = importance.sum(axis=axis, keepdims=True)
    return np.where(
        total > 0, importance / np.where(total > 0, total, 1.0), 1 / importance.shape[axis]
    )


def disentanglement(importance: np.ndarray) -> float:
    """Return D = Σ_i ρ_i (1 − H_K(P_i)) of a non-negative importance matrix [L, K].

    P_i is row i scaled to sum to 1, H_K its `entropy`, and ρ_i the share of dimension i in all
    importance. 1: every dimension matters for one factor only; 0: for all factors equally, or
    nothing matters at all. (Eastwood & Williams 2018, section 2)
    """
    weight = importance.sum(axis=1)
    if weight.sum() == 0:
        return 0.0
    return float((weight / weight.sum() * (1 - entropy(shares(importance, 1), 1))).sum())


def completeness(importance: np.ndarray) -> float:
    """Return C = mean_j (1 − H_L(P_j)) of a non-negative importance matrix [L, K].

    P_j is column j scaled to sum to 1, and H_L its `entropy`. 1: each factor is encoded in one
    dimension; 0: in all dimensions equally, or in none.
    """
    return float((1 - entropy(shares(importance, 0), 0)).mean())


def importances(code: np.ndarray, factors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the importance matrix R [L, K] of a code [N, L] for factors [N, K].

    A random forest is fitted for each factor. Its impurity importances, which sum to 1, are
    multiplied by its out-of-bag R² (or by 0 if that is negative), so that a factor that cannot be
    predicted has no weight. Settings: 50 trees of depth 12 at most, each fitted on a bootstrap
    sample of at most 2000 rows. seed: of the forests.
    """
    columns = []
    for y in factors.T:
        forest = RandomForestRegressor(
            50, max_depth=12, max_samples=min(1.0, 2000 / len(y)), oob_score=True, random_state=seed
        ).fit(code, y)
        columns.append(forest.feature_importances_ * max(0.0, forest.oob_score_))
    return np.stack(columns, axis=1)


# ------------------------------------------------------------------- of the curve of loss, and size

CAPACITIES = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # numbers of radial functions of the probe


def explicitness(
    capacity: Sequence[float] | np.ndarray, loss: Sequence[float] | np.ndarray, baseline: float
) -> float:
    """Return E = 1 − AULCC / Z of a loss-capacity curve, with Z = ½ (κ* − κ_b)(ℓ_b − ℓ*).

    capacity, loss: [C], one point of the curve each, capacities ascending. AULCC is the area
    between the curve and its lowest loss, ``ℓ* = min(loss)``, up to the first capacity ``κ*`` that
    reaches it; κ_b is capacity[0], the weakest probe. baseline: ℓ_b, the loss of a constant
    prediction. 1: the weakest probe does as well as any; 0: the loss falls in a straight line from
    ℓ_b; −1: only the strongest probe helps. (Eastwood et al. 2023, section 4) Returns 0 if no probe
    beats the constant, and nan if a loss is nan. Raises ValueError for unequal lengths or
    capacities that do not ascend.
    """
    capacity, loss = np.asarray(capacity, float), np.asarray(loss, float)
    if len(capacity) != len(loss) or len(loss) == 0 or (np.diff(capacity) <= 0).any():
        raise ValueError(
            f"{len(capacity)} capacities and {len(loss)} losses: "
            "give one loss per capacity, capacities ascending"
        )
    if np.isnan(loss).any():
        return float("nan")
    best = int(loss.argmin())
    if loss[best] >= baseline:
        return 0.0
    if best == 0:
        return 1.0
    k, gap = capacity[: best + 1], loss[: best + 1] - loss[best]
    area = float(((gap[1:] + gap[:-1]) / 2 * np.diff(k)).sum())
    return 1 - area / (0.5 * (k[-1] - k[0]) * (baseline - loss[best]))


def size(code: int, factors: int) -> float:
    """Return the size score S = K / L; it is 1 for a code with one dimension per factor.

    code: L, the number of dimensions of the code. factors: K, the number of factors.
    """
    return factors / code


def loss_capacity(
    train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray
) -> np.ndarray:
    """Return the held-out loss 1 − R², clipped to [0, 1], per capacity and factor, [capacities, K].

    train, test: codes [N, L] and [N_test, L]. train_y, test_y: their factors [N, K] and
    [N_test, K]; the loss of a factor that is the same in all of test_y is nan. Settings: ridge
    regression on Nyström radial functions of the standardised code, without a linear term. Their
    number is the capacity, each of `CAPACITIES` in turn, but at most N. The kernel is Gaussian of
    width √(L/2), with centres drawn by seed 0. The ridge penalty of each factor is one of ten from
    1e-6 to 1e3 on a logarithmic scale, chosen by leave-one-out.
    """
    rows = []
    for n in CAPACITIES:
        model = make_pipeline(
            StandardScaler(),
            Nystroem(gamma=1 / train.shape[1], n_components=min(n, len(train)), random_state=0),
            RidgeCV(np.logspace(-6, 3, 10), alpha_per_target=True),
        )
        predicted = model.fit(train, train_y).predict(test)
        rows.append(1 - r2(test_y, predicted))
    return np.clip(rows, 0, 1)


# -------------------------------------------------------------------------------------- all at once


def scores(
    train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Return all five scores of a code against factors, by name.

    They are disentanglement, completeness, informativeness, explicitness and size. Arguments as in
    `loss_capacity`; seed: of the random forests. Informativeness is the highest R² on the
    loss-capacity curve, explicitness has the base-2 logarithm of the number of radial functions as
    capacity; both are means over factors. All scores but size are held-out: importances are out of
    bag, the curve is of the test codes. Settings as in `importances` and `loss_capacity`. Means
    leave out factors that are the same in all of test_y. Raises ValueError, one line, for fewer
    than two training rows, no factors, and codes that are not finite.
    """
    if len(train) < 2 or not train_y.shape[1] or not np.isfinite(train).all():
        raise ValueError(
            f"{len(train)} codes and {train_y.shape[1]} factors; give two finite codes or more, "
            "and one factor or more"
        )
    importance = importances(train, train_y, seed)
    loss = loss_capacity(train, train_y, test, test_y)  # [capacities, K]
    capacity = np.log2(CAPACITIES)
    return {
        "disentanglement": disentanglement(importance),
        "completeness": completeness(importance),
        "informativeness": _mean(1 - loss.min(axis=0)),
        "explicitness": _mean([explicitness(capacity, column, 1.0) for column in loss.T]),
        "size": size(train.shape[1], train_y.shape[1]),
    }


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Return the mean of the values that are not nan; nan if there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")

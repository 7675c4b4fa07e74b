"""Hand-checked matrices and curves; a code that is the factors, and one that mixes them."""

import numpy as np
import pytest

from msr.evaluate import dci


def test_identity_is_perfect():
    assert dci.disentanglement(np.eye(3)) == dci.completeness(np.eye(3)) == 1


def test_uniform_is_nothing():
    uniform = np.ones((4, 3))
    assert dci.disentanglement(uniform) == pytest.approx(0)
    assert dci.completeness(uniform) == pytest.approx(0)


def test_two_dimensions_by_hand():
    # rows: (1, 0) -> 1 − 0; (1, 1) -> 1 − log 2 / log 2 = 0; importances 1 and 2 -> D = 1/3
    # columns: (1, 1)/2 -> 0; (0, 1) -> 1; C = 1/2
    matrix = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert dci.disentanglement(matrix) == pytest.approx(1 / 3)
    assert dci.completeness(matrix) == pytest.approx(1 / 2)


def test_three_dimensions_that_share_a_factor_by_hand():
    # D = 1, since each dimension serves one factor
    # C = mean of 1 − log 3 / log 4 for the shared factor and 1 for the other
    matrix = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert dci.disentanglement(matrix) == 1
    assert dci.completeness(matrix) == pytest.approx((1 - np.log(3) / np.log(4) + 1) / 2)


def test_what_predicts_nothing_weighs_nothing():
    assert dci.disentanglement(np.zeros((2, 2))) == 0
    assert dci.completeness(np.zeros((2, 2))) == pytest.approx(0)
    assert dci.disentanglement(np.array([[1.0, 0], [0, 0]])) == 1  # a dead dimension has no weight


@pytest.mark.parametrize(
    "loss, baseline, expected",
    [
        ([0.1, 0.1, 0.1], 1.0, 1.0),  # the weakest probe is enough
        ([1.0, 0.5, 0.0], 1.0, 0.0),  # a straight line: AULCC = Z
        ([1.0, 1.0, 0.0], 1.0, -0.5),  # area 1 + 1/2, Z = 1
        ([0.5, 0.0, 0.0], 1.0, 0.5),  # area 1/4, Z = 1/2
        ([1.0, 1.2], 1.0, 0.0),  # nothing beats the constant
    ],
)
def test_explicitness_by_hand(loss, baseline, expected):
    assert dci.explicitness(range(len(loss)), loss, baseline) == pytest.approx(expected)


def test_unequal_lengths_are_named():
    with pytest.raises(ValueError, match="2 capacities and 1 losses"):
        dci.explicitness([1, 2], [0.5], 1.0)


def test_a_code_that_is_the_factors_and_one_that_mixes_them():
    rng = np.random.default_rng(0)
    y, y_test = rng.normal(size=(2, 800, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    own = dci.scores(y, y, y_test, y_test)
    assert own["disentanglement"] > 0.9 and own["completeness"] > 0.9
    assert own["informativeness"] > 0.95 and own["size"] == 1
    mixed = dci.scores(y @ turn, y, y_test @ turn, y_test)
    assert mixed["disentanglement"] < own["disentanglement"] - 0.3
    assert mixed["informativeness"] > 0.95
    noise = dci.scores(rng.normal(size=(800, 3)), y, rng.normal(size=(800, 3)), y_test)
    assert noise["informativeness"] < 0.05

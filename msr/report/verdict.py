"""The verdict: one rule says "better", "as promised" or "no clear difference" on every page.

A difference over paired seeds is called clear only where its t-interval, after Holm's correction
over the targets that stand in the same table, excludes zero. One seed gives no verdict at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from msr.report.metrics import Table

LEVEL = 0.05  # chance of any false verdict in a table, at most
ONE_SEED = "one seed: no verdict"

# Stands below every table or list that holds verdicts.
NOTE = (
    "How the verdicts are made: paired 95 % t-intervals over seeds, after Holm's correction over "
    "the targets (in each column, where a table compares several pairs). A verdict is given only "
    "where the interval excludes zero. The ± of a difference or a lead is the half-width of that "
    "interval; the ± of a score is one standard deviation over seeds. All seeds share one data set "
    "and one split, so the intervals do not count the variance of the data."
)


@dataclass(frozen=True)
class Verdict:
    """A mean difference over seeds and its interval, mean ± half."""

    mean: float
    half: float  # half-width of the interval, at the level that decided it; infinite for one seed
    seeds: int

    @property
    def sign(self) -> int:
        """+1 where the whole interval lies above zero, −1 where below, 0 where undecided."""
        return int(self.mean > self.half) - int(self.mean < -self.half)


# ------------------------------------------------------------------------------------- the rule


def paired(differences: Mapping[str, Sequence[float]]) -> dict[str, Verdict]:
    """Return a verdict per target from its differences, one per seed: ours minus theirs.

    Paired t-tests with the step-down correction of Holm (1979): of k targets, sorted by p-value,
    the i-th (from 0) is tested at LEVEL / (k − i); the first that fails leaves itself and all
    after it undecided. So the chance of any false verdict is at most LEVEL. Differences that
    are equal over seeds decide, unless all are zero. Raises ValueError where one is not finite.
    """
    samples = {target: np.asarray(values, float) for target, values in differences.items()}
    for target, sample in samples.items():
        if not np.isfinite(sample).all():
            raise ValueError(f"the differences of '{target}' must be finite; got {sample.tolist()}")
    order = sorted(samples, key=lambda target: _p_value(samples[target]))

    # Interval and verdict never disagree. A t-interval at level a excludes zero exactly where
    # p < a, so a target that passes has an interval, at its own level, without zero. From the
    # first failure on, the level a stays as it was there: later targets have p-values no smaller
    # than the one that failed, hence p ≥ a, and their intervals at level a hold zero.
    verdicts: dict[str, Verdict] = {}
    failed, at = False, LEVEL
    for i, target in enumerate(order):
        if not failed:
            at = LEVEL / (len(order) - i)
        sample = samples[target]
        verdicts[target] = Verdict(float(sample.mean()), _half_width(sample, at), len(sample))
        failed = failed or not verdicts[target].sign
    return {target: verdicts[target] for target in differences}


def _standard_error(sample: np.ndarray) -> float:
    """Return the standard error of the mean of a sample [seeds] of two or more."""
    return float(sample.std(ddof=1)) / math.sqrt(len(sample))


def _p_value(sample: np.ndarray) -> float:
    """Return the two-sided p-value of a t-test that the mean is zero; 1 for one seed."""
    if len(sample) < 2:
        return 1.0
    mean, error = float(sample.mean()), _standard_error(sample)
    if not error:
        return 0.0 if mean else 1.0
    return float(2 * t.sf(abs(mean) / error, len(sample) - 1))


def _half_width(sample: np.ndarray, level: float) -> float:
    """Return the half-width of the t-interval at `level`; infinite for one seed."""
    if len(sample) < 2:
        return math.inf
    return float(t.isf(level / 2, len(sample) - 1)) * _standard_error(sample)


# ------------------------------------------------------------------------- verdicts from tables


def between(
    ours: Table, our_row: str, theirs: Table, their_row: str, targets: Sequence[str]
) -> dict[str, Verdict]:
    """Return a verdict per target on row `our_row` of our table minus row `their_row` of theirs.

    Paired seed by seed; corrected over `targets`. Raises ValueError for unequal numbers of seeds.
    """
    differences = {}
    for target in targets:
        a, b = ours[our_row][target]["values"], theirs[their_row][target]["values"]
        if len(a) != len(b):
            raise ValueError(
                f"'{target}' has {len(a)} seeds against {len(b)}; both sides need the same seeds"
            )
        differences[target] = [x - y for x, y in zip(a, b)]
    return paired(differences)


def located(table: Table, spaces: Sequence[str], homes: Mapping[str, str]) -> dict[str, str]:
    """Return the home of each of the table's columns that has one among `spaces`.

    homes: {factor or target: space}; the column `shape_linear` is found there as `shape`. Empty
    where there is one space only, which has no rival.
    """
    places = {target: homes.get(target.removesuffix("_linear"), "") for target in table[spaces[0]]}
    return {t: home for t, home in places.items() if home in spaces and len(spaces) > 1}


def leads(table: Table, spaces: Sequence[str], homes: Mapping[str, str]) -> dict[str, Verdict]:
    """Return for each `located` column a verdict on the lead of its home, corrected over them all.

    The lead of a seed is the home's value minus the best of all other spaces in that seed, so
    the rival may differ from seed to seed.
    """
    found = {}
    for target, home in located(table, spaces, homes).items():
        own = table[home][target]["values"]
        rivals = [table[space][target]["values"] for space in spaces if space != home]
        found[target] = [value - max(others) for value, *others in zip(own, *rivals)]
    return paired(found)


# ------------------------------------------------------------------------------------- in words


def compared(verdict: Verdict) -> str:
    """Say whether ours is better than theirs."""
    return _say(verdict, "better", "worse", "no clear difference")


def promised(verdict: Verdict) -> str:
    """Say whether a target's home leads the other spaces, as the theory promises."""
    return _say(verdict, "as promised", "**not as promised**", "**undecided**")


def _say(verdict: Verdict, above: str, below: str, neither: str) -> str:
    """Return the word for an interval above zero, below zero, or around it."""
    if verdict.seeds < 2:
        return ONE_SEED
    return {1: above, -1: below, 0: neither}[verdict.sign]

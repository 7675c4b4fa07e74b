"""Verdicts: the one rule by which every page says "better" or "no clear difference".

A difference over paired seeds is clear only if its t-interval, after Holm's correction over the
targets in the same table, excludes zero. One seed gives no verdict at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from msr.report.metrics import Table

LEVEL = 0.05  # largest chance of any false verdict among the targets corrected together
ONE_SEED = "one seed: no verdict"
NO_SCORE = "no score: no verdict"

# This note stands below every table or list that holds verdicts; a click unfolds it.
NOTE = (
    "<details><summary>How the verdicts are made</summary>Paired 95 % t-intervals over seeds, "
    "after Holm's correction over the targets (in each column, where a table compares several "
    "pairs). A verdict is given only where the interval excludes zero. The ± of a difference or a "
    "lead is the half-width of that interval; the ± of a score is one standard deviation over "
    "seeds. All seeds share one data set and one split, so the intervals do not count the variance "
    "of the data.</details>"
)


@dataclass(frozen=True)
class Verdict:
    """A mean difference over seeds and its interval, mean ± half."""

    mean: float  # nan where a score is missing
    half: float  # half-width of the interval at its corrected level; infinite if there is none
    seeds: int  # their number

    @property
    def sign(self) -> int:
        """+1 if the whole interval lies above zero, −1 if below, 0 if undecided."""
        return int(self.mean > self.half) - int(self.mean < -self.half)


# ------------------------------------------------------------------------------------- the rule


def paired(differences: Mapping[str, Sequence[float]]) -> dict[str, Verdict]:
    """Return a verdict for each target, {target: verdict}.

    differences: {target: ours minus theirs, one number per seed}. They are decided by paired
    t-tests with the step-down correction of Holm (1979): the k targets are sorted by p-value, and
    the i-th (from 0) is tested at level LEVEL / (k − i). The first that fails is undecided, and so
    are all after it. The chance of any false verdict is thus at most LEVEL. If all seeds have the
    same difference, it is decided, unless it is zero. A target with a difference that is not finite
    (a score is missing) or without any gets no verdict, and does not count among the k.
    """
    samples = {target: np.asarray(values, float) for target, values in differences.items()}
    tested = [t for t, sample in samples.items() if len(sample) and np.isfinite(sample).all()]
    order = sorted(tested, key=lambda target: _p_value(samples[target]))

    # Interval and verdict never disagree. A t-interval at level a excludes zero if and only if
    # p < a, so a target that passes has an interval, at its own level, that excludes zero. From the
    # first failure on, the level a stays as it was there: later targets have p-values no smaller
    # than the one that failed, hence p ≥ a, and their intervals at level a contain zero.
    verdicts: dict[str, Verdict] = {}
    failed, at = False, LEVEL
    for i, target in enumerate(order):
        if not failed:
            at = LEVEL / (len(order) - i)
        sample = samples[target]
        verdicts[target] = Verdict(float(sample.mean()), _half_width(sample, at), len(sample))
        failed = failed or not verdicts[target].sign
    none = {t: Verdict(math.nan, math.inf, len(sample)) for t, sample in samples.items()}
    return {target: verdicts.get(target, none[target]) for target in differences}


def _standard_error(sample: np.ndarray) -> float:
    """Return the standard error of the mean of a sample [seeds], of two seeds or more."""
    return float(sample.std(ddof=1)) / math.sqrt(len(sample))


def _p_value(sample: np.ndarray) -> float:
    """Return the two-sided p-value of a t-test that the mean of a sample is 0; 1 for one seed."""
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
    """Return a verdict for each target on the difference of two rows, {target: verdict}.

    The difference is row `our_row` of the table `ours` minus row `their_row` of `theirs`, paired by
    seed and corrected over `targets`. Raises ValueError, one line, if the numbers of seeds differ.
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
    """Return {column: home} for the columns of the table that have their home among `spaces`.

    A target's home is the space that encodes it according to the theory. homes: {factor or target:
    space}; the column `shape_linear` is looked up as `shape`. Empty if there is only one space,
    which has no rival, or none.
    """
    if not spaces:
        return {}
    places = {target: homes.get(target.removesuffix("_linear"), "") for target in table[spaces[0]]}
    return {t: home for t, home in places.items() if home in spaces and len(spaces) > 1}


def leads(table: Table, spaces: Sequence[str], homes: Mapping[str, str]) -> dict[str, Verdict]:
    """Return for each column with a home (see `located`) a verdict on the lead of its home.

    The lead in one seed is the home's value minus the best value of all other spaces in that seed,
    so the rival may differ between seeds. The verdicts are corrected over all these columns.
    """
    found = {}
    for target, home in located(table, spaces, homes).items():
        own = table[home][target]["values"]
        rivals = [table[space][target]["values"] for space in spaces if space != home]
        found[target] = [value - np.max(others) for value, *others in zip(own, *rivals)]
    return paired(found)


# ------------------------------------------------------------------------------------- in words


def compared(verdict: Verdict) -> str:
    """Return "better", "worse" or "no clear difference", of ours against theirs.

    For one seed or a missing score, return that there is no verdict.
    """
    return say(verdict, "better", "worse", "no clear difference")


def lower(verdict: Verdict) -> str:
    """Return `compared` for a score of which less is better, such as a leak."""
    return say(verdict, "worse", "better", "no clear difference")


def promised(verdict: Verdict) -> str:
    """Return whether a target's home leads the other spaces as the theory promises, in words.

    For one seed or a missing score, return that there is no verdict.
    """
    return say(verdict, "as promised", "**not as promised**", "**undecided**")


def say(verdict: Verdict, above: str, below: str, neither: str) -> str:
    """Return one of three texts, for an interval above zero, below zero, or around it."""
    if math.isnan(verdict.mean):
        return NO_SCORE
    if verdict.seeds < 2:
        return ONE_SEED
    return {1: above, -1: below, 0: neither}[verdict.sign]

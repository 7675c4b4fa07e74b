"""A run that is disturbed again and again ends as if nobody had disturbed it (see `disturb`)."""

import os

import disturb
import pytest


def test_each_fault_once_on_one_rank():
    counts = disturb.story(1, seed=0)
    assert counts["kill"] == 1 and counts["runs"] >= 1


def test_some_faults_on_two_ranks():
    counts = disturb.story(2, seed=1, faults=(disturb.kill_one_rank, disturb.stop_everyone))
    assert counts["runs"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2])
def test_an_hour_of_faults(ranks):
    minutes = float(os.environ.get("MSR_FAULT_MINUTES", 60)) / 2
    counts = disturb.story(ranks, seed=2, minutes=minutes, show=print)
    assert min(counts.values()) > 0

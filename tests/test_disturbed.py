"""A run that is disturbed again and again ends as if nobody had disturbed it (see `disturb`)."""

import os

import disturb
import pytest


def test_a_run_that_is_disturbed():
    """The faults that no other test has; kills and stops are in test_restart and test_ranks."""
    faults = (disturb.truncate, disturb.forbid_writing, disturb.hide_data, disturb.jump)
    counts = disturb.story(1, seed=0, faults=faults)
    assert counts["hide_data"] == 1 and counts["runs"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2])
def test_an_hour_of_faults(ranks):
    """Half an hour on one rank and half an hour on two; MSR_FAULT_MINUTES is the sum of both."""
    minutes = float(os.environ.get("MSR_FAULT_MINUTES", 60)) / 2
    counts = disturb.story(ranks, seed=2, minutes=minutes, show=print)
    assert min(counts.values()) > 0 or (os.geteuid() and not counts.pop("fill_disk"))

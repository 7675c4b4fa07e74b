"""The time that is left in a build."""

import yaml

import build
from clock import Clock, about


def test_the_time_left_follows_the_pace_of_this_machine():
    clock = Clock({"a": 100.0, "b": 60.0, "c": 240.0}, ["a", "c"])
    assert clock.begins("a") == ", about 2 min of about 6 min that are left"
    clock.ended("a", 50.0)  # twice as fast
    assert clock.begins("c") == ", about 2 min of about 2 min that are left"
    assert clock.begins("unknown") == ""
    clock.ended("c", 2.0)  # networks were used again: it says nothing about this machine
    assert clock.begins("b") == ", about 30 s of about 30 s that are left"


def test_times_in_words():
    assert (about(31.4), about(95)) == ("about 31 s", "about 2 min")


def test_times_are_of_notebooks():
    times = yaml.safe_load((build.ROOT / "book" / "profiles" / "times.yml").read_text())
    for profile in ("smoke", "quick"):
        assert set(times[profile]) <= set(build.notebooks()), "of a new page it need not be known"

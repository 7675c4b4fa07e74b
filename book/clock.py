"""How much longer a build takes: from what each notebook took on two CPU cores, and takes here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Clock:
    """The time that is left in a build.

    expected: {notebook: seconds on two CPU cores}. waiting: the notebooks that will be executed, in
    order. Those that are done say how fast this machine is.
    """

    def __init__(self, expected: Mapping[str, float], waiting: Sequence[str]):
        self.expected, self.waiting = expected, list(waiting)
        self.took = self.planned = 0.0  # seconds of those that are done, here and as expected

    def begins(self, name: str) -> str:
        """Return words on the notebook that begins; empty if it is not known how long it takes."""
        if name not in self.expected:
            return ""
        pace = self.took / self.planned if self.planned else 1.0
        rest = self.waiting[self.waiting.index(name) :] if name in self.waiting else [name]
        all_left = sum(self.expected.get(one, 0.0) for one in rest) * pace
        return f", {about(self.expected[name] * pace)} of {about(all_left)} that are left"

    def ended(self, name: str, seconds: float) -> None:
        """Take note of what a notebook took, unless it hardly ran: it used networks again."""
        if seconds > self.expected.get(name, float("inf")) / 4:
            self.took, self.planned = self.took + seconds, self.planned + self.expected[name]


def about(seconds: float) -> str:
    """Return a time in words, in minutes from a minute and a half on."""
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"

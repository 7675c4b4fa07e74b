"""The schedule of a run: the rates of each step, and after which steps it logs and saves."""

from __future__ import annotations

from dataclasses import dataclass

from msr.train import optim
from msr.train.settings import Training


@dataclass(frozen=True)
class Schedule:
    """What happens at which step, from the settings and the number of steps per epoch.

    The rates (`lr`, `dual_rate`, `adapts`) take the index of a step, from 0; the other methods take
    the number of steps that are done.
    """

    settings: Training
    per_epoch: int

    @property
    def total(self) -> int:
        """Number of steps of the whole run."""
        return self.settings.epochs * self.per_epoch

    def lr(self, step: int) -> float:
        """Return the learning rate: linear warm-up, then cosine to 0."""
        warmup = round(self.settings.warmup_epochs * self.per_epoch)
        return self.settings.peak_lr * optim.warmup_cosine(step, self.total, warmup)

    def dual_rate(self, step: int) -> float:
        """Return the rate η of the λ step: cosine to 0, without warm-up."""
        return self.settings.dual_rate * optim.warmup_cosine(step, self.total, 0)

    def adapts(self, step: int) -> bool:
        """Return whether λ moves in this step: when it is adaptive and its warm-up is over."""
        dual_warmup = round(self.settings.dual_warmup_epochs * self.per_epoch)
        return self.settings.adaptive and step >= dual_warmup

    def ends_epoch(self, done: int) -> bool:
        """Return whether an epoch ends after `done` steps."""
        return done % self.per_epoch == 0

    def logs(self, done: int) -> bool:
        """Return whether a line of the log is written after `done` steps."""
        return done % self.settings.log_every == 0 or done == self.total

    def saves(self, done: int) -> bool:
        """Return whether a checkpoint is due after `done` steps: every epoch and `save_every`."""
        every = self.settings.save_every
        return self.ends_epoch(done) or (every > 0 and done % every == 0)

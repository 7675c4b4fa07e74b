"""The schedule of a run: the rates of each step, and the steps after which it logs and saves."""

from __future__ import annotations

from dataclasses import dataclass

from msr.train import optim
from msr.train.settings import Training


@dataclass(frozen=True)
class Schedule:
    """What happens at which step of a run.

    per_epoch: number of steps per epoch. `lr`, `dual_rate` and `adapts` take the index of a step,
    counted from 0; the other methods take the number of steps that are done.
    """

    settings: Training
    per_epoch: int

    @property
    def total(self) -> int:
        """The number of steps of the whole run."""
        return self.settings.epochs * self.per_epoch

    def lr(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up to the peak rate, then cosine to 0."""
        warmup = round(self.settings.warmup_epochs * self.per_epoch)
        return self.settings.peak_lr * optim.warmup_cosine(step, self.total, warmup)

    def dual_rate(self, step: int) -> float:
        """Return the rate η of the λ step: cosine from its peak to 0, without linear warm-up."""
        return self.settings.dual_rate * optim.warmup_cosine(step, self.total, 0)

    def adapts(self, step: int) -> bool:
        """Return whether λ changes in this step.

        It does if it is adaptive and the first `dual_warmup_epochs` epochs are over.
        """
        dual_warmup = round(self.settings.dual_warmup_epochs * self.per_epoch)
        return self.settings.adaptive and step >= dual_warmup

    def ends_epoch(self, done: int) -> bool:
        """Return whether an epoch ends after `done` steps."""
        return done % self.per_epoch == 0

    def logs(self, done: int) -> bool:
        """Return whether a line of the log is due after `done` steps.

        One is due every `log_every` steps and at the end of the run.
        """
        return done % self.settings.log_every == 0 or done == self.total

    def saves(self, done: int) -> bool:
        """Return whether a checkpoint is due after `done` steps.

        One is due at the end of each epoch and every `save_every` steps, if that is not 0.
        """
        every = self.settings.save_every
        return self.ends_epoch(done) or (every > 0 and done % every == 0)

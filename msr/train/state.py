"""The state of a run: everything that its remaining steps depend on, saved and restored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from msr import dist, safe
from msr.models import MultiSpace
from msr.objective import Objective
from msr.train import checkpoint, diverged


class NotSaved(RuntimeError):
    """The run came to its end, but could not be saved. Its earlier checkpoints are kept."""


@dataclass
class State:
    """What changes from step to step.

    generator: draws the views; it is on the CPU and the same on all ranks, so that the views depend
    neither on the device nor on the number of ranks. step: number of steps done; it gives the place
    in the schedule and in the data, whose order depends on (seed, epoch) alone. recent: one row
    [2 + 3 (M + 1)] for each step since the last line of the log (see `msr.train.log.row`), on the
    device. pieces: in how many a batch goes through the network (see `msr.train.memory`); it is not
    saved.
    """

    model: MultiSpace
    objective: Objective
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    recent: list[torch.Tensor] = field(default_factory=list)
    pieces: int = 1

    def save(self, folder: Path | None, config: dict) -> str:
        """Write a checkpoint, unless there is no folder.

        config: the content of config.json. Every rank must call this method, since each has a
        random state of its own; rank 0 writes. Returns "" or, if that failed, as on a full disk,
        what happened, on every rank; rank 0 prints it too. The earlier checkpoints are then kept.
        Raises NonFiniteLoss, one line, if the state is not finite.
        """
        if folder is None:
            return ""
        if not all(dist.everyone(self.finite())):
            what = f"the weights or the optimizer's state became nan or inf by step {self.step}"
            raise diverged.error(folder, self.step, what)
        rng = dist.everyone(checkpoint.rng())
        # each rank has the rows of its own images; the log needs the means over ranks
        recent = dist.mean(torch.stack(self.recent)) if self.recent else torch.empty(0)
        problem = ""
        if dist.rank() == 0:
            saved = {
                "step": self.step,
                "model": self.model.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "rng": rng,
                "recent": recent,
                "config": json.dumps(config),
            }
            problem = _write(folder, saved)
        return dist.everyone(problem)[0]

    def finite(self) -> bool:
        """Return whether all weights, the optimizer's state and the recent rows are finite.

        A large gradient may leave finite weights and an infinite second moment, which then never
        move again. This waits for the device.
        """
        moments = [v for held in self.optimizer.state.values() for v in held.values()]
        held = [*self.model.state_dict().values(), *moments, *self.recent]
        device = self.objective.lambdas.device
        found = [x.isfinite().all().to(device) for x in held if isinstance(x, torch.Tensor)]
        return bool(torch.stack(found).all())

    def restore(self, saved: dict) -> None:
        """Restore the state from a checkpoint.

        saved: what `msr.train.checkpoint.latest` returned. If the run had fewer ranks than now, the
        additional ranks keep the random states that they have. Raises ValueError, one line, for the
        checkpoint of another network.
        """
        try:
            self._restore(saved)
        except Exception as error:  # torch raises errors of many kinds
            raise ValueError(
                f"the checkpoint of step {saved['step']} does not fit this run: {safe.line(error)}"
            ) from None

    def _restore(self, saved: dict) -> None:
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        if dist.rank() < len(saved["rng"]):
            checkpoint.set_rng(saved["rng"][dist.rank()])
        device = self.objective.lambdas.device
        self.recent = list(saved["recent"].to(device).unbind(0))
        self.step = saved["step"]


def _write(folder: Path, saved: dict) -> str:
    """Write a checkpoint; return "" or, if that failed, what happened, which is printed too."""
    try:
        checkpoint.save(folder, saved)
    except OSError as error:
        last = next(iter(checkpoint.checkpoints(folder)), None)
        kept = f"the last one is {last.name}" if last else "there is no earlier one"
        reason = error.strerror or str(error)
        problem = f"no checkpoint of step {saved['step']} in {folder} ({reason}); {kept}"
        print(problem, flush=True)
        return problem
    return ""

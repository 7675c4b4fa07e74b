"""The state of a run: everything that its remaining steps depend on, saved and restored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from msr import dist, safe
from msr.models import MultiSpace
from msr.objective import Objective
from msr.train import checkpoint


@dataclass
class State:
    """What changes from step to step.

    generator: draws the views; it is on the CPU and the same on all ranks, so that the views depend
    neither on the device nor on the number of ranks. step: number of steps done; it gives the place
    in the schedule and in the data, whose order depends on (seed, epoch) alone. recent: one row
    [2 + 3 (M + 1)] for each step since the last line of the log (see `msr.train.log.row`), on the
    device.
    """

    model: MultiSpace
    objective: Objective
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    recent: list[torch.Tensor] = field(default_factory=list)

    def save(self, folder: Path | None, config: dict) -> None:
        """Write a checkpoint, unless there is no folder or some weight is not finite.

        config: the content of config.json. Every rank must call this method, since each has a
        random state of its own; rank 0 writes.
        """
        if folder is None or not all_finite(self.model):
            return
        rng = dist.everyone(checkpoint.rng())
        if dist.rank() == 0:
            saved = {
                "step": self.step,
                "model": self.model.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "rng": rng,
                "recent": torch.stack(self.recent) if self.recent else torch.empty(0),
                "config": json.dumps(config),
            }
            checkpoint.save(folder, saved)

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


def all_finite(model: torch.nn.Module) -> bool:
    """Return whether all weights are finite; otherwise they are not saved.

    This waits for the device.
    """
    return bool(torch.stack([p.isfinite().all() for p in model.state_dict().values()]).all())

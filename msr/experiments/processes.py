"""Training by several processes on this machine, followed from one: for `devices` above 1."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from msr import dist
from msr.experiments.parameters import ImageParameters
from msr.models import MultiSpace
from msr.objective import Objective
from msr.train import NonFiniteLoss, Progress, Stopped, checkpoint, lines_of

# What a worker may end with; it prints the kind and the message in one line.
ERRORS = {kind.__name__: kind for kind in (ValueError, TypeError, NonFiniteLoss, Stopped)}


@dataclass(frozen=True)
class Worker:
    """One model to train: `python -m msr.train` with these parameters."""

    config: ImageParameters  # as the user gave it
    seed: int
    name: str  # "spaces" or "vanilla"
    folder: Path  # of the run
    title: str  # of the run, in messages
    total: int  # steps

    def write(self) -> Path:
        """Write the run.json that the processes read, beside the run's folder."""
        path = self.folder.with_name(f"{self.folder.name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {"seeds": 1, "seed": self.seed, "only": self.name, "experiment": self.config.NAME}
        path.write_text(json.dumps(self.config.model_dump(mode="json") | own, indent=1))
        return path


def train(
    worker: Worker, model: MultiSpace, objective: Objective, progress: bool = True
) -> list[dict]:
    """Train by as many processes as `devices` says; load the result into model and objective.

    Returns the log. Raises, in one line, what stopped the processes.
    """
    follow(worker, progress)
    state = checkpoint.latest(worker.folder)
    if state is None:
        raise RuntimeError(f"the training processes left no checkpoint in {worker.folder}")
    model.load_state_dict(state["model"])
    objective.load_state_dict(state["objective"])
    model.eval()
    return lines_of(worker.folder, state["step"])


def follow(worker: Worker, progress: bool) -> None:
    """Start the processes and show their log until they end."""
    run, devices = worker.write(), worker.config.devices
    printed = run.with_suffix(".txt")
    with open(printed, "w") as output, Progress(worker.total, worker.title, progress) as bar:
        process = dist.launch(
            "msr.train", str(run), devices, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                time.sleep(0.5)
                for line in lines_of(worker.folder, worker.total)[-1:]:
                    speed = f"{line['images_per_second']:.0f} images/s"
                    told = f"{devices} processes, loss {line['loss']:.3f}, {speed}"
                    bar.update(line["step"], told)
        finally:
            if process.poll() is None:  # interrupted: the processes save and stop
                process.terminate()
                process.wait(60)
    said = printed.read_text().splitlines()
    starts = tuple(f"{worker.title}: {start}" for start in ("complete", "resum", worker.folder))
    for text in said:
        if text.startswith(starts):
            print(text)
    if process.returncode:
        raise failure(said, process.returncode, printed)


def failure(said: list[str], status: int, printed: Path) -> Exception:
    """Return the error that stopped the processes, from what they printed."""
    told = [line.removeprefix("msr: ").partition(": ") for line in said if line.startswith("msr: ")]
    kind, _, message = told[0] if told else ("", "", "")
    unknown = (
        f"the training processes failed with status {status}; what they printed is in {printed}"
    )
    return ERRORS.get(kind, RuntimeError)(message or unknown)

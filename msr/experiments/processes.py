"""Training by several processes on this machine, for `devices` above 1, watched from one."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from msr import dist, safe
from msr.experiments.image_parameters import ImageParameters
from msr.models import MultiSpace
from msr.objective import Objective
from msr.train import NonFiniteLoss, NotSaved, Progress, Stopped, checkpoint, lines_of

# Errors that a worker may end with; it prints the name and the message of one in one line.
TOGETHER = (NonFiniteLoss, Stopped, NotSaved)  # those that every worker ends with
ERRORS = {kind.__name__: kind for kind in (ValueError, TypeError, OSError, *TOGETHER)}


@dataclass(frozen=True)
class Worker:
    """One model that several processes train by `python -m msr.train`."""

    config: ImageParameters  # the parameters as the user gave them
    seed: int
    name: str  # which model: "spaces" or "vanilla"
    folder: Path  # where the run is saved
    title: str  # name of the run in messages
    total: int  # number of steps of the run

    def write(self) -> Path:
        """Write the run.json that the processes read, next to the run's folder; return its path."""
        path = self.folder.with_name(f"{self.folder.name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {"experiment": self.config.NAME, "only": self.name, "only_seed": self.seed}
        text = json.dumps(self.config.model_dump(mode="json") | own, indent=1)
        safe.write(path, lambda file: file.write(text.encode()))
        return path


def train(
    worker: Worker, model: MultiSpace, objective: Objective, progress: bool = True
) -> list[dict]:
    """Let as many processes as `devices` says train; load the result into model and objective.

    Returns the log. Raises the error that stopped the processes, in one line (see `failure`).
    progress: whether to show a progress bar.
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
    """Start the processes and show the newest line of their log until they end.

    Raises the error that stopped them. When interrupted, they save and stop.
    """
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
            if process.poll() is None:  # interrupted: let the processes save and stop
                process.terminate()
                process.wait(60)
    said = printed.read_text().splitlines()
    told_too = ("complete", "resum", worker.folder)
    starts = ("memory: ", "warning: ", *(f"{worker.title}: {start}" for start in told_too))
    for text in said:
        if text.startswith(starts):
            print(text)
    if process.returncode:
        raise failure(said, process.returncode, printed)


def failure(said: list[str], status: int, printed: Path) -> Exception:
    """Return the error that stopped the processes.

    said: the lines that they printed, among them one "msr: <error>: <message>". status: their exit
    status. printed: the file that holds these lines. The error is a RuntimeError where they name
    none.
    """
    told = [line.removeprefix("msr: ").partition(": ") for line in said if line.startswith("msr: ")]
    kind, _, message = told[0] if told else ("", "", "")
    unknown = (
        f"the training processes failed with status {status}; what they printed is in {printed}"
    )
    return ERRORS.get(kind, RuntimeError)(message or unknown)

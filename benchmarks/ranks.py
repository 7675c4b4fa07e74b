"""What ranks are worth: a step of processes that train together, against a single one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks import steps
from benchmarks.pairs import Case, seconds, told
from msr import dist
from msr.train import loop

ROOT = Path(__file__).parents[1]
TIMED = 5  # steps that are timed, after two that are not


def cases(device: torch.device) -> Iterator[Case]:
    """Yield a step of 2, 4, … ranks against that of one, of the same images in all.

    Each rank has a GPU of its own, or as many threads as all of them leave to each other.
    """
    most = torch.cuda.device_count() if device.type == "cuda" else os.cpu_count() or 1
    for n in (2**i for i in range(1, most.bit_length())):
        ours, theirs = (partial(by, ranks, max(1, most // n), device.type) for ranks in (n, 1))
        yield Case(f"a step, {n} ranks: one", ours, theirs, unit="s", measure=told, most=5)


def by(ranks: int, threads: int, device: str) -> float:
    """Return the seconds of a step by so many ranks of so many threads each.

    Raises RuntimeError with what they wrote, if they fail.
    """
    asked = json.dumps({"threads": threads, "device": device})
    process = dist.launch(
        "benchmarks.ranks",
        asked,
        ranks,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text, _ = process.communicate()
    lines = [line for line in text.splitlines() if line.startswith("seconds ")]
    if process.returncode or not lines:
        raise RuntimeError(f"{ranks} ranks failed:\n{text}")
    return float(lines[-1].split()[1])


def main(argument: str) -> None:
    """Be one rank: take some steps; rank 0 prints the seconds of one."""
    asked = json.loads(argument)
    torch.set_num_threads(asked["threads"])
    dist.start()
    device = torch.device(asked["device"])
    step = steps.Step({}, device)
    network = dist.parallel(step.state.model, device)

    def some(n: int) -> None:
        for _ in range(n):
            state = step.state
            terms = loop.forward(
                network, state.objective, step.views, step.images, state.generator, step.bf16
            )
            loop.update(state, step.schedule, terms)

    some(2)
    spent = seconds(partial(some, TIMED), device) / TIMED
    if dist.rank() == 0:
        print(f"seconds {spent}", flush=True)
    dist.stop()


if __name__ == "__main__":
    main(sys.argv[1])

"""`python -m msr.train run.json`: train what a notebook with the same parameters trains."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from msr import dist, safe
from msr.config import choose
from msr.experiments.processes import ERRORS, TOGETHER

EXPERIMENTS = ("imagenet", "numerical", "photographs", "price", "sprites", "transfer")
STATUS = {"Stopped": 143}  # exit status of a process that SIGTERM ended
PARTS = ("spaces", "vanilla")  # our network, and plain self-supervision


def main() -> None:
    """Train what run.json describes, in one process or under torchrun.

    The results go to the folders where the notebook looks for them. run.json holds the parameters
    of a notebook by name; a missing one has the notebook's default. "experiment" names the notebook
    (imagenet by default); "only", "spaces" or "vanilla", trains only that part (the numerical
    experiment has no such parts), and "only_seed" one of the seeds.

    Exit status: 0 when done; 143 after a SIGTERM, with everything saved; 2, and one line that says
    what is wrong, otherwise.
    """
    try:
        run(read(sys.argv[1:]))
    except tuple(ERRORS.values()) as error:
        if dist.rank() == 0 or not isinstance(error, TOGETHER):
            print(f"msr: {type(error).__name__}: {error}", flush=True)
        sys.exit(STATUS.get(type(error).__name__, 2))
    finally:
        dist.stop()


def read(arguments: list[str]) -> dict[str, Any]:
    """Return the parameters by name in the file that the command's one argument names.

    Raises ValueError, one line, for any other number of arguments, and for a file that cannot be
    read or holds something else.
    """
    if len(arguments) != 1:
        raise ValueError("give one file: python -m msr.train run.json")
    path = arguments[0]
    try:
        with open(path, "rb") as file:
            text = file.read(safe.TEXT + 1)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    return safe.mapping(text, path)


def run(values: dict[str, Any]) -> None:
    """Train every seed of the experiment that `values`, the content of run.json, describes.

    Raises ValueError, one line, for unknown names and wrong values.
    """
    name, only = values.pop("experiment", "imagenet"), values.pop("only", "")
    only_seed = values.pop("only_seed", None)
    choose("experiment", name, EXPERIMENTS)
    if only:
        choose("only", only, PARTS)
    if not isinstance(only_seed, int | None):
        raise ValueError(f"only_seed = {only_seed!r}; give a whole number, one of the seeds")
    experiment = importlib.import_module(f"msr.experiments.{name}")
    latents = hasattr(experiment, "train")  # it has no images, and trains by itself
    if only and latents:
        raise ValueError(
            f"only '{only}' with experiment {name}, which has no such parts; leave it out"
        )
    config: Any = experiment.Parameters(**values)
    seeds = config.all_seeds if only_seed is None else [only_seed]
    dist.start()
    if latents:
        experiment.train(config, seeds)
        return
    setup = experiment.prepare(config.change(devices=dist.world_size()))
    beside = getattr(config, "vanilla", True)
    for seed in seeds:
        for part in [only] if only else PARTS[: 1 + beside]:
            setup.fit(seed, vanilla=part == "vanilla")

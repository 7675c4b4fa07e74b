"""Several networks of one experiment at once, on the cores of a CPU.

Small batches keep no second core busy, so two networks with a core each are done sooner than one
after the other on both. On a GPU, and with `devices` above one, they take turns.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from sklearn.utils.parallel import Parallel, delayed

from msr import dist
from msr.experiments.setup import ImageRun, Setup
from msr.train import Progress, lines_of

Probe = Callable[[Setup, ImageRun], Any] | None
EVERY = 1.0  # seconds between looks at the logs of networks that train


def trained(
    setup: Setup, seeds: Sequence[int], plain: bool = False, probe: Probe = Setup.probe
) -> tuple[list[ImageRun], list[ImageRun]]:
    """Train a network for every seed, and plain self-supervision; return (ours, plain).

    plain: whether to train the latter as well; if not, its list is empty. probe: called with each
    network beside its training, so that the scores which it remembers are there when the page asks
    for them (see `remembered`); None: nothing. Networks that out_dir holds are resumed, or loaded
    if complete. Raises what `Setup.fit` raises.
    """
    kinds = [False, True][: 1 + plain]
    jobs = [(seed, vanilla) for vanilla in kinds for seed in seeds]
    n = at_once([setup.device], len(jobs), setup.config.devices)
    if n > 1:
        shared = by_itself(setup)
        with watched(setup, jobs):
            done = list(answers(one, [(shared, *job, probe) for job in jobs], n))
        print("".join(said for _, said in done), end="", flush=True)
        with contextlib.redirect_stdout(io.StringIO()):  # they were trained a moment ago
            runs = [setup.fit(seed, vanilla, progress=False) for seed, vanilla in jobs]
    else:
        runs = [setup.fit(seed, vanilla) for seed, vanilla in jobs]
    return runs[: len(seeds)], runs[len(seeds) :]


def at_once(used: Iterable[torch.device], jobs: int, devices: int = 1) -> int:
    """Return how many jobs to do at once: 1, or on a CPU as many as it has cores.

    used: the devices of the jobs. devices: on how many a job works by itself, as the parameter of
    that name says.
    """
    on_cpu = all(device.type == "cpu" for device in used)
    if not on_cpu or devices > 1 or dist.world_size() > 1:
        return 1
    return max(1, min(jobs, cores()))


def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # of Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def by_itself(setup: Setup) -> Setup:
    """Return the experiment as another process gets it, which decodes files by itself.

    The splits of its probes are decoded here, where they are small.
    """
    train, val = setup.readable(setup.train_probe), setup.readable(setup.val_probe)
    setup = replace(setup, train_probe=train, val_probe=val, kept={})
    if not hasattr(setup.config, "num_workers"):
        return setup
    asked, config = (some.change(num_workers=0) for some in (setup.asked, setup.config))
    return replace(setup, asked=asked, config=config)


def mapped(
    setup: Setup, function: Callable[..., Any], jobs: Sequence[tuple], names: Sequence[str]
) -> list[Any]:
    """Return the result of `function(setup, ...)` for each job, as many at once as `at_once` says.

    function: of a module, since it goes to other processes. jobs: its further arguments. names: of
    the jobs, for the display.
    What they print is printed here when each is done.
    """
    n = at_once([setup.device], len(jobs), setup.config.devices)
    shared = by_itself(setup) if n > 1 else setup
    return shown(answers(function, [(shared, *job) for job in jobs], n), names, "networks")


def measured(function: Callable[[Any], Any], runs: Sequence[Any]) -> list[Any]:
    """Return function(run) for each trained run, on a CPU as many at once as it has cores.

    What function writes into a run is lost where it works in another process. What it prints is
    printed here.
    """
    n = at_once([next(run.model.parameters()).device for run in runs], len(runs))
    found = []
    for result, said in answers(function, [(run,) for run in runs], n):
        print(said, end="", flush=True)
        found.append(result)
    return found


def shown(done: Iterable[tuple[Any, str]], names: Sequence[str], title: str) -> list[Any]:
    """Return the results of `answers`; as each comes, print what was printed and show its name."""
    results = []
    with Progress(len(names), title) as bar:
        for name, (result, said) in zip(names, done, strict=True):
            print(said, end="", flush=True)
            results.append(result)
            bar.update(len(results), name, end_of_epoch=True)
    return results


def answers(
    function: Callable[..., Any], jobs: Iterable[tuple], n: int
) -> Iterator[tuple[Any, str]]:
    """Yield function(…) and what it printed for each job, its arguments, n at once in processes."""
    calls = (delayed(told)(os.getpid(), function, *job) for job in jobs)
    yield from Parallel(n, return_as="generator")(calls)


def told(parent: int, function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """Return what a function returns, and what it prints.

    parent: the process that asks. If it is another one than this, this one ends with it: else it
    would train on unseen, beside the run that resumes its work.
    """
    if os.getpid() != parent:
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        result = function(*arguments)
    return result, said.getvalue()


def end_with(parent: int) -> None:
    """End this process as soon as its parent has ended, however that ended."""
    while os.getppid() == parent:
        time.sleep(EVERY)
    os._exit(1)


def one(setup: Setup, seed: int, vanilla: bool, probe: Probe) -> None:
    """Train and probe one network, which is saved."""
    run = setup.fit(seed, vanilla, progress=False)
    if probe:
        probe(setup, run)


@contextlib.contextmanager
def watched(setup: Setup, jobs: Sequence[tuple[int, bool]]) -> Iterator[None]:
    """Show how many of all their steps the networks (seed, vanilla) have done, by their logs."""
    folders = [setup.folder(*job) for job in jobs]
    total, end = sum(setup.steps(vanilla) for _, vanilla in jobs), threading.Event()

    def look(bar: Progress) -> None:
        while not end.wait(EVERY):
            last = [lines_of(folder, total)[-1:] for folder in folders]
            lines = [line for some in last for line in some]
            if lines:
                done = sum(line["step"] for line in lines)
                bar.update(done, f"{len(lines)} of {len(folders)} begun or done")

    with Progress(total, f"{len(folders)} networks") as bar:
        thread = threading.Thread(target=look, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
        bar.update(total, f"{len(folders)} done", end_of_epoch=True)

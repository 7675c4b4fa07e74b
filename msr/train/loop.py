"""The one training loop: views -> network -> objective -> optimizer step -> λ step.

A step reads nothing back from the device, so it does not wait for it; only a line of the log and a
checkpoint do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from msr import dist
from msr.models import MultiSpace
from msr.objective import Objective, Terms
from msr.train import checkpoint, diverged, duals, memory, optim, resume
from msr.train.device import tune, use_bf16, use_compile
from msr.train.log import Log, lines_of, row
from msr.train.progress import Progress
from msr.train.schedule import Schedule
from msr.train.settings import Training
from msr.train.state import NotSaved, State
from msr.train.stop import Sigterm, Stopped

MakeViews = Callable[[Any, torch.Generator], torch.Tensor]  # a batch of B images -> [V, B, …]


class Batches(Protocol):
    """The data of a run: batches of images or latents; `len()` is the number of steps per epoch.

    batch_size: images per step over all R ranks; each rank gets its own B = batch_size / R.
    """

    batch_size: int
    device: torch.device

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yield this rank's batches [B, …] of an epoch, from step `start` on, on `device`."""
        ...


def fit(
    model: MultiSpace,
    objective: Objective,
    views: MakeViews,
    batches: Batches,
    settings: Training,
    out_dir: str | Path | None = None,
    name: str = "training",
    progress: bool = True,
    config: dict | None = None,
    fresh: bool = False,
) -> list[dict]:
    """Train the model in place; return the log, a dict of means for every `log_every` steps.

    views: makes the views [V, B, …] of a batch [B, …]. out_dir: folder for the log and the
    checkpoints (see `msr.train.checkpoint`), which are written after each epoch and every
    `save_every` steps; None: nothing is written. name: of the run, in messages. config: plain data
    that decides the run beside the settings; of a network that `msr.backbone` made, how to build it
    is recorded too, so that `msr.load` can. If out_dir holds a run with the same settings and
    config, that run is resumed, or only loaded if it is complete. If they differ, an unfinished run
    raises ValueError, and a complete one is renamed to `<out_dir>.old`. fresh: rename any run in
    out_dir and train anew. Every rank calls this function, rank 0 writes; a run may be resumed on
    another number of ranks. Afterwards the model is in evaluation mode.

    Raises ValueError, one line, also for batches of another size than the settings say,
    NonFiniteLoss when a loss is logged that is nan or inf (such a run may be resumed with another
    lr, clip or precision), Stopped after a SIGTERM, and NotSaved if the end could not be saved.
    """
    # prepare the network, its optimizer, and the record that decides whether a run may be resumed
    schedule = Schedule(settings, len(batches))
    state = prepare(model, objective, batches, settings)
    made_of = {"network": model.network} if model.network else {}
    record = describe(objective, schedule, made_of | (config or {}))

    # resume
    folder = Path(out_dir) if out_dir else None
    saved = resume.find(folder, record, schedule.total, name, fresh)
    if saved:
        state.restore(saved)
        record = resume.with_history(record, saved)

    # train, log and save; a complete run is only loaded
    if folder and state.step == schedule.total:
        lines = lines_of(folder, state.step)
    else:
        lines = train(state, schedule, views, batches, folder, record, name, progress)
    state.model.eval()
    return lines


# ------------------------------------------------------------------------------------ preparation


def prepare(model: MultiSpace, objective: Objective, batches: Batches, settings: Training) -> State:
    """Return the state before the first step; model and objective move to the batches' device.

    Raises ValueError, one line, if the batches do not hold `settings.batch_size` images.
    """
    if batches.batch_size != settings.batch_size:
        raise ValueError(
            f"the batches hold {batches.batch_size} images, the settings say batch_size "
            f"{settings.batch_size}; give both the same"
        )
    device = torch.device(batches.device)
    tune(device)
    objective.to(device)
    model.to(device).to(memory_format=torch.channels_last)
    model.train()
    if settings.backbone_rate == 0:
        model.freeze()
    if settings.sync_batchnorm:
        model = dist.sync_batchnorm(model, device)
    optimizer = optim.make(
        settings.optimizer, model, settings.peak_lr, settings.weight_decay, settings.backbone_rate
    )
    generator = torch.Generator().manual_seed(settings.seed)
    return State(model, objective, optimizer, generator)


def describe(objective: Objective, schedule: Schedule, config: dict) -> dict:
    """Return the content of config.json as plain data: training settings, spaces and `config`."""
    record = {
        "training": schedule.settings.model_dump(),
        "steps": schedule.total,
        "spaces": dict(zip(objective.spaces.names, objective.spaces.sizes)),
        "family": objective.family,
        "experiment": {},
    }
    return json.loads(json.dumps(record | config, default=str))


# ----------------------------------------------------------------------------------------- the loop


def train(
    state: State,
    schedule: Schedule,
    views: MakeViews,
    batches: Batches,
    folder: Path | None,
    record: dict,
    name: str,
    progress: bool,
) -> list[dict]:
    """Run the steps that remain; return the whole log.

    folder: where the files of the run go, or None. record: the content of config.json. Raises
    NonFiniteLoss, Stopped and NotSaved as `fit` does.
    """
    settings, device = schedule.settings, torch.device(batches.device)
    bf16 = use_bf16(settings.precision, device)
    if use_compile(settings.compile, device, schedule.total - state.step):
        state.model.compile()  # in place: the names in state_dict stay
    network = memory.InPieces(state.model, settings.micro_batch)
    net = dist.parallel(network, device)
    spaces, show, problem = state.objective.spaces.names, progress and dist.rank() == 0, ""
    with (
        Log(folder, spaces, state.step) as log,
        Progress(schedule.total, name, show) as bar,
        Sigterm() as stop,
        dist.Anyone() as anyone,
    ):
        if folder and dist.rank() == 0:
            checkpoint.write_config(folder, record)
        for images in remaining(batches, state, schedule):
            # step
            terms = forward(net, state.objective, views, images, state.generator, bf16)
            update(state, schedule, terms)
            state.pieces = network.pieces

            # log
            if schedule.logs(state.step):
                write_line(log, state, schedule, bf16)
            show_progress(bar, log, state, schedule)

            # save, and stop when any rank was asked to
            stopping = anyone(stop.asked)
            if stopping or schedule.saves(state.step):
                problem = state.save(folder, record)
            if stopping and state.step < schedule.total:
                raise stopped(state, schedule, folder, problem)
    if problem:
        raise NotSaved(f"trained to the end, but {problem}")
    return log.lines


def remaining(batches: Batches, state: State, schedule: Schedule) -> Iterator[Any]:
    """Yield the batch [B, …] of every step that remains; the caller increases `state.step`."""
    while state.step < schedule.total:
        yield from batches.epoch(state.step // schedule.per_epoch, state.step % schedule.per_epoch)


def forward(
    model: torch.nn.Module,
    objective: Objective,
    views: MakeViews,
    images: Any,
    generator: torch.Generator,
    bf16: bool,
) -> Terms:
    """Return the objective's terms for one batch of images or latents [B, …].

    generator: draws the views. bf16: whether the network computes in bf16.
    """
    x = views(images, generator)  # [V, B, C, S, S], or [V, B, n] for latents
    V, B = x.shape[:2]
    x = x.flatten(0, 1)  # [V * B, C, S, S]
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
        _, z = model(x)  # [V * B, D]
    return objective(z.view(V, B, -1))


def update(state: State, schedule: Schedule, terms: Terms) -> None:
    """Take one step of the weights and, if λ is adaptive, of λ; keep this step's row for the log.

    terms: those of this step's batch; the backward pass of their loss is run here.
    """
    settings, lr = schedule.settings, schedule.lr(state.step)

    # the weights
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group["share"]
    state.optimizer.zero_grad(set_to_none=True)
    terms.loss.backward()
    if settings.clip:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    state.optimizer.step()
    state.recent.append(row(terms))

    # λ
    if schedule.adapts(state.step):
        lambdas, rate = state.objective.lambdas, schedule.dual_rate(state.step)
        lambdas.copy_(duals.step(lambdas, terms.violation, settings.epsilon, rate))
    state.step += 1


# ---------------------------------------------------------------------------- the log and messages


def write_line(log: Log, state: State, schedule: Schedule, bf16: bool) -> None:
    """Write the means since the last line. bf16: whether the network computes in bf16.

    Raises NonFiniteLoss, one line that says what to try, if the mean loss is nan or inf.
    """
    n, done, lr = len(state.recent), state.step, schedule.lr(state.step - 1)
    values = log.mean(state.recent)
    images = n * schedule.settings.batch_size
    where = {"pieces": state.pieces} if state.pieces > 1 else {}
    log.write(values, images, step=done, epoch=done / schedule.per_epoch, lr=lr, **where)
    if not math.isfinite(log.line["loss"]):
        raise diverged.error(
            log.folder,
            done,
            f"the loss became {log.line['loss']} within the {n} steps before step {done} of "
            f"{schedule.total} (lr {lr:.2g}, {'bf16' if bf16 else 'float32'})",
        )
    state.recent = []


def stopped(state: State, schedule: Schedule, folder: Path | None, problem: str) -> Stopped:
    """Return the error that ends a run after a SIGTERM. problem: why it is not saved, or ""."""
    resumed = f"; the same command resumes from {folder}" if folder else ""
    after = f"SIGTERM: stopped after step {state.step} of {schedule.total}"
    return Stopped(after + (f"; {problem}" if problem else resumed))


def show_progress(bar: Progress, log: Log, state: State, schedule: Schedule) -> None:
    """Show the last line of the log if it is new, and at the end of every epoch."""
    line, done, end_of_epoch = log.line, state.step, schedule.ends_epoch(state.step)
    if line and (end_of_epoch or line["step"] == done):
        epoch = f"epoch {(done - 1) // schedule.per_epoch + 1}/{schedule.settings.epochs}"
        speed = f"{line['images_per_second']:.0f} images/s"
        bar.update(done, f"{epoch}, loss {line['loss']:.3f}, {speed}", end_of_epoch)

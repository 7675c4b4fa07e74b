"""The one training loop: views -> network -> objective -> step -> λ step.

A step reads nothing back from the device; a line of the log and a checkpoint each read once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import torch

from msr import dist
from msr.models import MultiSpace
from msr.objective import Objective, Terms
from msr.train import checkpoint, duals, optim, resume
from msr.train.device import keep_memory, use_bf16
from msr.train.log import Log, lines_of, row
from msr.train.progress import Progress
from msr.train.schedule import Schedule
from msr.train.settings import Training
from msr.train.state import State
from msr.train.stop import Sigterm, Stopped

MakeViews = Callable[[torch.Tensor, torch.Generator], torch.Tensor]  # [B, …] -> [V, B, …]


class NonFiniteLoss(FloatingPointError):
    """The loss is nan or inf; the checkpoints written before stay."""


class Batches(Protocol):
    """The data of a run: `len` steps per epoch, each with this rank's part of batch_size images."""

    batch_size: int
    device: torch.device

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[torch.Tensor]:
        """Yield the batches of an epoch from step `start` on, on `device`."""
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
    """Train in place; return the log, one dict per `log_every` steps (means over those steps).

    Under `out_dir` (its files: `msr.train.checkpoint`) go the log and the checkpoints: one after
    each epoch and every `save_every` steps. If it holds a run with the same settings and `config`
    (plain data: what else decides the run), that run is resumed, or loaded if complete. With
    others, an unfinished run is refused, naming them; a complete one is set aside as
    `<out_dir>.old`, as is any run when `fresh`. Every rank calls this, rank 0 writes; a run may be
    resumed on another number of ranks. name: of the run in messages.

    Raises ValueError for such a refusal, NonFiniteLoss at the log line that sees one, and Stopped
    after a SIGTERM; what was saved stays.
    """
    # prepare the network, its optimizer, and the record that decides what may be resumed
    schedule = Schedule(settings, len(batches))
    state = prepare(model, objective, batches, settings)
    record = describe(objective, schedule, config or {})

    # resume
    folder = Path(out_dir) if out_dir else None
    saved = resume.find(folder, record, schedule.total, name, fresh)
    if saved:
        state.restore(saved)

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

    Raises ValueError when the batches do not hold `settings.batch_size` images.
    """
    if batches.batch_size != settings.batch_size:
        raise ValueError(
            f"the batches hold {batches.batch_size} images, the settings say batch_size "
            f"{settings.batch_size}; give both the same"
        )
    device = torch.device(batches.device)
    keep_memory()
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
    """Return the run's config.json, plain data: its training settings, spaces and the `config`."""
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
    """Run the steps that remain; return the whole log. Raises NonFiniteLoss and Stopped."""
    settings, device = schedule.settings, torch.device(batches.device)
    bf16 = use_bf16(settings.precision, device)
    if settings.compile:
        state.model.compile()  # in place: the names in state_dict stay
    net = dist.parallel(state.model, device)
    spaces, show = state.objective.spaces.names, progress and dist.rank() == 0
    with (
        Log(folder, spaces, state.step) as log,
        Progress(schedule.total, name, show) as bar,
        Sigterm() as stop,
    ):
        if folder and dist.rank() == 0:
            checkpoint.write_config(folder, record)
        for images in remaining(batches, state, schedule):
            # step
            terms = forward(net, state.objective, views, images, state.generator, bf16)
            update(state, schedule, terms)

            # log; several ranks agree here, and only here, on whether to stop
            stopping = stop.asked and dist.world_size() == 1
            if schedule.logs(state.step):
                stopping = write_line(log, state, schedule, stop.asked, bf16)
            show_progress(bar, log, state, schedule)

            # save, and stop when asked
            if stopping or schedule.saves(state.step):
                state.save(folder, record)
            if stopping and state.step < schedule.total:
                resumed = f"; the same command resumes from {folder}" if folder else ""
                stopped = f"SIGTERM: stopped after step {state.step} of {schedule.total}"
                raise Stopped(stopped + resumed)
    return log.lines


def remaining(batches: Batches, state: State, schedule: Schedule) -> Iterator[torch.Tensor]:
    """Yield the images of every step that remains; the caller counts the steps in `state.step`."""
    while state.step < schedule.total:
        yield from batches.epoch(state.step // schedule.per_epoch, state.step % schedule.per_epoch)


def forward(
    model: torch.nn.Module,
    objective: Objective,
    views: MakeViews,
    images: torch.Tensor,
    generator: torch.Generator,
    bf16: bool,
) -> Terms:
    """Return the objective's terms for one batch of images [B, …]; bf16: run the network in it."""
    x = views(images, generator)  # [V, B, C, S, S], or [V, B, n] for latents
    V, B = x.shape[:2]
    x = x.flatten(0, 1)  # [V * B, C, S, S]
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
        _, z = model(x)  # [V * B, D]
    return objective(z.view(V, B, -1))


def update(state: State, schedule: Schedule, terms: Terms) -> None:
    """Take one step of the weights and, when λ is adaptive, of λ; keep the step's row of the log.

    terms: of this step's batch; their loss is differentiated here.
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


# ------------------------------------------------------------------------------------ what is said


def write_line(log: Log, state: State, schedule: Schedule, asked: bool, bf16: bool) -> bool:
    """Write the means since the last line; return whether any rank was `asked` to stop.

    Raises NonFiniteLoss, one line with what to try.
    """
    n, done, lr = len(state.recent), state.step, schedule.lr(state.step - 1)
    values, stopping = log.mean(state.recent, asked)
    images = n * schedule.settings.batch_size
    log.write(values, images, step=done, epoch=done / schedule.per_epoch, lr=lr)
    if not math.isfinite(log.line["loss"]):
        saved = checkpoint.checkpoints(log.folder) if log.folder else []
        raise NonFiniteLoss(
            f"the loss became {log.line['loss']} within the {n} steps before step {done} of "
            f"{schedule.total} (lr {lr:.2g}, {'bf16' if bf16 else 'float32'}); try a lower lr, "
            "clip = 1.0 or precision = 'float32'"
            + (f"; the last good weights are in {saved[0]}" if saved else "")
        )
    state.recent = []
    return stopping


def show_progress(bar: Progress, log: Log, state: State, schedule: Schedule) -> None:
    """Show the last line of the log, when it is new and at the end of every epoch."""
    line, done, end_of_epoch = log.line, state.step, schedule.ends_epoch(state.step)
    if line and (end_of_epoch or line["step"] == done):
        epoch = f"epoch {(done - 1) // schedule.per_epoch + 1}/{schedule.settings.epochs}"
        speed = f"{line['images_per_second']:.0f} images/s"
        bar.update(done, f"{epoch}, loss {line['loss']:.3f}, {speed}", end_of_epoch)

"""The one training loop: views -> network -> objective -> step -> λ step. Nothing in the step reads back to the host."""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import math
import os
import shutil
import time
from pathlib import Path

import torch

from . import dist, duals, optim
from .config import Train
from .objective import Objective, Terms
from .progress import Progress


class NonFiniteLoss(FloatingPointError):
    """The loss is nan or inf. What was saved before stays saved."""


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: cuda where there is one, else cpu; otherwise the device of that name. ValueError when it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device '{name}' cannot be used here ({str(error).splitlines()[0]}); choose auto, cpu, cuda or cuda:0") from None
    return device


def use_bf16(precision: str, device: torch.device) -> bool:
    """`auto` takes bf16 where the processor computes in it: elsewhere it is slower than float32."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    fast = [getattr(torch.cpu, name, lambda: False) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return device.type == "cpu" and any(check() for check in fast)


def keep_memory() -> None:
    """Have glibc keep what is freed for the next step: handing the activations back to the system and faulting them in again took a
    quarter of a step on a CPU. Elsewhere nothing happens."""
    with contextlib.suppress(AttributeError, TypeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)                                    # M_MMAP_THRESHOLD: up to 1 GiB from the heap …
        mallopt(-1, 2**31 - 1)                                # M_TRIM_THRESHOLD: … which does not shrink


def forward(model, objective: Objective, views, images, generator, bf16: bool) -> Terms:
    """One batch of images [B, …] -> the objective's terms. `views(images, generator) -> [V, B, …]`."""
    x = views(images, generator)                                                              # [V, B, C, S, S]
    V, B = x.shape[:2]
    x = x.flatten(0, 1)                                                                       # [V * B, C, S, S]
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
        _, z = model(x)
    return objective(z.view(V, B, -1))


def fit(model, objective: Objective, views, batches, settings: Train, out_dir=None, name="training", progress=True) -> list[dict]:
    """Train in place; returns the log, one dict per `log_every` steps (means over those steps).

    batches: `len(batches)` steps per epoch, `batches.epoch(e)` yields the images on `batches.device`. Under `out_dir`:
    log.jsonl, TensorBoard events and, after each epoch, checkpoint.pt (tensors only) beside settings.json. Raises
    NonFiniteLoss at the log line that sees one; the last checkpoint, and the log up to it, stay. A folder that holds an
    earlier run is set aside as `<out_dir>.old`.
    """
    if batches.batch_size != settings.batch_size:
        raise ValueError(f"the batches hold {batches.batch_size} images, the settings say batch_size {settings.batch_size}; give both the same")
    device = torch.device(batches.device)
    keep_memory()
    objective.to(device)
    model.to(device=device, memory_format=torch.channels_last)
    model.train()
    optimizer = optim.make(settings.optimizer, model, settings.peak_lr, settings.weight_decay)
    generator = torch.Generator().manual_seed(settings.seed + 7919 * dist.rank())             # CPU: the same views on any device
    bf16, per_epoch = use_bf16(settings.precision, device), len(batches)
    total, warmup = settings.epochs * per_epoch, round(settings.warmup_epochs * per_epoch)
    dual_warmup = round(settings.dual_warmup_epochs * per_epoch)
    recent, step, clock, line = [], 0, time.perf_counter(), {}

    with Log(out_dir, objective.spaces.names) as log, Progress(total, name, progress and dist.rank() == 0) as bar:
        for epoch in range(settings.epochs):
            for images in batches.epoch(epoch):
                share = optim.warmup_cosine(step, total, warmup)
                for group in optimizer.param_groups:
                    group["lr"] = settings.peak_lr * share
                terms = forward(model, objective, views, images, generator, bf16)
                optimizer.zero_grad(set_to_none=True)
                terms.loss.backward()
                if settings.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
                optimizer.step()
                recent.append(log.row(terms))
                if settings.adaptive and step >= dual_warmup:
                    rate = settings.dual_rate * optim.warmup_cosine(step, total, 0)
                    objective.lambdas.copy_(duals.step(objective.lambdas, terms.violation, settings.epsilon, rate))
                step += 1
                if step % settings.log_every == 0 or step == total:
                    values = log.mean(recent)                                                 # the one read per line
                    speed = len(recent) * settings.batch_size / (time.perf_counter() - clock)
                    line = log.write(values, step=step, epoch=step / per_epoch, lr=settings.peak_lr * share, images_per_second=speed)
                    if not math.isfinite(line["loss"]):
                        raise NonFiniteLoss(f"the loss became {line['loss']} within the {len(recent)} steps before step {step} of {total} "
                                            f"(lr {settings.peak_lr * share:.2g}, {'bf16' if bf16 else 'float32'}); try a lower lr, "
                                            "clip = 1.0 or precision = 'float32'" + log.kept())
                    recent, clock = [], time.perf_counter()
                end_of_epoch = step % per_epoch == 0
                if line and (end_of_epoch or line["step"] == step):
                    bar.update(step, f"epoch {epoch + 1}/{settings.epochs}, loss {line['loss']:.3f}, "
                                     f"{line['images_per_second']:.0f} images/s", end_of_epoch)
            if out_dir and all_finite(model):
                save(out_dir, model, objective, optimizer, generator, step, settings)
    model.eval()
    return log.lines


def all_finite(model) -> bool:
    """Read once per epoch, so that a checkpoint never holds the weights of a step that failed."""
    return bool(torch.stack([p.isfinite().all() for p in model.state_dict().values()]).all())


def save(out_dir, model, objective, optimizer, generator, step: int, settings: Train) -> None:
    """checkpoint.pt and settings.json, each written beside and renamed over, so that a killed job leaves the old one."""
    if dist.rank():
        return
    state = {"model": model.state_dict(), "objective": objective.state_dict(), "optimizer": optimizer.state_dict(),
             "generator": generator.get_state(), "step": torch.tensor(step)}
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "checkpoint.tmp")
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")
    (folder / "settings.tmp").write_text(json.dumps(dataclasses.asdict(settings), indent=1))
    os.replace(folder / "settings.tmp", folder / "settings.json")


class Log:
    """Every term of every space: JSON lines and TensorBoard, under `out_dir` on rank 0; else only kept in `lines`."""

    def __init__(self, out_dir, spaces):
        self.lines: list[dict] = []
        self.names = ["loss", "spread", *(f"{term}/{space}" for term in ("align", "violation", "lambda") for space in spaces)]
        self.file = self.board = self.folder = None
        if out_dir and dist.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter
            self.folder = Path(out_dir)
            if (self.folder / "log.jsonl").exists():
                old = self.folder.with_name(self.folder.name + ".old")
                shutil.rmtree(old, ignore_errors=True)
                self.folder.rename(old)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = open(self.folder / "log.jsonl", "w")
            self.board = SummaryWriter(out_dir)

    def row(self, terms: Terms) -> torch.Tensor:
        """One step's values [2 + 3 (M + 1)], still on the device."""
        loss = torch.stack([terms.loss.detach(), terms.spread])
        return torch.cat([loss, terms.align, terms.violation, terms.lambdas])

    def mean(self, recent: list[torch.Tensor]) -> list[float]:
        return dist.mean(torch.stack(recent).mean(dim=0)).tolist()

    def write(self, values: list[float], **more) -> dict:
        line = {**more, **dict(zip(self.names, values))}
        self.lines.append(line)
        if self.file:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
            for name, value in line.items():
                self.board.add_scalar(name, value, line["step"])
        return line

    def kept(self) -> str:
        saved = self.folder and (self.folder / "checkpoint.pt").exists()
        return f"; the last good weights are in {self.folder / 'checkpoint.pt'}" if saved else ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.file:
            self.file.close()
            self.board.close()

"""The one training loop: views -> network -> objective -> step -> λ step. Nothing in the step reads back to the host."""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import math
import signal
import threading
import time
from pathlib import Path

import torch

from . import checkpoint, dist, duals, optim
from .config import Train
from .log import Log, lines_of
from .objective import Objective, Terms
from .progress import Progress


class NonFiniteLoss(FloatingPointError):
    """The loss is nan or inf. What was saved before stays saved."""


class Stopped(RuntimeError):
    """SIGTERM came: the run is saved, and the same command goes on with it."""


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


def fit(model, objective: Objective, views, batches, settings: Train, out_dir=None, name="training", progress=True, config=None, fresh=False) -> list[dict]:
    """Train in place; returns the log, one dict per `log_every` steps (means over those steps).

    batches: `len(batches)` steps per epoch, `batches.epoch(e, start)` yields the images on `batches.device` from step `start` on. Under
    `out_dir` (see `msr.checkpoint`): log.jsonl, TensorBoard events, and after each epoch and every `save_every` steps a checkpoint.

    A folder that holds an earlier run: with the same settings and `config` (plain data, what else decides the run) it is gone on with, or
    returned when it is complete. With others, an unfinished run is refused, by name; a complete one is set aside as `<out_dir>.old`, as is
    any when `fresh`. On several ranks each calls this; rank 0 writes. The ranks' number may change from one start to the next.

    Raises NonFiniteLoss at the log line that sees one, and Stopped after a SIGTERM; what was saved stays.
    """
    if batches.batch_size != settings.batch_size:
        raise ValueError(f"the batches hold {batches.batch_size} images, the settings say batch_size {settings.batch_size}; give both the same")
    device = torch.device(batches.device)
    keep_memory()
    objective.to(device)
    model.to(device=device, memory_format=torch.channels_last)
    model.train()
    if settings.backbone_rate == 0:
        model.freeze()
    if settings.sync_batchnorm:
        model = dist.sync_batchnorm(model, device)
    optimizer = optim.make(settings.optimizer, model, settings.peak_lr, settings.weight_decay, settings.backbone_rate)
    generator = torch.Generator().manual_seed(settings.seed)                                  # CPU, equal on all ranks: the same views anywhere
    bf16, per_epoch = use_bf16(settings.precision, device), len(batches)
    total, warmup = settings.epochs * per_epoch, round(settings.warmup_epochs * per_epoch)
    dual_warmup = round(settings.dual_warmup_epochs * per_epoch)
    config = json.loads(json.dumps({"training": dataclasses.asdict(settings), "steps": total, "spaces": dict(zip(objective.spaces.names, objective.spaces.sizes)),
                                    "family": objective.family, "experiment": {}} | (config or {}), default=str))
    state = earlier(out_dir, config, total, name, fresh)
    recent, step = [], 0
    if state:
        restore(state, model, objective, optimizer, generator)
        recent, step = list(state["recent"].to(device).unbind(0)), state["step"]
    if step == total:
        model.eval()
        return lines_of(Path(out_dir), step)
    net = dist.parallel(model, device)

    def keep():
        if out_dir and all_finite(model):
            save(out_dir, config, model, objective, optimizer, generator, step, recent)

    with Log(out_dir, objective.spaces.names, step) as log, Progress(total, name, progress and dist.rank() == 0) as bar, Sigterm() as stop:
        if out_dir and dist.rank() == 0:
            checkpoint.write_config(Path(out_dir), config)
        line, clock = log.lines[-1] if log.lines else {}, time.perf_counter()
        while step < total:
            for images in batches.epoch(step // per_epoch, step % per_epoch):
                share = optim.warmup_cosine(step, total, warmup)
                for group in optimizer.param_groups:
                    group["lr"] = settings.peak_lr * share * group["share"]
                terms = forward(net, objective, views, images, generator, bf16)
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
                end_of_epoch, stopping = step % per_epoch == 0, stop.asked and dist.world_size() == 1
                if step % settings.log_every == 0 or step == total:
                    values, stopping = log.mean(recent, stop.asked)                           # the one read per line; ranks agree on stopping here
                    speed = len(recent) * settings.batch_size / (time.perf_counter() - clock)
                    line = log.write(values, step=step, epoch=step / per_epoch, lr=settings.peak_lr * share, images_per_second=speed)
                    if not math.isfinite(line["loss"]):
                        raise NonFiniteLoss(f"the loss became {line['loss']} within the {len(recent)} steps before step {step} of {total} "
                                            f"(lr {settings.peak_lr * share:.2g}, {'bf16' if bf16 else 'float32'}); try a lower lr, "
                                            "clip = 1.0 or precision = 'float32'" + log.kept())
                    recent, clock = [], time.perf_counter()
                if line and (end_of_epoch or line["step"] == step):
                    bar.update(step, f"epoch {(step - 1) // per_epoch + 1}/{settings.epochs}, loss {line['loss']:.3f}, "
                                     f"{line['images_per_second']:.0f} images/s", end_of_epoch)
                if end_of_epoch or stopping or (settings.save_every and step % settings.save_every == 0):
                    keep()
                if stopping and step < total:
                    raise Stopped(f"SIGTERM: stopped after step {step} of {total}" + (f"; the same command goes on from {out_dir}" if out_dir else ""))
    model.eval()
    return log.lines


def earlier(out_dir, config: dict, total: int, name: str, fresh: bool) -> dict | None:
    """The checkpoint in out_dir to go on with, if there is one; what else lies there is set aside. Raises ValueError for an unfinished run
    with other settings. Every rank reads, rank 0 decides and renames."""
    folder = Path(out_dir) if out_dir else None
    state, error = None, ""
    if folder and dist.rank() == 0:
        state = None if fresh else checkpoint.latest(folder)
        changed = checkpoint.differences(json.loads(state["config"]), config) if state else []
        changed = [line for line in changed if not line.startswith("save_every")]             # it decides nothing but when to save
        if changed and state["step"] < json.loads(state["config"])["steps"]:
            error = (f"{folder} holds an unfinished run with other settings ({'; '.join(changed[:4])}{' …' if changed[4:] else ''}); give those to go on with it, "
                     "or another out_dir, or fresh = True to begin anew")
        elif state is None or changed:
            held = f"a complete run with {'; '.join(changed[:4])}" if changed else "an earlier run" if fresh else "a run without a checkpoint"
            if (folder / "config.json").exists():
                print(f"{name}: {folder} held {held}: set aside as {checkpoint.set_aside(folder).name}", flush=True)
            state = None
        elif state["step"] == total:
            print(f"{name}: complete in {folder}, not trained again (fresh = True would)", flush=True)
        else:
            print(f"{name}: going on from step {state['step']} of {total} in {folder}", flush=True)
    error, step = dist.everyone((error, state and state["step"]))[0]
    if error:
        raise ValueError(error)
    if step and dist.rank():
        state = checkpoint.latest(folder)
    if any(found != step for found in dist.everyone(state and state["step"])):
        raise ValueError(f"not every machine sees the checkpoint of step {step} in {folder}; put out_dir on a disk that all of them share")
    return state


def all_finite(model) -> bool:
    """Read once per checkpoint, so that none holds the weights of a step that failed."""
    return bool(torch.stack([p.isfinite().all() for p in model.state_dict().values()]).all())


def save(out_dir, config: dict, model, objective, optimizer, generator, step: int, recent) -> None:
    """Everything that the rest of the run depends on; every rank calls it, rank 0 writes. `step` places the schedule and the data, whose
    order is a function of (seed, epoch)."""
    rng = dist.everyone(checkpoint.rng())
    if dist.rank() == 0:
        checkpoint.save(Path(out_dir), {"step": step, "model": model.state_dict(), "objective": objective.state_dict(), "optimizer": optimizer.state_dict(),
                                        "generator": generator.get_state(), "rng": rng, "recent": torch.stack(recent) if recent else torch.empty(0),
                                        "config": json.dumps(config)})


def restore(state: dict, model, objective, optimizer, generator) -> None:
    """Put a checkpoint's state back."""
    model.load_state_dict(state["model"])
    objective.load_state_dict(state["objective"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"])
    if dist.rank() < len(state["rng"]):
        checkpoint.set_rng(state["rng"][dist.rank()])


class Sigterm:
    """`with Sigterm() as stop`: `stop.asked` becomes true when a SIGTERM comes, in place of the end. Outside the main thread nothing happens."""

    asked = False

    def __enter__(self):
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGTERM, lambda *_: setattr(self, "asked", True))
        return self

    def __exit__(self, *error):
        if self.main:
            signal.signal(signal.SIGTERM, self.before)


if __name__ == "__main__":                                    # torchrun --nproc-per-node 8 -m msr.train run.json
    from .experiment import main
    main()

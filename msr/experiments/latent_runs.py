"""The runs of the numerical experiment: one encoder of latents for each setting and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from msr import models
from msr.data.latents import Latents, LatentViews, Stream
from msr.experiments import limits, minimum, several
from msr.experiments.measures import ALL, LatentRun, of_seed, r2
from msr.experiments.remembered import remembered
from msr.objective import ContentPairs, Objective, one_for_all
from msr.spaces import Spaces
from msr.train import Training, checkpoint, fit, pick_device
from msr.train.settings import Precision

WHITENED = 4096  # observations from which the encoder's whitening is computed
Runs = dict[str, list[LatentRun]]  # {name of a setting: one run per seed}


@dataclass(frozen=True)
class Setting:
    """One setting of the experiment; use `dataclasses.replace` to vary a field of it."""

    latents: Latents = Latents()
    family: str = "entropy"
    sizes: tuple[int, ...] = ()  # sizes of content and each style space; empty: the blocks' own
    lambdas: tuple[float, ...] = ()  # weight per space, or one for all; empty: the family's
    content_pairs: ContentPairs = "all"  # or "query": align content of query and key 0 only
    joint: bool = True  # spread all spaces together; False: each space alone
    adaptive: bool = False  # adjust λ by dual ascent …
    epsilon: float = 0.1  # … so that each misalignment c_m is at most this
    dual_rate: float = 0.02  # the most that λ moves in a step
    dropped: tuple[str, ...] = ()  # styles whose key shares no style with the query
    options: tuple = ()  # settings of the family, such as (("temperature", 0.3),)
    taught: int = 0  # steps for which the encoder first learns the latents themselves
    steps: int = 1000  # training steps; above 100 only whole hundreds are run
    batch_size: int = 128  # latents per step
    lr: float = 4e-3  # peak learning rate of AdamW
    width: int = 128  # width of the encoder
    depth: int = 3  # number of the encoder's residual blocks
    precision: Precision = "float32"
    device: str = "auto"
    fresh: bool = False  # set aside earlier runs in out_dir and train again
    probe: int = 5000  # samples to fit the probes on, and as many to score them on
    rows: tuple[str, ...] = ALL  # what is probed beside the spaces

    @property
    def spaces(self) -> Spaces:
        """The spaces, one per block, with the sizes of the blocks unless `sizes` is given."""
        own = (self.latents.content, *self.latents.styles)
        return Spaces(self.latents.names, self.sizes or own)

    def training(self, seed: int) -> Training:
        """The hyperparameters of training; an "epoch" is a hundred steps."""
        epochs = max(1, self.steps // 100)
        return Training(
            epochs=epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            warmup_epochs=epochs / 10,
            precision=self.precision,
            clip=1.0,
            adaptive=self.adaptive,
            epsilon=self.epsilon,
            dual_rate=self.dual_rate,
            dual_warmup_epochs=epochs / 10,
            seed=seed,
            log_every=max(1, self.steps // 60),
        )

    @property
    def on(self) -> torch.device:
        """The device that `device` names; ValueError, one line, if it cannot be used here."""
        return pick_device(self.device)


def build(setting: Setting, seed: int) -> tuple[models.MultiSpace, Objective]:
    """Return a fresh encoder (`residual_mlp` for h, then a linear map to z) and its objective.

    seed: of the mixing and of the initial weights. The encoder's whitening is that of the query.
    """
    latents, generator = of_seed(setting.latents, seed), torch.Generator().manual_seed(seed)
    z, _ = latents.sample(WHITENED, generator)
    x = LatentViews(latents)(z, generator)[0]
    torch.manual_seed(seed)
    spaces, device = setting.spaces, setting.on

    def encode() -> torch.nn.Module:
        return models.residual_mlp(x, setting.width, setting.depth)

    limits.network(encode, device, spaces.dim, "a smaller width or depth")
    encoder = encode()
    objective = Objective(
        setting.family,
        spaces,
        one_for_all(setting.lambdas),
        content_pairs=setting.content_pairs,
        joint=setting.joint,
        **dict(setting.options),
    )
    model = models.MultiSpace(encoder, setting.width, spaces, hidden=())
    return model.to(device), objective.to(device)


def run(
    setting: Setting,
    seed: int,
    out_dir: str | Path | None = None,
    name: str = "",
    progress: bool = True,
) -> LatentRun:
    """Train one encoder and probe it; its log, weights and table of scores go to `out_dir`.

    If `out_dir` already holds the run, it is resumed, or loaded if complete (see `msr.train.fit`);
    so is its table (see `remembered`).
    name: of the run, in messages. progress: whether to show how far it is.
    """
    latents = of_seed(setting.latents, seed)
    model, objective = build(setting, seed)
    training = setting.training(seed)
    stream = Stream(latents, setting.batch_size, min(100, setting.steps), seed, setting.on)
    views = LatentViews(latents, setting.dropped)
    asked = asdict(replace(setting, latents=latents))
    beside = ("device", "probe", "rows", "fresh", *([] if setting.taught else ["taught"]))
    record = {"experiment": {k: v for k, v in asked.items() if k not in beside}}
    name = name or f"{setting.family}, seed {seed}"
    begun = not setting.fresh and _begun(out_dir, record["experiment"], training)
    if setting.taught and not begun:
        minimum.teach(model, latents, training, setting.taught)
    log = fit(
        model,
        objective,
        views,
        stream,
        training,
        out_dir,
        name,
        progress,
        config=record,
        fresh=setting.fresh,
    )
    seconds = seconds_of(log, setting.batch_size)
    trained = LatentRun(model, objective, seed, log, latents=latents, seconds=seconds)
    about = map(repr, (latents, setting.family, setting.spaces, setting.probe, seed, setting.rows))
    kept = Path(out_dir) if out_dir else None
    trained.table = remembered(kept, about, lambda: r2(trained, setting.probe, seed, setting.rows))
    return trained


def _begun(out_dir: str | Path | None, experiment: Mapping, training: Training) -> bool:
    """Return whether a folder holds this run, which `fit` will go on with, or only load."""
    saved = checkpoint.latest(out_dir) if out_dir else None
    asked = json.loads(json.dumps([experiment, training.model_dump()], default=str))
    held = json.loads(saved["config"]) if saved else {}
    return [held.get(name) for name in ("experiment", "training")] == asked


def runs(settings: Mapping[str, Setting], seeds: Sequence[int], out_dir: str | Path) -> Runs:
    """Run every setting with every seed; return {name: one run per seed}.

    settings: {name of the setting, which is also the name of its folder in out_dir: setting}. On a
    CPU, as many runs as there are cores train at once, each in a process of its own with one
    thread: small batches keep no second core busy. A setting that has several names is run once.
    """
    names: dict[Setting, str] = {}  # the first name of each setting
    for name, setting in settings.items():
        names.setdefault(setting, name)
    jobs = [(setting, seed) for setting in names for seed in seeds]
    n = several.at_once([setting.on for setting in names], len(jobs))
    calls = [(s, seed, f"{out_dir}/{names[s]}", names[s]) for s, seed in jobs]
    titles = [f"{names[setting]}, seed {seed}" for setting, seed in jobs]
    done = iter(several.shown(several.answers(_saved, calls, n), titles, "runs"))
    found = {setting: [next(done) for _ in seeds] for setting in names}
    return {name: found[setting] for name, setting in settings.items()}


def _saved(setting: Setting, seed: int, folder: str, name: str) -> LatentRun:
    """Return `run` of a setting in a folder of its own for each seed, without a display."""
    return run(setting, seed, f"{folder}/seed{seed}", f"{name}, seed {seed}", progress=False)


def seconds_of(log: Sequence[Mapping[str, float]], batch_size: int) -> float:
    """Return the seconds that a run was trained for, by its log; nan if the log is empty.

    The log is kept with a run, so the answer is the same whether the run was trained now, resumed,
    or only loaded.
    """
    steps = [0, *(line["step"] for line in log)]
    spent = [
        (step - before) * batch_size / line["images_per_second"]
        for before, step, line in zip(steps, steps[1:], log)
    ]
    return sum(spent) if spent else math.nan

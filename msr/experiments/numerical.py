"""The numerical experiment: known latents, and one encoder for each setting and seed.

Every block of the latents is predicted from every space of every encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from msr import models
from msr.config import Number, Place, Whole, Wholes
from msr.data.latents import REGIMES, Latents, LatentViews, Stream
from msr.experiments import limits
from msr.experiments.measures import LatentRun, of_seed, r2
from msr.experiments.parameters import Parameters as Common
from msr.experiments.parameters import Seed, parameter
from msr.objective import ContentPairs, Objective
from msr.spaces import Spaces
from msr.train import Training, fit, pick_device
from msr.train.settings import Precision


class Parameters(Common):
    """The parameters of book/numerical.ipynb."""

    NAME: ClassVar[str] = "numerical"
    FIRST: ClassVar[tuple[str, ...]] = (
        "steps",
        "samples",
        "seeds",
        "content",
        "styles",
        "temperature",
        "weight",
        "out_dir",
    )

    steps: Whole = parameter(1500, "training steps of each encoder, all on fresh latents", ge=1)
    samples: Whole = parameter(512, "latents per step; each has M + 2 views", ge=2, le=10**5)
    seed: Seed = parameter(
        20, "seed of the first run; the others take the next ones", decides=False
    )
    content: Whole = parameter(3, "dimensions of content in the headline experiments", ge=1)
    styles: Wholes = parameter((1, 1, 1), "dimensions of each style in these experiments")
    temperature: Number = parameter(0.7, "τ of the family entropy", ge=0.001, le=1000)
    weight: Number = parameter(3.0, "λ of the family entropy, the same for every space", gt=0)
    out_dir: Place = parameter(
        "runs/numerical", "weights, logs and metrics.json go here", decides=False
    )
    study_steps: Whole = parameter(
        0, "training steps of each run in a study; 0: a third of steps", ge=0
    )
    block_content: Whole = parameter(
        4, "dimensions of content where styles have several dimensions", ge=1
    )
    block_styles: Wholes = parameter((2, 2), "dimensions of each style in that experiment")
    noise: Number = parameter(
        1.0, "standard deviation of the noise that augmentation adds to a style", gt=0
    )
    lr: Number = parameter(2e-3, "peak learning rate of AdamW", gt=0)
    width: Whole = parameter(256, "width of the encoder's hidden layers", ge=1)
    depth: Whole = parameter(4, "number of hidden layers of the encoder", ge=1, le=1000)
    probe_samples: Whole = parameter(
        5000, "samples to fit a probe on, and as many to score it on", ge=50, le=10**6
    )


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
    dropped: tuple[str, ...] = ()  # styles whose key shares no style with the query
    options: tuple = ()  # settings of the family, such as (("temperature", 0.3),)
    steps: int = 3000  # training steps; above 100 only whole hundreds are run
    batch_size: int = 512  # latents per step
    lr: float = 2e-3  # peak learning rate of AdamW
    width: int = 256  # width of the encoder's hidden layers
    depth: int = 4  # number of the encoder's hidden layers
    precision: Precision = "auto"
    device: str = "auto"
    fresh: bool = False  # set aside earlier runs in out_dir and train again
    probe: int = 5000  # samples to fit the probes on, and as many to score them on

    @property
    def spaces(self) -> Spaces:
        """The spaces, one per block, with the sizes of the blocks unless `sizes` is given."""
        own = (self.latents.content, *self.latents.styles)
        return Spaces(self.latents.names, self.sizes or own)

    @property
    def on(self) -> torch.device:
        """The device that `device` names; ValueError, one line, if it cannot be used here."""
        return pick_device(self.device)


def prepare(config: Parameters) -> tuple[Setting, Latents, Latents]:
    """Return (the base setting, the headline latents, latents with larger blocks of style).

    The other settings of the page are variations of the base setting. Raises ValueError, one line,
    before any training.
    """
    limits.writable(config.out_dir)
    pick_device(config.device)
    for name in ("styles", "block_styles"):
        if not getattr(config, name):
            raise ValueError(f"{name} is empty; give the dimensions of one style or more")
    headline = Latents(config.content, config.styles, noise=config.noise)
    blocks = Latents(config.block_content, config.block_styles, noise=config.noise)
    base = Setting(
        headline,
        lambdas=(config.weight,),
        options=(("temperature", config.temperature),),
        steps=config.steps,
        batch_size=config.samples,
        lr=config.lr,
        width=config.width,
        depth=config.depth,
        precision=config.precision,
        device=config.device,
        probe=config.probe_samples,
        fresh=config.fresh,
    )
    for latents in (headline, blocks):
        build(replace(base, latents=latents), 0)
    return base, headline, blocks


def facts(config: Parameters, base: Setting) -> dict[str, Any]:
    """Return what the first lines of the page say about its run: arguments of `numerical_by`."""
    return {
        "content": config.content,
        "styles": config.styles,
        "steps": config.steps,
        "batch_size": config.samples,
        "depth": config.depth,
        "width": config.width,
        "seeds": config.seeds,
        "device": base.on.type,
        "probe_samples": config.probe_samples,
    }


def build(setting: Setting, seed: int) -> tuple[models.MultiSpace, Objective]:
    """Return a fresh encoder (an MLP for h, then one linear map to z) and its objective.

    seed: of the initial weights.
    """
    torch.manual_seed(seed)
    spaces, device = setting.spaces, setting.on

    def encode() -> torch.nn.Module:
        return models.mlp(setting.latents.dim, [setting.width] * setting.depth)

    limits.network(encode, device, spaces.dim, "a smaller width or depth")
    encoder = encode()
    several = list(setting.lambdas) or None
    weights = setting.lambdas[0] if len(setting.lambdas) == 1 else several
    objective = Objective(
        setting.family,
        spaces,
        weights,
        content_pairs=setting.content_pairs,
        joint=setting.joint,
        **dict(setting.options),
    )
    model = models.MultiSpace(encoder, setting.width, spaces, hidden=())
    return model.to(device), objective.to(device)


def run(
    setting: Setting, seed: int, out_dir: str | Path | None = None, name: str = ""
) -> LatentRun:
    """Train one encoder and probe it; its log and weights go to `out_dir`.

    If `out_dir` already holds the run, it is resumed, or loaded if complete (see `msr.train.fit`).
    name: of the run, in messages.
    """
    latents = of_seed(setting.latents, seed)
    model, objective = build(setting, seed)
    epochs = max(1, setting.steps // 100)
    training = Training(
        epochs=epochs,
        batch_size=setting.batch_size,
        lr=setting.lr,
        warmup_epochs=epochs / 10,
        precision=setting.precision,
        clip=1.0,
        adaptive=setting.adaptive,
        epsilon=setting.epsilon,
        dual_warmup_epochs=epochs / 10,
        seed=seed,
        log_every=max(1, setting.steps // 60),
    )
    stream = Stream(latents, setting.batch_size, min(100, setting.steps), seed, setting.on)
    views = LatentViews(latents, setting.dropped)
    asked = asdict(replace(setting, latents=latents))
    beside = ("device", "probe", "fresh")
    record = {"experiment": {k: v for k, v in asked.items() if k not in beside}}
    name = name or f"{setting.family}, seed {seed}"
    log = fit(
        model, objective, views, stream, training, out_dir, name, config=record, fresh=setting.fresh
    )
    seconds = seconds_of(log, setting.batch_size)
    trained = LatentRun(model, objective, seed, log, latents=latents, seconds=seconds)
    trained.table = r2(trained, setting.probe, seed)
    return trained


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


def train(config: Parameters, seeds: Iterable[int]) -> None:
    """Train the headline encoders, of every regime and each of the seeds.

    They are saved in the folders where the notebook looks for them.
    """
    base, headline, _ = prepare(config)
    for regime in REGIMES:
        setting = replace(base, latents=replace(headline, regime=regime))
        for seed in seeds:
            run(setting, seed, f"{config.out_dir}/{regime}/seed{seed}", f"{regime}, seed {seed}")

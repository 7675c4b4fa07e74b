"""The numerical experiment: its parameters, and the settings that its page runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from msr.config import Number, Place, Whole, Wholes
from msr.data.latents import REGIMES, Latents
from msr.experiments import limits
from msr.experiments.latent_runs import Setting, build, runs
from msr.experiments.parameters import Parameters as Common
from msr.experiments.parameters import Seed, parameter
from msr.losses import FAMILIES
from msr.train import pick_device
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

    steps: Whole = parameter(1000, "training steps of each encoder, all on fresh latents", ge=1)
    samples: Whole = parameter(128, "latents per step; each has M + 2 views", ge=2, le=10**5)
    seed: Seed = parameter(
        20, "seed of the first run; the others take the next ones", decides=False
    )
    content: Whole = parameter(3, "dimensions of content in the headline experiments", ge=1)
    styles: Wholes = parameter((1, 1, 1), "dimensions of each style in these experiments")
    temperature: Number = parameter(0.7, "τ of the family entropy", ge=0.001, le=1000)
    weight: Number = parameter(1.0, "λ of the family entropy, the same for every space", gt=0)
    out_dir: Place = parameter(
        "runs/numerical", "weights, logs and metrics.json go here", decides=False
    )
    study_steps: Whole = parameter(
        0, "training steps of each run in a study; 0: a third of steps", ge=0
    )
    kept_studies: bool = parameter(
        False, "in a short run: show the studies of the kept run, train none", decides=False
    )
    block_content: Whole = parameter(
        4, "dimensions of content where styles have several dimensions", ge=1
    )
    block_styles: Wholes = parameter((2, 2), "dimensions of each style in that experiment")
    noise: Number = parameter(
        1.0, "standard deviation of the noise that augmentation adds to a style", gt=0
    )
    precision: Precision = parameter("float32", "float32, bf16, or auto: bf16 where it is faster")
    lr: Number = parameter(4e-3, "peak learning rate of AdamW", gt=0)
    width: Whole = parameter(128, "width of the encoder", ge=1)
    depth: Whole = parameter(3, "number of residual blocks of the encoder", ge=1, le=1000)
    probe_samples: Whole = parameter(
        1500, "samples to fit a probe on, and as many to score it on", ge=50, le=10**6
    )


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


def usual(base: Setting) -> dict[str, Setting]:
    """Return the base setting with each other family, with its usual weights: {family: setting}.

    Each sphere of `simclr` has one dimension more than its block of latents, and its τ is 0.3.
    """
    plain = replace(base, lambdas=(), options=(), rows=("joined",))
    found = {f: replace(plain, family=f) for f in FAMILIES if f != base.family}
    if "simclr" in found:
        spheres = tuple(size + 1 for size in base.spaces.sizes)
        warm = (("temperature", 0.3),)
        found["simclr"] = replace(found["simclr"], sizes=spheres, options=warm)
    return found


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


def train(config: Parameters, seeds: Iterable[int]) -> None:
    """Train the headline encoders, of every regime and each of the seeds.

    They are saved in the folders where the notebook looks for them.
    """
    base, headline, _ = prepare(config)
    regimes = {r: replace(base, latents=replace(headline, regime=r)) for r in REGIMES}
    runs(regimes, list(seeds), config.out_dir)

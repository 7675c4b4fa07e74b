"""The numerical experiment: latents that we know, one encoder per setting and seed.

Every block of the latents is predicted from every space.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr import models
from msr.config import Number, Whole, Wholes
from msr.data.latents import Latents, LatentViews, Stream
from msr.evaluate import STREAM, Features, dci, probes
from msr.experiments.parameters import Parameters as Common
from msr.experiments.parameters import parameter
from msr.experiments.setup import Row, Run
from msr.objective import Objective
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

    steps: Whole = parameter(1500, "of training per encoder, each on fresh latents", ge=1)
    samples: Whole = parameter(512, "latents per step; each gives M + 2 views", ge=2)
    seed: Whole = parameter(20, "the first of them", decides=False, ge=0)
    content: Whole = parameter(3, "dimensions of content in the headline experiments", ge=1)
    styles: Wholes = parameter((1, 1, 1), "dimensions of each style there")
    temperature: Number = parameter(0.7, "τ of the family entropy …", gt=0)
    weight: Number = parameter(3.0, "… and its λ, the same for every space", gt=0)
    out_dir: str = parameter(
        "runs/numerical", "weights, logs and metrics.json go here", decides=False
    )
    study_steps: Whole = parameter(0, "steps of each study; 0: a third of steps", ge=0)
    block_content: Whole = parameter(4, "of content, where styles have several dimensions …", ge=1)
    block_styles: Wholes = parameter((2, 2), "… and of each style there")
    noise: Number = parameter(1.0, "standard deviation of what augmentation adds to a style", gt=0)
    lr: Number = parameter(2e-3, "peak rate of AdamW", gt=0)
    width: Whole = parameter(256, "of the encoder's hidden layers", ge=1)
    depth: Whole = parameter(4, "hidden layers of the encoder", ge=1)
    probe_samples: Whole = parameter(5000, "to fit a probe on, and to score it on", ge=50)


@dataclass(frozen=True)
class Setting:
    """One cell of the comparison; `dataclasses.replace` one field to make another."""

    latents: Latents = Latents()
    family: str = "entropy"
    sizes: tuple[int, ...] = ()  # of content and each style space; empty: the blocks' own
    lambdas: tuple[float, ...] = ()  # weight per space, or one for all; empty: the family's
    adaptive: bool = False  # λ by dual ascent …
    epsilon: float = 0.1  # … so that each c_m is at most this
    dropped: tuple[str, ...] = ()  # styles whose key shares nothing with the query
    options: tuple = ()  # of the family, such as (("temperature", 0.3),)
    steps: int = 3000
    batch_size: int = 512
    lr: float = 2e-3
    width: int = 256  # of each hidden layer …
    depth: int = 4  # … of the encoder
    precision: Precision = "auto"
    device: str = "auto"
    fresh: bool = False  # set aside what out_dir holds and train anew
    probe: int = 5000  # samples that the probes are fitted on, and as many to score them on

    @property
    def spaces(self) -> Spaces:
        """The spaces, of the blocks' own sizes unless `sizes` says otherwise."""
        own = (self.latents.content, *self.latents.styles)
        return Spaces(self.latents.names, self.sizes or own)

    @property
    def on(self) -> torch.device:
        """The device that `device` names."""
        return pick_device(self.device)

    def at(self, seed: int) -> Latents:
        """Return the latents of a seed: each has a mixing of its own.

        So the spread over seeds counts the mixing too.
        """
        return replace(self.latents, seed=1000 * seed + self.latents.seed)


def prepare(config: Parameters) -> tuple[Setting, Latents, Latents]:
    """Return (the setting that all others vary, headline latents, latents of larger blocks).

    Raises ValueError, one line, before any work.
    """
    pick_device(config.device)
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
    return base, headline, blocks


def facts(config: Parameters, base: Setting) -> dict[str, Any]:
    """Return what the first lines of the page say about its run."""
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


@dataclass
class LatentRun(Run):
    """A trained encoder of latents; its table holds R² {space: {block: R²}}."""

    latents: Latents = field(kw_only=True)
    seconds: float = field(kw_only=True)  # of training


def build(setting: Setting, seed: int) -> tuple[models.MultiSpace, Objective]:
    """Return a fresh encoder (an MLP, then one linear map to z) and its objective."""
    torch.manual_seed(seed)
    spaces, device = setting.spaces, setting.on
    encoder = models.mlp(setting.latents.dim, [setting.width] * setting.depth)
    several = list(setting.lambdas) or None
    weights = setting.lambdas[0] if len(setting.lambdas) == 1 else several
    objective = Objective(setting.family, spaces, weights, **dict(setting.options))
    model = models.MultiSpace(encoder, setting.width, spaces, hidden=())
    return model.to(device), objective.to(device)


def run(
    setting: Setting, seed: int, out_dir: str | Path | None = None, name: str = ""
) -> LatentRun:
    """Train one encoder and probe it. Its log and weights go to `out_dir`."""
    latents = setting.at(seed)
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
    start = time.perf_counter()
    log = fit(
        model, objective, views, stream, training, out_dir, name, config=record, fresh=setting.fresh
    )
    seconds = time.perf_counter() - start
    trained = LatentRun(model, objective, seed, log, latents=latents, seconds=seconds)
    trained.table = r2(trained, setting.probe, seed)
    return trained


# -------------------------------------------------------------------------------------- measures


@torch.no_grad()
def embed(run: LatentRun, x: torch.Tensor) -> Features:
    """Return h, every space and `joined` of observations x [N, dim], as arrays.

    For `simclr` each space lies on its sphere.
    """
    device = next(run.model.parameters()).device
    run.model.eval()
    parts = [run.model(part.to(device)) for part in x.split(8192)]
    h, z = (torch.cat(some).float() for some in zip(*parts, strict=True))
    normalise = run.objective.frozen_normalise
    z = normalise(z, run.model.spaces) if normalise else z
    spaces = {"h": h, **run.model.spaces.split(z), "joined": z}
    return {name: part.cpu().numpy() for name, part in spaces.items()}


def held_out(
    latents: Latents, n: int, seed: int
) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Return two samples (x, blocks) of plain latents, to fit probes on and to score them on."""
    sides = []
    for part in range(2):
        generator = torch.Generator().manual_seed(STREAM + 2 * seed + part)
        z, blocks = latents.sample(n, generator)
        sides.append((latents.mix(z), blocks))
    return sides


def r2(run: LatentRun, n: int, seed: int) -> dict[str, Row]:
    """Return {space: {block: held-out R²}}, for h, every space and `joined`.

    R² is the mean over the block's dimensions. The row of a style space has
    `<style>_given_content` too: the style from that space and the content space together.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = ({k: v.numpy() for k, v in b.items()} for b in (blocks, blocks_test))
    z, z_test = embed(run, x), embed(run, x_test)
    table = {}
    for space in z:
        sizes = probes.side_by_side(z, space)
        table[space] = probes.many(z[space], y, z_test[space], y_test, sizes)
    for style in run.latents.names[1:]:
        train, test = (
            np.concatenate([side["content"], side[style]], axis=1) for side in (z, z_test)
        )
        given = probes.many(train, {style: y[style]}, test, y_test)[style]
        table[style][f"{style}_given_content"] = given
    return table


def ceiling(latents: Latents, n: int, seed: int) -> dict[str, Row]:
    """Return {"x": {block: held-out R²}} of an MLP from the observation itself.

    Two hidden layers of 256, early stopping: what any encoder could be asked for through this
    mixing, with n samples.
    """
    sides = held_out(Setting(latents).at(seed), n, seed)
    names = list(sides[0][1])
    y, y_test = (np.concatenate([blocks[k].numpy() for k in names], 1) for _, blocks in sides)
    network = MLPRegressor(
        hidden_layer_sizes=(256, 256),
        early_stopping=True,
        batch_size=256,
        learning_rate_init=2e-3,
        max_iter=100,
        random_state=0,
    )
    probe = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = probe.fit(sides[0][0].numpy(), y).predict(sides[1][0].numpy())
    scores = r2_score(y_test, predicted, multioutput="raw_values")
    ends = np.cumsum([sides[0][1][k].shape[1] for k in names])[:-1]
    parts = np.split(scores, ends)
    return {"x": {k: float(part.mean()) for k, part in zip(names, parts, strict=True)}}


def loss_of(latents: Latents, z: torch.Tensor, temperature: float) -> float:
    """Return the entropy family's loss of a given, perfectly aligned embedding z [N, dim].

    Perfectly aligned: every view has the same z.
    """
    spaces = Spaces(latents.names, (latents.content, *latents.styles))
    objective = Objective("entropy", spaces, temperature=temperature)
    return float(objective(z.expand(len(spaces.names) + 1, -1, -1)).loss)


def summary(run: LatentRun) -> Row:
    """Return a table in four numbers: content, style, leak, seconds.

    `content` and `style` (mean over styles, exogenous part) from their own spaces, `leak` the
    largest R² of content from a style space, `seconds` of training.
    """
    styles, table = run.latents.names[1:], run.table
    own = [table[s][s.replace("style", "exogenous")] for s in styles]
    return {
        "content": table["content"]["content"],
        "style": float(np.mean(own)),
        "leak": float(max(table[s]["content"] for s in styles)),
        "seconds": run.seconds,
    }


def dci_es(run: LatentRun, n: int, seed: int) -> Row:
    """Return DCI-ES of the joined code against every dimension of every latent block."""
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = (
        np.concatenate([b[k].numpy() for k in run.latents.names], 1) for b in (blocks, blocks_test)
    )
    return dci.scores(embed(run, x)["joined"], y, embed(run, x_test)["joined"], y_test, seed)

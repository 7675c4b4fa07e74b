"""The numerical experiment: latents we know, one encoder per setting and seed, R² of every block from every space."""
from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import dci, models, probes, train
from .config import PRECISIONS, Train, known, one_of, positive, whole, yes_or_no
from .data.latents import Latents, LatentViews, Stream
from .objective import Objective
from .spaces import Spaces


PARAMETERS = ("steps", "study_steps", "samples", "seeds", "seed", "content", "styles", "block_content", "block_styles", "noise", "temperature", "weight", "lr", "width",
              "depth", "probe_samples", "precision", "device", "fresh", "out_dir", "profile")


@dataclass(frozen=True)
class Setting:
    """One cell of the comparison; `replace` one field to make another."""

    latents: Latents = Latents()
    family: str = "entropy"
    sizes: tuple[int, ...] = ()         # of content and each style space; empty: the blocks' own
    lambdas: tuple[float, ...] = ()     # weight per space, or one for all; empty: the family's
    adaptive: bool = False              # λ by dual ascent …
    epsilon: float = 0.1                # … so that each c_m is at most this
    dropped: tuple[str, ...] = ()       # styles whose key shares nothing with the query
    options: tuple = ()                 # of the family, such as (("temperature", 0.3),)
    steps: int = 3000
    batch_size: int = 512
    lr: float = 2e-3
    width: int = 256                    # of each hidden layer …
    depth: int = 4                      # … of the encoder
    precision: str = "auto"
    device: str = "auto"
    fresh: bool = False                 # set aside what out_dir holds, rather than go on with it
    probe: int = 5000                   # samples that the probes are fitted on, and as many that they are scored on

    @property
    def spaces(self) -> Spaces:
        own = (self.latents.content, *self.latents.styles)
        return Spaces(self.latents.names, self.sizes or own)

    @property
    def on(self) -> torch.device:
        """The device that `device` names."""
        return train.pick_device(self.device)


def prepare(**params) -> tuple[Setting, Latents, Latents]:
    """(the setting that all others vary, headline latents, latents of larger blocks) from a notebook's parameters.

    Raises ValueError, one line, before any work.
    """
    known(params, PARAMETERS)
    p = dict(params)
    yes_or_no(p, "fresh")
    whole(p, steps=1, study_steps=0, samples=2, seeds=1, seed=0, content=1, block_content=1, width=1, depth=1, probe_samples=50)
    positive(p, "noise", "temperature", "weight", "lr")
    one_of(p, precision=PRECISIONS)
    train.pick_device(p["device"])
    headline = Latents(p["content"], whole_numbers("styles", p["styles"]), noise=p["noise"])
    blocks = Latents(p["block_content"], whole_numbers("block_styles", p["block_styles"]), noise=p["noise"])
    base = Setting(headline, lambdas=(float(p["weight"]),), options=(("temperature", p["temperature"]),), steps=p["steps"], batch_size=p["samples"], lr=p["lr"], width=p["width"],
                   depth=p["depth"], precision=p["precision"], device=p["device"], probe=p["probe_samples"], fresh=p["fresh"])
    return base, headline, blocks


def whole_numbers(name: str, text) -> tuple[int, ...]:
    """'1,1,1' -> (1, 1, 1). Raises ValueError, one line, for anything else."""
    try:
        return tuple(int(v) for v in str(text).split(","))
    except ValueError:
        raise ValueError(f"{name} = '{text}'; give whole numbers with commas, such as '1,1,1'") from None


@dataclass
class Run:
    """A trained encoder with its log and its R² table {space: {target: R²}}."""

    model: models.MultiSpace
    latents: Latents
    objective: Objective
    log: list[dict]
    seconds: float                                            # of training
    table: dict = field(default_factory=dict)


def build(setting: Setting, seed: int) -> tuple[models.MultiSpace, Objective]:
    """A fresh encoder (MLP, then one linear map to z) and its objective, on the setting's device."""
    torch.manual_seed(seed)
    spaces, device = setting.spaces, setting.on
    encoder = models.mlp(setting.latents.dim, [setting.width] * setting.depth)
    weights = setting.lambdas[0] if len(setting.lambdas) == 1 else setting.lambdas or None
    objective = Objective(setting.family, spaces, weights, **dict(setting.options))
    return models.MultiSpace(encoder, setting.width, spaces, hidden=()).to(device), objective.to(device)


def fit(setting: Setting, seed: int, out_dir=None, name: str = "") -> Run:
    """Train and probe. Every seed has a mixing of its own, so that the spread over seeds counts that too."""
    latents = replace(setting.latents, seed=1000 * seed + setting.latents.seed)
    model, objective = build(setting, seed)
    device, epochs = setting.on, max(1, setting.steps // 100)
    settings = Train(epochs=epochs, batch_size=setting.batch_size, lr=setting.lr, warmup_epochs=epochs / 10, precision=setting.precision, clip=1.0,
                     adaptive=setting.adaptive, epsilon=setting.epsilon, dual_warmup_epochs=epochs / 10, seed=seed, log_every=max(1, setting.steps // 60))
    stream = Stream(latents, setting.batch_size, min(100, setting.steps), seed, device)
    start = time.perf_counter()
    asked = {k: v for k, v in asdict(replace(setting, latents=latents)).items() if k not in ("device", "probe", "fresh")}
    log = train.fit(model, objective, LatentViews(latents, setting.dropped), stream, settings, out_dir and Path(out_dir), name or f"{setting.family}, seed {seed}",
                    config={"experiment": asked}, fresh=setting.fresh)
    run = Run(model, latents, objective, log, time.perf_counter() - start)
    run.table = r2(run, setting.probe, seed)
    return run


@torch.no_grad()
def embed(run: Run, x: torch.Tensor) -> probes.Features:
    """h, every space and `joined` of observations x [N, dim], as arrays; for `simclr` each space on its sphere."""
    device = next(run.model.parameters()).device
    run.model.eval()
    h, z = (torch.cat(parts).float() for parts in zip(*(run.model(part.to(device)) for part in x.split(8192))))
    normalise = run.objective.frozen_normalise
    z = normalise(z, run.model.spaces) if normalise else z
    return {name: part.cpu().numpy() for name, part in {"h": h, **run.model.spaces.split(z), "joined": z}.items()}


def held_out(latents: Latents, n: int, seed: int) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Two samples (x, blocks) of plain, unaugmented latents, to fit probes on and to score them on."""
    sides = []
    for part in range(2):
        z, blocks = latents.sample(n, torch.Generator().manual_seed(probes.STREAM + 2 * seed + part))
        sides.append((latents.mix(z), blocks))
    return sides


def r2(run: Run, n: int, seed: int) -> dict[str, dict[str, float]]:
    """{space: {block: held-out R², mean over the block's dimensions}}, for h, every space and `joined`.

    The row of a style space has `<style>_given_content` too: the style from that space and the content space together.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = ({k: v.numpy() for k, v in b.items()} for b in (blocks, blocks_test))
    z, z_test = embed(run, x), embed(run, x_test)
    table = {space: probes.many(z[space], y, z_test[space], y_test, probes.side_by_side(z, space)) for space in z}
    for style in run.latents.names[1:]:
        both = [np.concatenate([side["content"], side[style]], axis=1) for side in (z, z_test)]
        table[style][f"{style}_given_content"] = probes.many(both[0], {style: y[style]}, both[1], y_test)[style]
    return table


def ceiling(latents: Latents, n: int, seed: int) -> dict[str, dict[str, float]]:
    """{"x": {block: held-out R²}} of an MLP (two layers of 256, early stopping) from the observation itself: what any encoder
    could be asked for through this mixing, with these samples."""
    sides = held_out(replace(latents, seed=1000 * seed + latents.seed), n, seed)
    names = [k for k in sides[0][1]]
    y, y_test = (np.concatenate([blocks[k].numpy() for k in names], 1) for _, blocks in sides)
    probe = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(256, 256), early_stopping=True, batch_size=256,
                                                         learning_rate_init=2e-3, max_iter=100, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = r2_score(y_test, probe.fit(sides[0][0].numpy(), y).predict(sides[1][0].numpy()), multioutput="raw_values")
    ends = np.cumsum([sides[0][1][k].shape[1] for k in names])[:-1]
    return {"x": {k: float(part.mean()) for k, part in zip(names, np.split(scores, ends))}}


def loss_of(latents: Latents, z: torch.Tensor, temperature: float) -> float:
    """The entropy family's loss of a given, perfectly aligned embedding z [N, dim]: every view has the same z."""
    spaces = Spaces(latents.names, (latents.content, *latents.styles))
    return float(Objective("entropy", spaces, temperature=temperature)(z.expand(len(spaces.names) + 1, -1, -1)).loss)


def summary(run: Run) -> dict[str, float]:
    """A table in four numbers: `content` and `style` (mean over styles, exogenous part) from their own spaces, `leak` (the largest R²
    of content from a style space) and `seconds` of training."""
    styles = run.latents.names[1:]
    return {"content": run.table["content"]["content"],
            "style": float(np.mean([run.table[s][s.replace("style", "exogenous")] for s in styles])),
            "leak": float(max(run.table[s]["content"] for s in styles)), "seconds": run.seconds}


def dci_es(run: Run, n: int, seed: int) -> dict[str, float]:
    """DCI-ES of the joined code against every dimension of every latent block."""
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = (np.concatenate([b[k].numpy() for k in run.latents.names], 1) for b in (blocks, blocks_test))
    return dci.scores(embed(run, x)["joined"], y, embed(run, x_test)["joined"], y_test, seed)

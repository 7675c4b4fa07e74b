"""Measures of the numerical experiment: what each space predicts of the blocks of latents."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from msr.data.latents import Latents
from msr.evaluate import STREAM, Features, dci, probes
from msr.experiments.setup import Row, Run
from msr.objective import Objective
from msr.spaces import Spaces


@dataclass
class LatentRun(Run):
    """A trained encoder of latents; its table is {space: {block: R²}}."""

    latents: Latents = field(kw_only=True)
    seconds: float = field(kw_only=True)  # time of training, by its log


def of_seed(latents: Latents, seed: int) -> Latents:
    """Return the latents of one seed, which have a mixing of their own.

    The spread of results over seeds therefore includes that over mixings.
    """
    return replace(latents, seed=1000 * seed + latents.seed)


@torch.no_grad()
def embed(run: LatentRun, x: torch.Tensor) -> Features:
    """Return {space: float32 [N, d]} of observations x [N, dim]: h, every space and `joined`.

    For the family `simclr` each space is normalised to its sphere.
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
    """Return two samples of latents without augmentation: to fit probes on, and to score them on.

    Each is (x [n, dim], {block: [n, d]}).
    """
    sides = []
    for part in range(2):
        generator = torch.Generator().manual_seed(STREAM + 2 * seed + part)
        z, blocks = latents.sample(n, generator)
        sides.append((latents.mix(z), blocks))
    return sides


def r2(run: LatentRun, n: int, seed: int, whole: bool = True) -> dict[str, Row]:
    """Return {space: {block: held-out R²}}, for h, every space, `joined` and x itself.

    n: samples to fit the probes on, and as many to score them on. R² is the mean over the block's
    dimensions. The row of a style space also has `<style>_given_content`: the style, predicted from
    that space and the content space together. whole: False leaves out h, `joined`, x, and what is
    given content where the style is scalar, which take most of the time. Settings of the probe as
    in `probes.regress`; of x as in `ceiling`.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = ({k: v.numpy() for k, v in b.items()} for b in (blocks, blocks_test))
    z, z_test = embed(run, x), embed(run, x_test)
    shown = list(z) if whole else list(run.latents.names)
    table = {space: probes.many(z[space], y, z_test[space], y_test) for space in shown}
    sizes = dict(zip(run.latents.names[1:], run.latents.styles))
    for style in (name for name, size in sizes.items() if whole or size > 1):
        train, test = (
            np.concatenate([side["content"], side[style]], axis=1) for side in (z, z_test)
        )
        given = probes.many(train, {style: y[style]}, test, y_test)[style]
        table[style][f"{style}_given_content"] = given
    return table | ({"x": ceiling(run.latents, n, seed)} if whole else {})


def ceiling(latents: Latents, n: int, seed: int) -> Row:
    """Return {block: held-out R²}: what an MLP predicts from the observation itself.

    latents: of the seed (see `of_seed`). It shows how much can be learned from n mixed samples
    without a trained encoder. An encoder has seen more samples, so its h can exceed it. Settings:
    two hidden layers of 256 units, Adam with a rate of 2e-3, early stopping.
    """
    sides = held_out(latents, n, seed)
    names = list(sides[0][1])
    y, y_test = (np.concatenate([blocks[k].numpy() for k in names], 1) for _, blocks in sides)
    network = MLPRegressor(
        hidden_layer_sizes=(256, 256),
        early_stopping=True,
        batch_size=min(256, max(1, n // 2)),
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
    return {k: float(part.mean()) for k, part in zip(names, parts, strict=True)}


def loss_of(latents: Latents, z: torch.Tensor, temperature: float) -> float:
    """Return the entropy family's loss of an embedding z [N, dim] that is perfectly aligned.

    Perfectly aligned means that every view has the same z.
    """
    spaces = Spaces(latents.names, (latents.content, *latents.styles))
    objective = Objective("entropy", spaces, temperature=temperature)
    return float(objective(z.expand(len(spaces.names) + 1, -1, -1)).loss)


def summary(run: LatentRun) -> Row:
    """Return a run's table as a few numbers.

    `content`: R² of content from its own space. `style`: R² of the exogenous part of each style
    from its own space, mean over styles; `lowest style`: that of the lowest. `given content`: R² of
    a style from its space and content together, mean, where a style has several dimensions. `leak`:
    the largest R² of content from a style space. `elsewhere`: the largest R² of any block (of a
    style, its exogenous part) from any space but its own. `seconds`: time of training.
    """
    styles, table = run.latents.names[1:], run.table
    part = {space: space.replace("style", "exogenous") for space in table}
    own = [table[s][part[s]] for s in styles]
    given = [table[s][f"{s}_given_content"] for s in styles if f"{s}_given_content" in table[s]]
    spaces = run.latents.names
    wrong = [table[a][part[b]] for a in spaces for b in spaces if a != b]
    return {
        "content": table["content"]["content"],
        "style": float(np.mean(own)),
        "lowest style": min(own),
        "given content": float(np.mean(given)) if given else float(np.mean(own)),
        "leak": float(max(table[s]["content"] for s in styles)),
        "elsewhere": max(wrong),
        "seconds": run.seconds,
    }


def dci_es(run: LatentRun, n: int, seed: int) -> Row:
    """Return DCI-ES of all spaces joined, with every dimension of every block as a factor.

    n: samples to fit on, and as many to score on. Measures and source: `evaluate.dci.scores`.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = (
        np.concatenate([b[k].numpy() for k in run.latents.names], 1) for b in (blocks, blocks_test)
    )
    return dci.scores(embed(run, x)["joined"], y, embed(run, x_test)["joined"], y_test, seed)


def style_space(run: LatentRun, n: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what a figure shows of the first dimension z of the first style space.

    These are {"its style": (s, z), "content": (⟨w, c⟩, z)}, each [n]: s is the style's first
    dimension, and the direction w of content c fits z best, by least squares, on other samples.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, run.seed)
    style = run.latents.names[1]
    z, z_test = (embed(run, some)[style][:, 0] for some in (x, x_test))
    w = np.linalg.lstsq(blocks["content"].numpy(), z - z.mean(), rcond=None)[0]
    s, c = blocks_test[style].numpy(), blocks_test["content"].numpy()
    return {"its style": (s[:, 0], z_test), "content": (c @ w, z_test)}

"""Measures of the numerical experiment: what each space predicts of the blocks of latents."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
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


ALL = ("h", "joined", "x")  # rows of a table that are no space


def r2(run: LatentRun, n: int, seed: int, rows: Sequence[str] = ALL) -> dict[str, Row]:
    """Return {space: {block: held-out R²}}, for every space and each of `rows`.

    n: samples to fit the probes on, and as many to score them on. R² is the mean over the block's
    dimensions. The row of a style space also has `<style>_given_content`: the style, predicted from
    that space and the content space together; for a scalar style only if `rows` has `joined`. Fewer
    rows save most of the time. Settings of the probe as in `probes.regress`, of x as in `ceiling`.
    """
    (x, blocks), (x_test, blocks_test) = held_out(run.latents, n, seed)
    y, y_test = ({k: v.numpy() for k, v in b.items()} for b in (blocks, blocks_test))
    z, z_test = embed(run, x), embed(run, x_test)
    shown = [space for space in z if space in (*run.latents.names, *rows)]
    table = {
        space: probes.scores(probes.many(z[space], y, z_test[space], y_test)) for space in shown
    }
    sizes = dict(zip(run.latents.names[1:], run.latents.styles))
    for style in (name for name, size in sizes.items() if size > 1 or "joined" in rows):
        train, test = (
            np.concatenate([side["content"], side[style]], axis=1) for side in (z, z_test)
        )
        given = probes.many(train, {style: y[style]}, test, y_test)[style].score
        table[style][f"{style}_given_content"] = given
    return table | ({"x": ceiling(run.latents, n, seed)} if "x" in rows else {})


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
    from its own space, mean over styles; `lowest style`: that of the lowest. `given content`: the
    lowest R² of a style from its space and content together, where that was measured, else as
    `lowest style`. `leak`: the largest R² of content from a style space. `elsewhere`: the largest
    R² of any block (of a style, its exogenous part) from any space but its own. `seconds`: time of
    training. If the table has the row x, also `content from x` and `lowest style from x`.
    """
    styles, table = run.latents.names[1:], run.table
    part = {space: space.replace("style", "exogenous") for space in table}
    own = [table[s][part[s]] for s in styles]
    given = [table[s][f"{s}_given_content"] for s in styles if f"{s}_given_content" in table[s]]
    spaces = run.latents.names
    wrong = [table[a][part[b]] for a in spaces for b in spaces if a != b]
    limits = {}
    if "x" in table:
        limits = {
            "content from x": table["x"]["content"],
            "lowest style from x": min(table["x"][part[s]] for s in styles),
        }
    return limits | {
        "content": table["content"]["content"],
        "style": float(np.mean(own)),
        "lowest style": min(own),
        "given content": min(given or own),
        "leak": float(max(table[s]["content"] for s in styles)),
        "elsewhere": max(wrong),
        "seconds": run.seconds,
    }


def constraints(run: LatentRun) -> dict[str, Row]:
    """Return {space: {misalignment, weight}}: c_m and λ_m at the end of training, by the log."""
    last = run.log[-1]
    return {
        space: {"misalignment": last[f"violation/{space}"], "weight": last[f"lambda/{space}"]}
        for space in run.model.spaces.names
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


# ------------------------------------------------------------------ how large should a space be?


def spectra(runs: Sequence[LatentRun], n: int = 200) -> dict[str, np.ndarray]:
    """Return {space: singular values, falling} of the derivative of each space's embedding.

    That of a style space is of the content space and it together. The derivative is taken with
    respect to the whitened observation, of z with variance 1 per dimension, at n held-out samples
    of each run; each value is its median over samples and runs.
    """
    per_run = [_spectra(run, n) for run in runs]
    return {
        space: torch.cat([found[space] for found in per_run]).median(dim=0).values.numpy()
        for space in per_run[0]
    }


def _spectra(run: LatentRun, n: int) -> dict[str, torch.Tensor]:
    """Return {space: singular values [n, d]} of one run (see `spectra`)."""
    model = run.model.eval().cpu()
    whitening, *rest = model.backbone.children()
    after = torch.nn.Sequential(*rest, *model.projector)  # whitened x [N, d] -> z [N, D]
    (x, _), (x_test, _) = held_out(run.latents, max(n, 1000), run.seed)
    with torch.no_grad():
        scale = after(whitening(x_test)).std(dim=0)
        slopes = torch.func.vmap(torch.func.jacrev(lambda v: after(v[None])[0]))(whitening(x[:n]))
        parts = run.model.spaces.split((slopes / scale[:, None]).mT)  # {space: [n, d, d_m]}
    content = parts["content"]
    both = {space: torch.cat([content, part], dim=2) for space, part in parts.items()}
    return {s: torch.linalg.svdvals(content if s == "content" else both[s]) for s in parts}


def sizes_found(values: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the size that each space needs, by the singular values of `spectra`.

    They are counted up to the largest gap, as a ratio, between them or to a hundredth of the first;
    what is smaller than that counts as that. By the theory the content space depends on as many
    variables as content has, and content and style space together on those of the style too; what a
    space has beyond this is a function of the same variables.
    """
    rank = {}
    for space, found in values.items():
        with_floor = np.append(found, 0).clip(min=1e-2 * found[0])
        rank[space] = 1 + int(np.argmax(with_floor[:-1] / with_floor[1:]))
    content = rank["content"]
    return {s: n if s == "content" else max(1, n - content) for s, n in rank.items()}

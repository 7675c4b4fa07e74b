"""What content contributes to a style that it causes, and how much of it a style space lets in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from msr.data.latents import LatentViews
from msr.evaluate import STREAM, probes
from msr.experiments.measures import LatentRun, embed, held_out
from msr.experiments.setup import Row


def parts(run: LatentRun, n: int) -> dict[str, Row]:
    """Return {style: its numbers} for latents s_m = f_m(c) + u_m, the regime "causal".

    Each is an R² that is the mean over dimensions, of n samples that the probe was not fitted on:
    `cap`, of s_m from u_m at best, Var u_m / Var s_m; `style`, of s_m from space m; `caused`, of
    f_m(c) from space m; `content`, of content from space m, and `augmented`, of content from space
    m where the observation is augmented, of which the theorem speaks (thm-main, d).
    """
    sides = held_out(run.latents, n, run.seed)
    blocks = [side for _, side in sides]
    plain = [embed(run, x) for x, _ in sides]
    moved = [embed(run, augmented(run, x, part)) for part, (x, _) in enumerate(sides)]
    found = {}
    for m, style in enumerate(run.latents.names[1:], start=1):
        s, u = ([side[name].numpy() for side in blocks] for name in (style, f"exogenous_{m}"))
        caused = [a - b for a, b in zip(s, u)]
        content = [side["content"].numpy() for side in blocks]
        z, z_moved = ([side[style] for side in some] for some in (plain, moved))
        found[style] = {
            "cap": float(np.mean(u[1].var(axis=0) / s[1].var(axis=0))),
            "style": r2(z, s),
            "caused": r2(z, caused),
            "content": r2(z, content),
            "augmented": r2(z_moved, content),
        }
    return found


def augmented(run: LatentRun, x: torch.Tensor, part: int) -> torch.Tensor:
    """Return the query view of observations x [N, dim]."""
    generator = torch.Generator().manual_seed(STREAM + 2 * run.seed + part + 10**6)
    return LatentViews(run.latents)(run.latents.unmix(x), generator)[0]


def r2(z: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> float:
    """Return R² of y [n, d] from z, of the second side by a probe that is fitted on the first."""
    return probes.many(z[0], {"y": y[0]}, z[1], {"y": y[1]})["y"].score

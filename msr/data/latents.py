"""Latents whose blocks we know: content and styles, their augmentation, and an invertible mixing to observe them through.

After von Kügelgen et al. 2021 (arXiv:2106.04619), section 5.1, with a block per style; the causal regime keeps its exogenous noise.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

from .. import dist

REGIMES = ("independent", "statistical", "causal")
SLOPE = 0.2                                                   # of the mixing's leaky ReLU


@dataclass(frozen=True)
class Latents:
    """(c, s_1, …, s_M) and x = f(c, s): f is fixed by `seed`, as are the regime's own parameters.

    independent: everything N(0, 1). statistical: content and each style have a random correlation matrix (Wishart).
    causal: s_m = tanh(B_m c) + u_m, the rows of B_m of norm 1, u_m ~ N(0, 1) kept as `exogenous_m`.
    Raises ValueError for an unknown regime or an empty block.
    """

    content: int = 3                    # dimensions of c
    styles: tuple[int, ...] = (1, 1, 1) # dimensions of s_1, …, s_M
    regime: str = "independent"
    noise: float = 1.0                  # the augmentation is s̃ = s + noise · N(0, 1)
    layers: int = 3                     # linear maps in the mixing, leaky ReLU between them
    seed: int = 0

    def __post_init__(self):
        if self.regime not in REGIMES:
            raise ValueError(f"unknown regime '{self.regime}'; choose {', '.join(REGIMES)}")
        if min((self.content, *self.styles)) < 1 or not self.styles:
            raise ValueError(f"content {self.content}, styles {self.styles}: every block needs at least one dimension, and there must be a style")

    @property
    def names(self) -> tuple[str, ...]:
        return ("content", *(f"style_{m + 1}" for m in range(len(self.styles))))

    @property
    def dim(self) -> int:
        return self.content + sum(self.styles)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Block -> its columns in z."""
        ends = [self.content + sum(self.styles[:m]) for m in range(len(self.styles) + 1)]
        return {name: slice(start, end) for name, start, end in zip(self.names, [0, *ends], ends)}

    # ----------------------------------------------------------------------------------------------- the law of z

    @cached_property
    def factors(self) -> dict[str, torch.Tensor]:
        """Block -> L with s = L u: the identity, or a Cholesky factor of a random correlation matrix (statistical)."""
        generator = torch.Generator().manual_seed(self.seed)
        def factor(d):
            if self.regime != "statistical" or d == 1:
                return torch.eye(d)
            a = torch.randn(d, d + 2, generator=generator)                                    # a aᵀ ~ Wishart, d + 2 degrees of freedom
            covariance = a @ a.T
            scale = covariance.diagonal().rsqrt()
            return torch.linalg.cholesky(covariance * scale[:, None] * scale)
        return {name: factor(d) for name, d in zip(self.names, (self.content, *self.styles))}

    @cached_property
    def causes(self) -> list[torch.Tensor]:
        """B_m [d_m, content], rows of norm 1."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return [F.normalize(torch.randn(d, self.content, generator=generator), dim=1) for d in self.styles]

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """z [n, dim] = [c, s_1, …, s_M] and its blocks by name, with the noises `exogenous_m` [n, d_m]."""
        noise = torch.randn(n, self.dim, generator=generator)
        u = {name: noise[:, cut] for name, cut in self.slices.items()}
        blocks = {name: u[name] @ self.factors[name].T for name in self.names}
        if self.regime == "causal":
            for name, B in zip(self.names[1:], self.causes):
                blocks[name] = torch.tanh(blocks["content"] @ B.T) + u[name]                  # s_m = f_m(c) + u_m
        z = torch.cat([blocks[name] for name in self.names], dim=1)
        return z, blocks | {f"exogenous_{m + 1}": u[name] for m, name in enumerate(self.names[1:])}

    # ------------------------------------------------------------------------------------------------- the mixing

    @cached_property
    def weights(self) -> torch.Tensor:
        """[layers, dim, dim]: per layer the best conditioned of 500 Gaussian draws with unit columns."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        draws = F.normalize(torch.randn(self.layers, 500, self.dim, self.dim, generator=generator), dim=2)
        best = torch.linalg.cond(draws).argmin(dim=1)
        return draws[torch.arange(self.layers), best]

    def mix(self, z: torch.Tensor) -> torch.Tensor:
        """x = f(z) [..., dim], on z's device."""
        for i, w in enumerate(self.weights.to(z.device, z.dtype)):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ w.T
        return z

    def unmix(self, x: torch.Tensor) -> torch.Tensor:
        """z = f⁻¹(x), exact up to rounding."""
        for i, w in reversed(list(enumerate(self.weights.to(x.device, x.dtype)))):
            x = x @ torch.linalg.inv(w).T
            x = torch.where(x < 0, x / SLOPE, x) if i else x
        return x


class LatentViews:
    """Query and keys of latents: z [B, dim] -> x [M + 2, B, dim], as `msr.views.Views` does for images.

    The query adds noise to every style; key 0 draws all noise afresh; key m keeps the query's noise of style m. A style
    named in `dropped` is drawn afresh in its key too, so that nothing tells its space about it.
    """

    def __init__(self, latents: Latents, dropped: tuple[str, ...] = ()):
        unknown = set(dropped) - set(latents.names[1:])
        if unknown:
            raise ValueError(f"unknown style '{min(unknown)}'; these latents have: {', '.join(latents.names[1:])}")
        self.latents, self.dropped, self.n_views = latents, tuple(dropped), len(latents.names) + 1

    def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """The noise of every view, [V, n, dim]; zero on the content."""
        noise = self.latents.noise * torch.randn(self.n_views, n, self.latents.dim, generator=generator)
        noise[..., : self.latents.content] = 0
        for m, name in enumerate(self.latents.names[1:], start=1):
            if name not in self.dropped:
                cut = self.latents.slices[name]
                noise[m + 1, :, cut] = noise[0, :, cut]
        return noise

    def __call__(self, z: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = self.sample(len(z) * dist.world_size(), generator)[:, dist.own(len(z))]
        return self.latents.mix(z + noise.to(z.device, non_blocking=True))


class Stream:
    """Endless fresh latents in batches, `steps` of them called an epoch: what `train.fit` reads. Seeded by (seed, epoch)."""

    def __init__(self, latents: Latents, batch_size: int, steps: int, seed: int = 0, device="cpu"):
        if batch_size % dist.world_size():
            raise ValueError(f"batch_size {batch_size} does not divide over {dist.world_size()} processes")
        self.latents, self.batch_size, self.steps, self.seed, self.device = latents, batch_size, steps, seed, torch.device(device)

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0):
        """The batches of an epoch from step `start` on; each rank draws all and takes its own part."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) * 4096)
        for step in range(self.steps):
            z = self.latents.sample(self.batch_size, generator)[0]
            if step >= start:
                yield z[dist.own(self.batch_size // dist.world_size())].to(self.device, non_blocking=True)


def turned_by(s: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """The counterexample: a block s [N, 2], law N(0, v I), turned by an angle that content [N, d], its first dimension N(0, 1), sets.

    s ↦ R(2π Φ(c_1)) s keeps the law of s for every c, so alignment and joint entropy stay optimal, yet alone it no
    longer tells s (equation `turn` of the theory).
    """
    angle = math.pi * (1 + torch.erf(content[:, 0] / math.sqrt(2)))                           # 2π Φ(c_1): uniform on the circle
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * s[:, 0] - sin * s[:, 1], sin * s[:, 0] + cos * s[:, 1]], dim=1)


def wound(c: torch.Tensor) -> torch.Tensor:
    """The other counterexample: content [N, 2], uniform on the square, wound twice around a disc, which is then laid out on the square.

    Smooth, uniform again, and two to one: (c_1, c_2) and (c_1, c_2 + ½) meet (equation `winding` of the theory).
    """
    radius, angle = c[:, 0].sqrt(), 4 * math.pi * c[:, 1]
    a, b = radius * angle.cos(), radius * angle.sin()
    half = (1 - a.square()).sqrt()
    return torch.stack([0.5 + (a * half + a.asin()) / math.pi, 0.5 + b / (2 * half)], dim=1)

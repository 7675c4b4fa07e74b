"""Synthetic latents with known blocks of content and style, their augmentation and their mixing.

After von Kügelgen et al. 2021 (arXiv:2106.04619), section 5.1, but with one block per style. In the
causal regime the exogenous noise of each style is returned too. The mixing is invertible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F

from msr import config, dist

REGIMES = ("independent", "statistical", "causal")
SLOPE = 0.2  # of the mixing's leaky ReLU
LARGEST = 256  # dimensions of z: the mixing draws DRAWS matrices of so many rows and columns
DRAWS = 500  # random draws of each matrix of the mixing; the best conditioned is kept


@dataclass(frozen=True)
class Latents:
    """The distribution of latents z = (c, s_1, …, s_M) and their mixing x = f(z).

    regime: "independent": every dimension is N(0, 1). "statistical": the dimensions of content, and
    those of each style, are correlated by a random matrix (Wishart). "causal":
    s_m = tanh(B_m c) + u_m, where the rows of B_m have norm 1 and u_m ~ N(0, 1) is returned as
    `exogenous_m`. seed: of f and of the regime's random matrices. Raises ValueError for an unknown
    regime, an empty block, or no style.
    """

    content: int = 3  # dimensions of c
    styles: tuple[int, ...] = (1, 1, 1)  # dimensions of s_1, …, s_M
    regime: str = "independent"
    noise: float = 1.0  # the augmentation of a style is s̃ = s + noise · N(0, 1)
    layers: int = 3  # linear maps in the mixing, with a leaky ReLU between them
    seed: int = 0

    def __post_init__(self) -> None:
        config.choose("regime", self.regime, REGIMES)
        if min((self.content, *self.styles)) < 1 or not self.styles:
            raise ValueError(
                f"content {self.content}, styles {self.styles}: "
                "every block needs at least one dimension, and there must be a style"
            )
        if self.dim > LARGEST:
            raise ValueError(
                f"content {self.content}, styles {config.shown(self.styles)}: {self.dim} "
                f"dimensions in all; give {LARGEST} or less"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the blocks, in the order of z: content, style_1, …, style_M."""
        return ("content", *(f"style_{m + 1}" for m in range(len(self.styles))))

    @property
    def dim(self) -> int:
        """The number of dimensions of z, and of x."""
        return self.content + sum(self.styles)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """{block: its columns in z}."""
        ends = [self.content + sum(self.styles[:m]) for m in range(len(self.styles) + 1)]
        return {name: slice(start, end) for name, start, end in zip(self.names, [0, *ends], ends)}

    # ------------------------------------------------------------------- the distribution of z

    @cached_property
    def factors(self) -> dict[str, torch.Tensor]:
        """{block: L [d, d]}, where the block is L u and every dimension of u is N(0, 1).

        L is the identity or, in the statistical regime, the Cholesky factor of a random correlation
        matrix. In the causal regime the effect of content is then added to each style.
        """
        generator = torch.Generator().manual_seed(self.seed)

        def factor(d: int) -> torch.Tensor:
            if self.regime != "statistical" or d == 1:
                return torch.eye(d)
            a = torch.randn(d, d + 2, generator=generator)
            covariance = a @ a.T  # Wishart, d + 2 degrees of freedom
            scale = covariance.diagonal().rsqrt()
            return torch.linalg.cholesky(covariance * scale[:, None] * scale)

        return {name: factor(d) for name, d in zip(self.names, (self.content, *self.styles))}

    @cached_property
    def causes(self) -> list[torch.Tensor]:
        """B_m [d_m, d_content] of each style m, with rows of norm 1."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        draws = [torch.randn(d, self.content, generator=generator) for d in self.styles]
        return [F.normalize(B, dim=1) for B in draws]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Draw n latents; return z [n, dim] and its parts by name.

        The parts are the blocks, each [n, d], and the noises u_m as `exogenous_m`, [n, d_m].
        """
        noise = torch.randn(n, self.dim, generator=generator)
        u = {name: noise[:, cut] for name, cut in self.slices.items()}
        blocks = {name: u[name] @ self.factors[name].T for name in self.names}
        if self.regime == "causal":
            for name, B in zip(self.names[1:], self.causes):
                blocks[name] = torch.tanh(blocks["content"] @ B.T) + u[name]  # s_m = f_m(c) + u_m
        z = torch.cat([blocks[name] for name in self.names], dim=1)
        return z, blocks | {f"exogenous_{m + 1}": u[name] for m, name in enumerate(self.names[1:])}

    # ------------------------------------------------------------------------------ the mixing

    @cached_property
    def weights(self) -> torch.Tensor:
        """The matrices of the mixing, [layers, dim, dim].

        Each is the best conditioned of `DRAWS` Gaussian matrices with columns scaled to norm 1.
        """
        generator = torch.Generator().manual_seed(self.seed + 2)
        draws = torch.randn(self.layers, DRAWS, self.dim, self.dim, generator=generator)
        draws = F.normalize(draws, dim=2)
        best = torch.linalg.cond(draws).argmin(dim=1)
        return draws[torch.arange(self.layers), best]

    def _weights_for(self, z: torch.Tensor) -> torch.Tensor:
        """Return `weights` with the device and type of z; they are copied there only once."""
        like = z.device, z.dtype
        if like not in self._copies:
            self._copies[like] = self.weights.to(*like)
        return self._copies[like]

    @cached_property
    def _copies(self) -> dict[tuple[torch.device, torch.dtype], torch.Tensor]:
        return {}

    def mix(self, z: torch.Tensor) -> torch.Tensor:
        """Return x = f(z) [..., dim] of latents z [..., dim], on their device."""
        for i, w in enumerate(self._weights_for(z)):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ w.T
        return z

    def unmix(self, x: torch.Tensor) -> torch.Tensor:
        """Return z = f⁻¹(x) [..., dim] of x [..., dim], exact up to rounding."""
        for i, w in reversed(list(enumerate(self._weights_for(x)))):
            x = x @ torch.linalg.inv(w).T
            x = torch.where(x < 0, x / SLOPE, x) if i else x
        return x


class LatentViews:
    """The views of latents z [B, dim], a query and M + 1 keys: x [V, B, dim], V = M + 2.

    They correspond to `msr.views.Views` for images. The query adds noise to every style. Key 0
    draws all noise afresh; key m does too, but keeps the query's noise of style m. dropped: names
    of styles whose noise is drawn afresh in their key as well, so that nothing makes their spaces
    encode them. Raises ValueError for an unknown style.
    """

    def __init__(self, latents: Latents, dropped: tuple[str, ...] = ()):
        styles = latents.names[1:]
        unknown = set(dropped) - set(styles)
        if unknown:
            raise ValueError(
                f"unknown style '{min(unknown)}'; these latents have: {', '.join(styles)}"
            )
        self.latents, self.dropped, self.n_views = latents, tuple(dropped), len(latents.names) + 1

    def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the noise of every view of n latents, [V, n, dim]; it is zero for content."""
        latents = self.latents
        noise = latents.noise * torch.randn(self.n_views, n, latents.dim, generator=generator)
        noise[..., : latents.content].zero_()
        for m, name in enumerate(latents.names[1:], start=1):
            if name not in self.dropped:
                cut = latents.slices[name]
                noise[m + 1, :, cut] = noise[0, :, cut]
        return noise

    def __call__(self, z: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the views x [V, B, dim] of this rank's latents z [B, dim], on their device.

        Every rank draws the noise of all ranks and uses its own part.
        """
        noise = self.sample(len(z) * dist.world_size(), generator)[:, dist.own(len(z))]
        return self.latents.mix(z + pinned(noise, z.device).to(z.device, non_blocking=True))


class Stream:
    """Batches of fresh latents z [B, dim] without end, in the form that `msr.fit` reads.

    steps: number of batches that are called an epoch; they depend on (seed, epoch) alone.
    batch_size: latents per batch over all R ranks; each rank gets its own B = batch_size / R of
    them. Raises ValueError, one line, if it is not divisible by the number of ranks.
    """

    def __init__(
        self,
        latents: Latents,
        batch_size: int,
        steps: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        if batch_size % dist.world_size():
            raise ValueError(
                f"batch_size {batch_size} does not divide evenly over {dist.world_size()} "
                "processes; give a multiple of their number"
            )
        self.latents, self.batch_size, self.steps = latents, batch_size, steps
        self.seed, self.device = seed, torch.device(device)

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[torch.Tensor]:
        """Yield this rank's batches z [B, dim] of an epoch, from step `start` on, on `device`.

        Every rank draws the whole batches and takes its own part.
        """
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) * 4096)
        own = dist.own(self.batch_size // dist.world_size())
        for step in range(self.steps):
            z, _ = self.latents.sample(self.batch_size, generator)
            if step >= start:
                yield pinned(z[own], self.device).to(self.device, non_blocking=True)


def pinned(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return x, on the CPU, in memory from which a GPU copies while the program goes on."""
    return x.pin_memory() if device.type == "cuda" and torch.cuda.is_available() else x


# ----------------------------------------------------------------------------- the counterexamples


def turned_by(s: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Rotate a style block by an angle that content sets; return the rotated block [N, 2].

    This is the counterexample for style blocks of two dimensions. s [N, 2] has the distribution
    N(0, v I); content is [N, d], and its first dimension c_1 is N(0, 1). The map
    s ↦ R(2π Φ(c_1)) s keeps the distribution of s for every c, so alignment and joint entropy stay
    optimal, yet the rotated block alone no longer predicts s (equation `turn` of the theory page).
    """
    angle = math.pi * (1 + torch.erf(content[:, 0] / math.sqrt(2)))  # 2π Φ(c_1), uniform
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * s[:, 0] - sin * s[:, 1], sin * s[:, 0] + cos * s[:, 1]], dim=1)


def wound(c: torch.Tensor) -> torch.Tensor:
    """Wind content c [N, 2] twice around a disc, and map the disc back to the square: [N, 2].

    This is the counterexample for content of two dimensions. c is uniform on the unit square. The
    map is smooth and its result is uniform again, but it is two to one: (c_1, c_2) and
    (c_1, c_2 + ½) have the same image (equation `winding` of the theory page).
    """
    radius, angle = c[:, 0].sqrt(), 4 * math.pi * c[:, 1]
    a, b = radius * angle.cos(), radius * angle.sin()
    half = (1 - a.square()).sqrt()
    return torch.stack([0.5 + (a * half + a.asin()) / math.pi, 0.5 + b / (2 * half)], dim=1)

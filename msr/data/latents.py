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
LARGEST = 256  # dimensions of x: the mixing draws matrices of so many rows and columns
GAP = 0.9  # of the law "mixture": its two halves lie at ± this


# ------------------------------------------------------------------ laws with mean 0 and variance 1


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return math.sqrt(3) * (2 * torch.rand(shape, generator=generator) - 1)


def _laplace(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    sides = torch.empty(2, *shape).exponential_(generator=generator)
    return (sides[0] - sides[1]) / math.sqrt(2)  # of two exponential variables


def _mixture(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    side = 2 * torch.randint(2, shape, generator=generator) - 1
    return GAP * side + math.sqrt(1 - GAP**2) * torch.randn(shape, generator=generator)


def _gaussian(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator)


LAWS = {"gaussian": _gaussian, "uniform": _uniform, "laplace": _laplace, "mixture": _mixture}


@dataclass(frozen=True)
class Latents:
    """The distribution of latents z = (c, s_1, …, s_M) and their mixing x = f(z).

    regime: "independent": every dimension is N(0, 1). "statistical": the dimensions of content, and
    those of each style, are correlated by a random matrix (Wishart). "causal":
    s_m = tanh(B_m c) + u_m, where the rows of B_m have norm 1 and u_m is returned as `exogenous_m`.

    law: of every dimension of c and u_m, all with mean 0 and variance 1: gaussian, uniform, laplace
    or mixture (of two Gaussians, with little between them). dependence: the correlation ρ of
    dimension j of one style with dimension j of any other, beyond what content causes. observed:
    the dimensions of x; if there are more than in z, the first map of f adds them. draws: each
    matrix of f is the best conditioned of so many. seed: of f and of the regime's random matrices.
    Raises ValueError for an unknown regime or law, an empty block, no style, a ρ outside [0, 1),
    and fewer dimensions in x than in z.
    """

    content: int = 3  # dimensions of c
    styles: tuple[int, ...] = (1, 1, 1)  # dimensions of s_1, …, s_M
    regime: str = "independent"
    noise: float = 1.0  # the augmentation of a style is s̃ = s + noise · N(0, 1)
    layers: int = 3  # linear maps in the mixing, with a leaky ReLU between them
    seed: int = 0
    law: str = "gaussian"  # of every dimension of c and of u_m; see LAWS
    dependence: float = 0.0  # ρ, by which styles depend on each other
    observed: int = 0  # dimensions of x; 0: as many as z has
    draws: int = 500  # random draws of each matrix of the mixing

    def __post_init__(self) -> None:
        config.choose("regime", self.regime, REGIMES)
        config.choose("law", self.law, LAWS)
        if min((self.content, *self.styles)) < 1 or not self.styles:
            raise ValueError(
                f"content {self.content}, styles {self.styles}: "
                "every block needs at least one dimension, and there must be a style"
            )
        if max(self.dim, self.observed) > LARGEST:
            raise ValueError(
                f"content {self.content}, styles {config.shown(self.styles)}: "
                f"{max(self.dim, self.observed)} dimensions in all; give {LARGEST} or less"
            )
        if self.observed and self.observed < self.dim:
            raise ValueError(f"observed = {self.observed}; give {self.dim} or more, or 0")
        if not 0 <= self.dependence < 1:
            raise ValueError(f"dependence = {self.dependence}; give a number from 0 to below 1")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the blocks, in the order of z: content, style_1, …, style_M."""
        return ("content", *(f"style_{m + 1}" for m in range(len(self.styles))))

    @property
    def dim(self) -> int:
        """The number of dimensions of z."""
        return self.content + sum(self.styles)

    @property
    def observed_dim(self) -> int:
        """The number of dimensions of x."""
        return self.observed or self.dim

    @cached_property
    def slices(self) -> dict[str, slice]:
        """{block: its columns in z}."""
        ends = [self.content + sum(self.styles[:m]) for m in range(len(self.styles) + 1)]
        return {name: slice(start, end) for name, start, end in zip(self.names, [0, *ends], ends)}

    # ------------------------------------------------------------------- the distribution of z

    @cached_property
    def factors(self) -> dict[str, torch.Tensor]:
        """{block: L [d, d]}, where the block is L u and every dimension of u has variance 1.

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
        noise = LAWS[self.law]((n, self.dim), generator)
        u = {name: noise[:, cut] for name, cut in self.slices.items()}
        if self.dependence:
            common = torch.randn(n, max(self.styles), generator=generator)
            own, shared = math.sqrt(1 - self.dependence), math.sqrt(self.dependence)
            for name, d in zip(self.names[1:], self.styles):
                u[name] = own * u[name] + shared * common[:, :d]
        blocks = {name: u[name] @ self.factors[name].T for name in self.names}
        if self.regime == "causal":
            for name, B in zip(self.names[1:], self.causes):
                blocks[name] = torch.tanh(blocks["content"] @ B.T) + u[name]  # s_m = f_m(c) + u_m
        z = torch.cat([blocks[name] for name in self.names], dim=1)
        return z, blocks | {f"exogenous_{m + 1}": u[name] for m, name in enumerate(self.names[1:])}

    # ------------------------------------------------------------------------------ the mixing

    @cached_property
    def weights(self) -> torch.Tensor:
        """The matrices of the mixing, [layers, observed_dim, observed_dim].

        Each is the best conditioned of `draws` Gaussian matrices with columns scaled to norm 1. The
        first one is applied to z with zeros behind it, so only its first `dim` columns count.
        """
        generator, d = torch.Generator().manual_seed(self.seed + 2), self.observed_dim
        draws = torch.randn(self.layers, self.draws, d, d, generator=generator)
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
        """Return x = f(z) [..., observed_dim] of latents z [..., dim], on their device."""
        z = F.pad(z, (0, self.observed_dim - self.dim))
        for i, w in enumerate(self._weights_for(z)):
            z = (F.leaky_relu(z, SLOPE) if i else z) @ w.T
        return z

    def unmix(self, x: torch.Tensor) -> torch.Tensor:
        """Return z = f⁻¹(x) [..., dim] of x [..., observed_dim], exact up to rounding."""
        for i, w in reversed(list(enumerate(self._weights_for(x)))):
            x = x @ torch.linalg.inv(w).T
            x = torch.where(x < 0, x / SLOPE, x) if i else x
        return x[..., : self.dim]


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

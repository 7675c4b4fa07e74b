"""Named slices of an embedding: the one place where z is cut into content and style."""
from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spaces:
    """z = [z_content, z_style1, …, z_styleM], D = d_0 + … + d_M.

    `names[0]` is the content space; the others are named after the augmentation group each one keeps.
    Raises ValueError for repeated names, unequal lengths or a size below 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "sizes", tuple(int(s) for s in self.sizes))
        if len(self.names) != len(self.sizes):
            raise ValueError(f"{len(self.names)} spaces ({', '.join(self.names)}) but {len(self.sizes)} sizes {self.sizes}: "
                             "give one size per space, content first")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"space names must differ; got {', '.join(self.names)}")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"every space needs at least one dimension; got sizes {self.sizes}")

    @classmethod
    def of(cls, groups, sizes) -> "Spaces":
        """Content first, then one style space per augmentation group."""
        return cls(("content", *groups), sizes)

    @property
    def dim(self) -> int:
        """D, the width of the joint embedding."""
        return sum(self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """name -> slice of z's last axis."""
        slices, start = {}, 0
        for name, size in zip(self.names, self.sizes):
            slices[name] = slice(start, start + size)
            start += size
        return slices

    def split(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """z [..., D] -> {name: z^m [..., d_m]} (views, nothing is copied)."""
        if z.shape[-1] != self.dim:
            raise ValueError(f"z has {z.shape[-1]} dimensions, the spaces {dict(zip(self.names, self.sizes))} need {self.dim}")
        return {name: z[..., cut] for name, cut in self.slices.items()}

    def join(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`."""
        return torch.cat([parts[name] for name in self.names], dim=-1)

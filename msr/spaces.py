"""Named slices of an embedding: the one place where z is cut into content and style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spaces:
    """The names and sizes of the slices of z = [z_content, z_style1, …, z_styleM].

    `names[0]` is the content space; each other space is named after the augmentation group whose
    style it keeps. `sizes` are the dimensions d_0, …, d_M; their sum D is the width of z. Raises
    ValueError for repeated names, for different numbers of names and sizes, and for a size below 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "sizes", tuple(int(s) for s in self.sizes))
        if len(self.names) != len(self.sizes):
            raise ValueError(
                f"{len(self.names)} spaces ({', '.join(self.names)}) but {len(self.sizes)} sizes "
                f"{self.sizes}: give one size per space, content first"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"space names must differ; got {', '.join(self.names)}")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"every space needs at least one dimension; got sizes {self.sizes}")

    @classmethod
    def of(cls, groups: Sequence[str], sizes: Sequence[int]) -> Spaces:
        """Return the space `content` and one style space per augmentation group.

        sizes: one per space, that of content first.
        """
        return cls(("content", *groups), tuple(sizes))

    @property
    def dim(self) -> int:
        """D, the width of the joint embedding."""
        return sum(self.sizes)

    @property
    def slices(self) -> dict[str, slice]:
        """Each space's slice of z's last axis, by name."""
        slices, start = {}, 0
        for name, size in zip(self.names, self.sizes, strict=True):
            slices[name] = slice(start, start + size)
            start += size
        return slices

    def split(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cut z [..., D] into {name: z^m [..., d_m]}; these are views of z, nothing is copied.

        Raises ValueError if the width of z is not D.
        """
        if z.shape[-1] != self.dim:
            sizes = dict(zip(self.names, self.sizes, strict=True))
            raise ValueError(f"z has {z.shape[-1]} dimensions, the spaces {sizes} need {self.dim}")
        return {name: z[..., cut] for name, cut in self.slices.items()}

    def join(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        """Concatenate the parts {name: [..., d_m]} to z [..., D]; the inverse of `split`."""
        return torch.cat([parts[name] for name in self.names], dim=-1)

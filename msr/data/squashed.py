"""Whole photographs of any shape in one tensor: each is squashed to a square, its shape noted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.transforms.functional import center_crop, resize


@dataclass(frozen=True)
class Squashed:
    """B whole images, each resized to S × S pixels, and the shapes that they had.

    The crops that a pipeline draws undo the squashing (see `msr.augment.ResizedCrop`).
    """

    pixels: torch.Tensor  # uint8 [B, 3, S, S]
    aspect: torch.Tensor  # float32 [B]: width / height of each image before

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: torch.Tensor | slice) -> Squashed:
        """Return the images at `rows`, long or bool [n], or a slice."""
        return Squashed(self.pixels[rows], self.aspect[rows])

    @property
    def shape(self) -> torch.Size:
        """The shape of the pixels, [B, 3, S, S]."""
        return self.pixels.shape

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Squashed:
        """Return the same images on a device."""
        moved = (x.to(device, non_blocking=non_blocking) for x in (self.pixels, self.aspect))
        return Squashed(*moved)

    def pin_memory(self) -> Squashed:
        """Return the same images in pinned memory."""
        return Squashed(self.pixels.pin_memory(), self.aspect.pin_memory())


Batch = torch.Tensor | Squashed  # images [B, 3, S, S] as they are, or squashed from other shapes


def parts(images: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the pixels [B, 3, S, S], and the aspects [B] of squashed images, else None."""
    return (images.pixels, images.aspect) if isinstance(images, Squashed) else (images, None)


def squares(images: Batch) -> torch.Tensor:
    """Return images as they were, uint8 [B, 3, S, S]: of squashed ones the centre squares."""
    if isinstance(images, torch.Tensor):
        return images
    found = []
    for x, aspect in zip(images.pixels, images.aspect.tolist()):
        side = x.shape[-1]
        if aspect != 1:
            height, width = (
                max(1, round(side * share)) for share in (min(1, aspect), min(1, 1 / aspect))
            )
            x = center_crop(x, [height, width])
            x = resize(x, [side, side], antialias=True)
        found.append(x)
    return torch.stack(found) if found else images.pixels

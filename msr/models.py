"""Backbones and projectors. h = backbone(x) in R^H, z = projector(h) in R^D."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import nn
import torchvision

from .spaces import Spaces

BACKBONES = ("cnn", "vgg", "resnet18", "resnet34", "resnet50", "mlp")


def backbone(name: str, image_size: int = 224, channels: int = 3, width: int = 64, stem: str = "auto") -> tuple[nn.Module, int]:
    """(module, H). `cnn`: four strided convolutions for CPUs; `vgg`: four with max-pools, which tell thin outlines better, for
    twice the time; `resnet…`: torchvision's, its stem "small" (3 × 3, no max-pool) below 100 px, else "large"; `mlp`: on flattened input
    of channels · image_size². `width`: the first of cnn and vgg, the mlp's hidden / 8.
    """
    if name == "cnn":
        return cnn(channels, width)
    if name == "vgg":
        return vgg(channels, width)
    if name == "mlp":
        return mlp(channels * image_size**2, [8 * width] * 2), 8 * width
    if name in BACKBONES:
        net = getattr(torchvision.models, name)(weights=None, zero_init_residual=True)
        features = net.fc.in_features
        net.fc = nn.Identity()
        if stem == "small" or (stem == "auto" and image_size < 100):
            net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            net.maxpool = nn.Identity()
        elif channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        return net, features
    raise ValueError(f"unknown backbone '{name}'; choose {', '.join(BACKBONES)}")


def cnn(channels: int = 3, width: int = 64) -> tuple[nn.Module, int]:
    """Conv-BN-ReLU × 4, each halving the image, widths w, 2w, 4w, 4w; the last map is pooled to 2 × 2 and flattened, so
    that where something stands is not averaged away: H = 16 w."""
    layers, before = [], channels
    for after in (width, 2 * width, 4 * width, 4 * width):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 16 * width


def vgg(channels: int = 3, width: int = 16) -> tuple[nn.Module, int]:
    """Conv-MaxPool-BN-ReLU × 4 (after Simonyan & Zisserman 2015), widths w, 2w, 4w, 4w, then as `cnn`: H = 16 w."""
    layers, before = [], channels
    for after in (width, 2 * width, 4 * width, 4 * width):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 16 * width


def mlp(features: int, hidden: Sequence[int], slope: float = 0.2) -> nn.Module:
    """Linear-LeakyReLU per hidden width, input flattened from [B, …]; ends in an activation."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(features, width), nn.LeakyReLU(slope)]
        features = width
    return nn.Sequential(*layers)


def projector(features: int, hidden: Sequence[int], out: int) -> nn.Module:
    """Linear-BN-ReLU per hidden width, then Linear to `out`: h [B, H] -> z [B, out]."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, out))


class MultiSpace(nn.Module):
    """x -> (h [B, H], z [B, D]), z cut by `spaces`.

    separate_style: one projector for content and another for all styles, so that a pretrained content projector can
    be kept; else one for all.
    """

    def __init__(self, backbone: nn.Module, features: int, spaces: Spaces, hidden: Sequence[int] = (1024,), separate_style=False):
        super().__init__()
        self.spaces, self.features, self.backbone = spaces, features, backbone
        self.loaded: tuple[str, ...] = ("backbone.",)         # what learns at the backbone's rate, by the beginnings of names
        content = spaces.sizes[0]
        if separate_style and len(spaces.sizes) > 1:
            self.projector = nn.ModuleList([projector(features, hidden, content), projector(features, hidden, spaces.dim - content)])
        else:
            self.projector = nn.ModuleList([projector(features, hidden, spaces.dim)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.backbone(x)
        return h, torch.cat([project(h) for project in self.projector], dim=1)

    def freeze(self) -> None:
        """Keep what is `loaded` as it is: no gradient, and batch normalisation by its own running statistics."""
        for name, module in self.named_modules():
            if f"{name}.".startswith(self.loaded):
                module.eval().requires_grad_(False)


def build(backbone: str, image_size: int, spaces: dict[str, int], hidden: Sequence[int] = (1024,), width: int = 64, separate_style: bool = False,
          stem: str = "auto") -> MultiSpace:
    """The network of an image experiment from plain values, as config.json holds them; spaces: {name: size}."""
    net, features = globals()["backbone"](backbone, image_size, width=width, stem=stem)
    return MultiSpace(net, features, Spaces(tuple(spaces), tuple(spaces.values())), hidden, separate_style)

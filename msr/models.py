"""Backbones and projectors: h = backbone(x) in R^H, z = projector(h) in R^D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import nn

from msr.spaces import Spaces

RESNETS = ("resnet18", "resnet34", "resnet50")
BACKBONES = ("cnn", "vgg", *RESNETS, "mlp")
SMALL = 100  # pixels a side below which a resnet gets the stem for small images


def backbone(
    name: str, image_size: int = 224, channels: int = 3, width: int = 64, stem: str = "auto"
) -> tuple[nn.Module, int]:
    """Return (module, H) of a backbone by name.

    cnn: four strided convolutions, for CPUs. vgg: four with max-pools, which encode thin outlines
    better, for twice the time. resnet18, resnet34, resnet50: torchvision's; stem "small" (3 × 3, no
    max-pool) is chosen below 100 px, else "large". mlp: on the flattened input of
    channels · image_size². width: channels of the first layer of cnn and vgg; the mlp's hidden
    layers have 8 · width. Raises ValueError for another name.
    """
    if name == "cnn":
        return cnn(channels, width)
    if name == "vgg":
        return vgg(channels, width)
    if name == "mlp":
        return mlp(channels * image_size**2, [8 * width] * 2), 8 * width
    if name in RESNETS:
        small = stem == "small" or (stem == "auto" and image_size < SMALL)
        return resnet(name, channels, small)
    raise ValueError(f"unknown backbone '{name}'; choose {', '.join(BACKBONES)}")


def cnn(channels: int = 3, width: int = 64) -> tuple[nn.Module, int]:
    """Return Conv-BN-ReLU × 4, each halving the image, widths w, 2w, 4w, 4w, and H = 16 w.

    The last map is pooled to 2 × 2 and flattened, so that places are not averaged away.
    """

    def block(before: int, after: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    return _convolutions(block, channels, width)


def vgg(channels: int = 3, width: int = 16) -> tuple[nn.Module, int]:
    """Return Conv-MaxPool-BN-ReLU × 4 (after Simonyan & Zisserman 2015), otherwise as `cnn`."""

    def block(before: int, after: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [convolution, nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    return _convolutions(block, channels, width)


def _convolutions(
    block: Callable[[int, int], list[nn.Module]], channels: int, width: int
) -> tuple[nn.Module, int]:
    """Return four blocks of widths w, 2w, 4w, 4w, pooled to 2 × 2 and flattened, and H = 16 w."""
    layers, before = [], channels
    for after in (width, 2 * width, 4 * width, 4 * width):
        layers += block(before, after)
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 16 * width


def resnet(name: str, channels: int = 3, small: bool = False) -> tuple[nn.Module, int]:
    """Return torchvision's residual network without its classifier, and H.

    small: a 3 × 3 stem without max-pool, without which accuracy on small images collapses.
    """
    net = getattr(torchvision.models, name)(weights=None, zero_init_residual=True)
    features = net.fc.in_features
    net.fc = nn.Identity()
    if small:
        net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    return net, features


def mlp(features: int, hidden: Sequence[int], slope: float = 0.2) -> nn.Module:
    """Return Linear-LeakyReLU per hidden width on input flattened from [B, …] to [B, features]."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(features, width), nn.LeakyReLU(slope)]
        features = width
    return nn.Sequential(*layers)


def projector(features: int, hidden: Sequence[int], out: int) -> nn.Module:
    """Return Linear-BN-ReLU per hidden width, then Linear: h [B, H] -> z [B, out]."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        ]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, out))


class MultiSpace(nn.Module):
    """A network with several embedding spaces: x -> (h [B, H], z [B, D]), z cut by `spaces`.

    hidden: widths of the projector's hidden layers. separate_style: one projector for content and
    another for all styles, so that a pretrained content projector can be kept; else one for all.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        spaces: Spaces,
        hidden: Sequence[int] = (1024,),
        separate_style: bool = False,
    ):
        super().__init__()
        self.spaces, self.features, self.backbone = spaces, features, backbone
        # what learns at the backbone's own rate: the beginnings of its parameters' names
        self.loaded: tuple[str, ...] = ("backbone.",)
        content = spaces.sizes[0]
        split = separate_style and len(spaces.sizes) > 1
        widths = [content, spaces.dim - content] if split else [spaces.dim]
        self.projector = nn.ModuleList([projector(features, hidden, out) for out in widths])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h [B, H] and z [B, D] of x [B, …]."""
        h = self.backbone(x)
        return h, torch.cat([project(h) for project in self.projector], dim=1)

    def freeze(self) -> None:
        """Keep what is `loaded` as it is: no gradient, batch normalisation in evaluation mode."""
        for name, module in self.named_modules():
            if f"{name}.".startswith(self.loaded):
                module.eval().requires_grad_(False)


def build(
    backbone: str,
    image_size: int,
    spaces: dict[str, int],
    hidden: Sequence[int] = (1024,),
    width: int = 64,
    separate_style: bool = False,
    stem: str = "auto",
) -> MultiSpace:
    """Build the network of an image experiment from plain values, as config.json holds them.

    spaces: {name: size}, content first.
    """
    net, features = globals()["backbone"](backbone, image_size, width=width, stem=stem)
    named = Spaces(tuple(spaces), tuple(spaces.values()))
    return MultiSpace(net, features, named, hidden, separate_style)

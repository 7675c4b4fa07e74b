"""Backbones and projectors: h = backbone(x) in R^H, z = projector(h) in R^D."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torchvision
from torch import nn

from msr.spaces import Spaces

RESNETS = ("resnet18", "resnet34", "resnet50")
BACKBONES = ("cnn", "vgg", "alexnet", *RESNETS, "mlp")
SMALL = 100  # images with fewer pixels a side get a resnet with the stem for small images


def backbone(
    name: str, image_size: int = 224, channels: int = 3, width: int = 64, stem: str = "auto"
) -> tuple[nn.Module, int]:
    """Return (module, H) of a backbone by name; the module maps x [B, channels, S, S] to h [B, H].

    cnn: four strided convolutions. vgg: four convolutions with max-pools, which see thin outlines
    better. alexnet: a wide strided convolution, then two with max-pools; it learns most in the
    seconds of a CPU. resnet18, resnet34, resnet50: torchvision's (He et al. 2016). mlp: two hidden
    layers on the flattened input of channels · image_size² numbers.

    width: channels of the first layer of the three small ones; the mlp's layers have 8 · width
    units. stem: of a resnet, "small" (3 × 3, no max-pool), "large", or "auto": small for images
    below 100 px. A module for colour images keeps these arguments in `made_of`, from which `build`
    makes it again. Raises ValueError for an unknown name.
    """
    if name == "cnn":
        net, features = cnn(channels, width)
    elif name == "vgg":
        net, features = vgg(channels, width)
    elif name == "alexnet":
        net, features = alexnet(channels, width)
    elif name == "mlp":
        net, features = mlp(channels * image_size**2, [8 * width] * 2), 8 * width
    elif name in RESNETS:
        small = stem == "small" or (stem == "auto" and image_size < SMALL)
        net, features = resnet(name, channels, small)
    else:
        raise ValueError(f"unknown backbone '{name}'; choose {', '.join(BACKBONES)}")
    if channels == 3:
        made_of = {"backbone": name, "image_size": image_size, "width": width, "stem": stem}
        net.made_of = made_of  # type: ignore[assignment]  # plain values
    return net, features


def cnn(channels: int = 3, width: int = 64) -> tuple[nn.Module, int]:
    """Return four Conv-BN-ReLU blocks that each halve the image, and H = 16 · width.

    Their widths are 1, 2, 4 and 4 times `width`. The last map is pooled to 2 × 2 and flattened, so
    that h still shows where things are.
    """
    return _four_blocks(channels, width, stride=2), 16 * width


def vgg(channels: int = 3, width: int = 16) -> tuple[nn.Module, int]:
    """Return four Conv-MaxPool-BN-ReLU blocks (after Simonyan & Zisserman 2015), else as `cnn`."""
    return _four_blocks(channels, width, pool=True), 16 * width


def alexnet(channels: int = 3, width: int = 32) -> tuple[nn.Module, int]:
    """Return three Conv-MaxPool-BN-ReLU blocks of 1, 2 and 4 times `width`, and H = 16 · width.

    The first convolution is wide and strided, as in Krizhevsky et al. 2012: 6 × 6 with stride 2,
    which is a 3 × 3 convolution of cells of 2 × 2 pixels. The last map is pooled as in `cnn`.
    """
    blocks = [
        block(channels, width, kernel=6, stride=2, pool=True),
        block(width, 2 * width, pool=True),
        block(2 * width, 4 * width, pool=True),
    ]
    return _pooled(blocks), 16 * width


def block(
    before: int, after: int, kernel: int = 3, stride: int = 1, pool: bool = False
) -> list[nn.Module]:
    """Return the layers Conv-BN-ReLU, with a max-pool of 2 × 2 after the convolution if `pool`.

    before, after: numbers of channels.
    """
    padding = (kernel - 1) // 2
    return [
        nn.Conv2d(before, after, kernel, stride, padding, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


def _four_blocks(channels: int, width: int, **kind: Any) -> nn.Module:
    """Return four blocks of 1, 2, 4 and 4 times `width`, pooled. kind: of each, as in `block`."""
    widths = [channels, width, 2 * width, 4 * width, 4 * width]
    return _pooled([block(before, after, **kind) for before, after in pairwise(widths)])


def _pooled(blocks: Sequence[Sequence[nn.Module]]) -> nn.Module:
    """Return the blocks in turn, then the last map pooled to 2 × 2 and flattened."""
    layers = [layer for layers in blocks for layer in layers]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def resnet(name: str, channels: int = 3, small: bool = False) -> tuple[nn.Module, int]:
    """Return torchvision's residual network without its classifier, and H.

    small: the first convolution is 3 × 3 without stride, and no max-pool follows. With the usual
    stem, accuracy on small images collapses.
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
    """Return one Linear-LeakyReLU per hidden width, from x [B, …], flattened to [B, features].

    slope: of the leaky ReLU for negative inputs.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(features, width), nn.LeakyReLU(slope)]
        features = width
    return nn.Sequential(*layers)


class Whitening(nn.Module):
    """An affine map after which observations have mean 0 and identity covariance.

    x: a sample of the observations, [N, d]; the map is fixed. Directions in which they hardly vary
    (1e-6 of the mean variance) are not blown up further.
    """

    mean: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, x: torch.Tensor):
        super().__init__()
        variance, axes = torch.linalg.eigh(torch.cov(x.T.double()))
        self.register_buffer("mean", x.mean(dim=0))
        floor = 1e-6 * variance.mean()
        self.register_buffer("matrix", (axes * (variance + floor).rsqrt()).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the whitened x, [..., d]."""
        return (x - self.mean) @ self.matrix


class Residual(nn.Module):
    """x + W₂ LeakyReLU(W₁ x) for x [..., width]; W₂ begins at zero, so the block at the identity.

    A network of such blocks begins as a linear map. A map that begins linear does not fold, and an
    objective that asks only for a uniform, aligned embedding does not undo a fold.
    """

    def __init__(self, width: int, slope: float = 0.2):
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        self.change = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(slope), last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + change(x)."""
        return x + self.change(x)


def residual_mlp(x: torch.Tensor, width: int, blocks: int) -> nn.Module:
    """Return a whitening, a linear map and so many residual blocks: [B, d] -> h [B, width].

    x: a sample of the observations, [N, d], from which the whitening is computed.
    """
    layers = [Residual(width) for _ in range(blocks)]
    return nn.Sequential(Whitening(x), nn.Linear(x.shape[1], width), *layers)


def projector(features: int, hidden: Sequence[int], out: int) -> nn.Module:
    """Return one Linear-BN-ReLU per hidden width, then Linear: h [B, features] -> z [B, out]."""
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
    """A network with several embedding spaces: x [B, …] -> (h [B, H], z [B, D]).

    features: H, the width of the backbone's output. spaces: how z is cut. hidden: widths of the
    projector's hidden layers. separate_style: use one projector for content and another for all
    styles, so that a pretrained content projector can be kept; by default one serves all spaces.
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
        self.hidden, self.separate_style = tuple(hidden), separate_style
        # beginnings of the names of the parameters that learn at the rate for loaded weights
        self.loaded: tuple[str, ...] = ("backbone.",)
        content = spaces.sizes[0]
        split = separate_style and len(spaces.sizes) > 1
        widths = [content, spaces.dim - content] if split else [spaces.dim]
        self.projector = nn.ModuleList([projector(features, hidden, out) for out in widths])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h [B, H] and z [B, D] of x [B, …]."""
        h = self.backbone(x)
        return h, torch.cat([project(h) for project in self.projector], dim=1)

    @property
    def network(self) -> dict[str, Any] | None:
        """The arguments of `build` that make this network, or None for a backbone of one's own."""
        made_of = getattr(self.backbone, "made_of", None)
        if made_of is None:
            return None
        own = {"hidden": list(self.hidden), "separate_style": self.separate_style}
        return made_of | own | {"spaces": dict(zip(self.spaces.names, self.spaces.sizes))}

    def freeze(self) -> None:
        """Freeze what `loaded` names: no gradients, and batch normalisation in evaluation mode."""
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

    spaces: {name: size}, content first. The other arguments are those of `backbone` and
    `MultiSpace`. Raises ValueError for an unknown backbone and for wrong spaces.
    """
    net, features = globals()["backbone"](backbone, image_size, width=width, stem=stem)
    named = Spaces(tuple(spaces), tuple(spaces.values()))
    return MultiSpace(net, features, named, hidden, separate_style)

"""A run small enough for tests: rendered images of 16 pixels, a narrow network, three spaces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from msr import models
from msr.augment import presets
from msr.data import Batches, Images, trifeature
from msr.objective import Objective
from msr.spaces import Spaces
from msr.train import Training
from msr.views import Views

SIZE = 16
SPACES = Spaces.of(("appearance", "spatial"), (6, 3, 3))


class Seen(torch.nn.Module):
    """A network of one space whose h and z are a known function of the views."""

    spaces = Spaces(("content",), (1,))

    def __init__(self, function: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]):
        super().__init__()
        self.function = function  # of x [B, 3, S, S]: h and z, each [B, 1]
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.function(x)


def images() -> Images:
    """96 images to train on."""
    return trifeature.load(96, 32, SIZE)[0]


def make(
    data: Images, family: str = "entropy", seed: int = 0, paired: bool = False, **settings: Any
) -> tuple:
    """The arguments of `fit`: model, objective, views, batches, settings; 3 epochs of 3 steps."""
    torch.manual_seed(seed)
    net, features = models.backbone("cnn", SIZE, width=8)
    model = models.MultiSpace(net, features, SPACES, (32,))
    views = Views(*presets.pipelines("shapes", SIZE), SPACES.names[1:], paired)
    training = Training(**{"epochs": 3, "batch_size": 32, "log_every": 2, **settings})
    batches = Batches(data, training.batch_size, seed)
    return model, Objective(family, SPACES, paired=paired), views, batches, training


def flat(model: torch.nn.Module) -> torch.Tensor:
    """All weights and statistics of a network as one vector."""
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def log_text(folder: Path) -> list[str]:
    """The lines of log.jsonl."""
    return (folder / "log.jsonl").read_text().splitlines()

"""CUDA readiness without a GPU.

Under FakeTensorMode tensors of device "cuda" raise when they meet the CPU or are read. What this
cannot show: the backward pass, the numbers, the speed, and bf16 (autocast switches itself off
without a GPU).
"""

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from msr import augment, models
from msr.augment import pipelines
from msr.augment.presets import SPRITE_PRESETS
from msr.data.latents import Latents, LatentViews
from msr.losses import FAMILIES, pairwise, similarity
from msr.objective import Objective
from msr.spaces import Spaces
from msr.train import duals, forward
from msr.views import Views

S, B = 32, 12
pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")


def every_kind(size):
    """The paper's augmentations, with rotation and equalise, blur and solarise in both views."""
    return [
        augment.ResizedCrop(size, scale=(0.08, 1.0)),
        augment.HorizontalFlip(),
        augment.Rotation(20.0, padding="border"),
        augment.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        augment.Greyscale(0.2),
        augment.GaussianBlur(p=0.5),
        augment.Solarise(p=0.3),
        augment.Equalise(p=0.3),
        augment.Normalise(),
    ]


def images():
    return torch.randint(0, 256, (B, 3, S, S), dtype=torch.uint8, device="cuda")


def step(family, groups=("appearance", "spatial"), paired=False, backbone="cnn", bf16=True):
    """Sampling, views, network, loss and the λ step of one batch on fake CUDA."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        views = Views(*pipelines(every_kind, S), groups, paired)
        spaces = Spaces.of(groups, [8] * (len(groups) + 1))
        with torch.device("cuda"):  # parameters and buffers only: the step names its own devices
            net, features = models.backbone(backbone, S)
            model = models.MultiSpace(net, features, spaces, (64,))
            objective = Objective(family, spaces, paired=paired)
        terms = forward(model, objective, views, images(), torch.Generator(device="cpu"), bf16)
        objective.lambdas.copy_(duals.step(objective.lambdas, terms.violation, 0.1, 0.01))
        return terms, objective


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("groups", [(), ("appearance", "spatial")])
@pytest.mark.parametrize("paired", [False, True])
def test_step_stays_on_the_device(family, groups, paired):
    terms, objective = step(family, groups, paired)
    for value in (terms.loss, terms.align, terms.spread, terms.violation, objective.lambdas):
        assert value.device.type == "cuda" and value.dtype == torch.float32


@pytest.mark.parametrize("family", ["simclr", "entropy"])
def test_chunked_sums_stay_on_the_device(family, monkeypatch):
    monkeypatch.setattr(pairwise, "CHUNK", 7)
    monkeypatch.setitem(similarity.BLOCK, "cuda", 4)
    assert step(family)[0].loss.device.type == "cuda"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_on_latents(family):
    latents = Latents(3, (1, 1), regime="causal")
    _ = latents.weights  # real tensors: made here on the CPU, moved by `mix`
    with FakeTensorMode(allow_non_fake_inputs=True):
        spaces = Spaces(latents.names, (4, 2, 2))
        with torch.device("cuda"):
            model = models.MultiSpace(models.mlp(5, [16, 16]), 16, spaces, ())
            objective = Objective(family, spaces)
        z, views = torch.randn(B, 5, device="cuda"), LatentViews(latents)
        terms = forward(model, objective, views, z, torch.Generator(device="cpu"), True)
    assert terms.loss.device.type == "cuda" and terms.violation.shape == (3,)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_backbones(backbone):
    assert step("simclr", backbone=backbone)[0].loss.device.type == "cuda"


@pytest.mark.parametrize("strength", ["strong", "shifted"])
def test_sprites(strength):
    groups = ("appearance", "spatial")
    with FakeTensorMode(allow_non_fake_inputs=True):
        spaces = Spaces.of(groups, (4, 3, 5))
        with torch.device("cuda"):
            net, features = models.backbone("vgg", S, width=4)
            model = models.MultiSpace(net, features, spaces, (16,))
            objective = Objective("entropy", spaces)
        views = Views(*pipelines(SPRITE_PRESETS[strength], S), groups)
        terms = forward(model, objective, views, images(), torch.Generator(device="cpu"), True)
    assert terms.loss.device.type == "cuda" and terms.violation.shape == (3,)


def test_the_test_can_fail():
    """The same mode does raise on a mixed device and on a read."""
    with FakeTensorMode():
        x = torch.rand(3, device="cuda")
        with pytest.raises(RuntimeError, match="device"):
            x.add(torch.rand(3, device="cpu"))
        with pytest.raises(DataDependentOutputException):
            x.sum().item()
        with pytest.raises(DynamicOutputShapeException):
            x.nonzero()

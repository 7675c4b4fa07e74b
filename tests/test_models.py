"""Shapes, stems and the cut of z."""

import pytest
import torch

from msr import models
from msr.spaces import Spaces

SPACES = Spaces.of(("appearance", "spatial"), (5, 3, 2))


@pytest.mark.parametrize("name", models.BACKBONES)
@pytest.mark.parametrize("separate", [False, True])
def test_shapes(name, separate):
    net, features = models.backbone(name, 32)
    model = models.MultiSpace(net, features, SPACES, (16,), separate_style=separate)
    h, z = model(torch.rand(4, 3, 32, 32))
    assert h.shape == (4, features) and z.shape == (4, 10)
    widths = {name: part.shape[1] for name, part in SPACES.split(z).items()}
    assert widths == {"content": 5, "appearance": 3, "spatial": 2}


def test_separate_projector_keeps_content_apart_from_styles():
    net, features = models.backbone("cnn", 16, width=4)
    model = models.MultiSpace(net, features, SPACES, (8,), separate_style=True)
    _, z = model(torch.rand(4, 3, 16, 16))
    SPACES.split(z)["content"].sum().backward()
    content, style = model.projector
    assert any(p.grad.any() for p in content.parameters())
    assert not any(p.grad.any() for p in style.parameters())


@pytest.mark.parametrize("name", ["cnn", "vgg", "alexnet"])
@pytest.mark.parametrize("size", [16, 33, 48])
def test_small_networks_have_sixteen_features_a_channel(name, size):
    net, features = models.backbone(name, size, width=4)
    assert net(torch.rand(2, 3, size, size)).shape == (2, features) == (2, 64)


def test_alexnets_first_convolution_is_one_of_cells():
    """6 × 6 with stride 2 is 3 × 3 on cells of 2 × 2 pixels."""
    x, wide = torch.rand(2, 3, 16, 16), models.alexnet(width=4)[0][0]
    cells = wide.weight.unflatten(2, (3, 2)).unflatten(4, (3, 2))  # [4, 3, row, y, column, x]
    weight = cells.permute(0, 1, 3, 5, 2, 4).reshape(4, 12, 3, 3)
    found = torch.nn.functional.conv2d(torch.pixel_unshuffle(x, 2), weight, padding=1)
    torch.testing.assert_close(wide(x), found)


def test_small_images_keep_their_resolution():
    small, large = (models.backbone("resnet18", size)[0] for size in (32, 224))
    assert small.conv1.stride == (1, 1) and isinstance(small.maxpool, torch.nn.Identity)
    assert large.conv1.stride == (2, 2) and not isinstance(large.maxpool, torch.nn.Identity)


def test_unknown_backbone():
    with pytest.raises(
        ValueError, match="unknown backbone 'resnet20'; choose cnn, vgg, alexnet, resnet18"
    ):
        models.backbone("resnet20")


def test_split_and_join_are_inverse():
    z = torch.rand(7, 2, 10)
    assert torch.equal(SPACES.join(SPACES.split(z)), z)
    slices = {"content": slice(0, 5), "appearance": slice(5, 8), "spatial": slice(8, 10)}
    assert SPACES.slices == slices


@pytest.mark.parametrize(
    "names, sizes", [(("a", "b"), (3,)), (("a", "a"), (3, 3)), (("a",), (0,)), ((), ())]
)
def test_spaces_that_cannot_be(names, sizes):
    with pytest.raises(ValueError):
        Spaces(names, sizes)


def test_wrong_width():
    with pytest.raises(ValueError, match="z has 9 dimensions"):
        SPACES.split(torch.rand(2, 9))


def test_a_residual_network_begins_as_a_linear_map_of_whitened_observations():
    x = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(3, 3) + 5
    net = models.residual_mlp(x, width=8, blocks=2)
    white = net[0](x)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    a, b = net(x[:5]), net(x[5:10])
    torch.testing.assert_close(net((x[:5] + x[5:10]) / 2), (a + b) / 2, atol=1e-4, rtol=1e-4)
    torch.nn.init.ones_(net[2].change[2].weight)
    assert not torch.allclose(net((x[:5] + x[5:10]) / 2), (net(x[:5]) + net(x[5:10])) / 2)

"""Occlusion by a known answer."""

import torch
from msr.augment.erase import Erase


def test_the_square_is_covered():
    params = {"on": torch.tensor([True]), "x": torch.tensor([0.5]), "y": torch.tensor([0.25])}
    image = Erase(0.5).apply(torch.ones(1, 3, 8, 8), params)
    covered = image[0, 0] == 0.5
    assert covered[:4, 2:6].all() and covered.sum() == 16

"""W-MSE by known answers."""

import torch

from msr import Objective, Spaces

SPACES = Spaces.of(("appearance", "spatial"), (3, 2, 2))


def test_whitening_gives_the_identity_and_equal_views_no_loss():
    view = torch.randn(1, 64, 7, generator=torch.Generator().manual_seed(0))
    objective = Objective("wmse", SPACES, epsilon=0.0)
    z = objective.record.normalise(view, SPACES)[0]
    torch.testing.assert_close(z.T @ z / 63, torch.eye(7), atol=1e-4, rtol=0)
    assert objective(view.expand(4, -1, -1)).loss.abs() < 1e-8


def test_epsilon_reaches_the_whitening():
    z = torch.randn(4, 64, 7, generator=torch.Generator().manual_seed(1))
    small, large = (Objective("wmse", SPACES, epsilon=e)(z).loss for e in (1e-4, 10.0))
    assert large < 0.2 * small

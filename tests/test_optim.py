"""Optimisers, the schedule of the rate and the λ step, by hand."""

import pytest
import tiny
import torch

from msr import models
from msr.train import duals, optim


def test_dual_step_by_hand():
    lambdas, violation = torch.tensor([1.0, 0.05, 2.0]), torch.tensor([0.3, 0.0, 0.1])
    after = duals.step(lambdas, violation, epsilon=0.1, rate=1.0)
    torch.testing.assert_close(after, torch.tensor([1.2, 0.0, 2.0]))


def test_schedule():
    share = [optim.warmup_cosine(s, total=100, warmup=10) for s in range(100)]
    assert share[0] == 0.1 and share[9] == share[10] == 1
    assert share[55] == pytest.approx(0.5) and 0 < share[99] < 0.001
    assert share[10:] == sorted(share[10:], reverse=True)


def test_lars_by_hand():
    w, b = torch.nn.Parameter(torch.tensor([[3.0, 4.0]])), torch.nn.Parameter(torch.tensor([1.0]))
    groups = [{"params": [w], "weight_decay": 0.1}, {"params": [b], "adapt": False}]
    opt = optim.LARS(groups, lr=2.0, momentum=0.5, trust=0.01)
    w.grad, b.grad = torch.tensor([[0.0, 2.0]]), torch.tensor([0.5])
    opt.step()
    g = torch.tensor([[0.3, 2.4]])  # gradient + 0.1 w
    v = 0.01 * 5 / g.norm() * g
    torch.testing.assert_close(w.data, torch.tensor([[3.0, 4.0]]) - 2 * v)
    torch.testing.assert_close(b.data, torch.tensor([0.0]))
    before, w.grad, b.grad = w.data.clone(), torch.zeros(1, 2), torch.zeros(1)
    opt.param_groups[0]["weight_decay"] = 0.0
    opt.step()  # no gradient: momentum alone
    torch.testing.assert_close(w.data, before - 2 * 0.5 * v)
    torch.testing.assert_close(b.data, torch.tensor([-0.5]))


def test_biases_and_norms_are_left_out_of_decay():
    model = models.MultiSpace(*models.backbone("resnet18", 32), tiny.SPACES, (16,))
    weights, others = optim.parameter_groups(model, 1e-6)
    assert all(p.dim() > 1 for p in weights["params"])
    assert all(p.dim() <= 1 for p in others["params"])
    assert len(weights["params"]) + len(others["params"]) == len(list(model.parameters()))
    assert others["weight_decay"] == 0 and not others["adapt"]


def test_the_backbone_has_its_own_rate():
    net, features = models.backbone("cnn", tiny.SIZE, width=8)
    model = models.MultiSpace(net, features, tiny.SPACES, (32,))
    groups = optim.make("sgd", model, 1.0, 0.0, 0.1).param_groups
    shares = {id(p): group["share"] for group in groups for p in group["params"]}
    for name, p in model.named_parameters():
        assert shares[id(p)] == (0.1 if name.startswith("backbone.") else 1.0)


def test_unknown_optimizer():
    with pytest.raises(ValueError, match=r"unknown optimizer 'adam' \(did you mean 'adamw'\?\)"):
        optim.make("adam", torch.nn.Linear(1, 1), 1.0, 0.0)

"""Optimisers, the schedule of the rate and the λ step, by hand."""

import pytest
import tiny
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from msr import models
from msr.train import device, duals, optim


def test_dual_step_by_hand():
    lambdas, violation = torch.tensor([1.0, 0.05, 2.0, 2.0]), torch.tensor([0.3, 0.0, 0.1, 0.15])
    after = duals.step(lambdas, violation, epsilon=0.1, rate=0.1)
    torch.testing.assert_close(after, torch.tensor([1.1, 0.0, 2.0, 2.05]))


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


def test_lars_on_all_tensors_together_is_lars_on_each():
    def one_by_one(params, grads, momenta, lr, wd, trust=1e-3):
        for w, g, v in zip(params, grads, momenta, strict=True):
            g = g + wd * w
            scaled = trust * w.norm() / g.norm() * g if w.norm() > 0 and g.norm() > 0 else g
            v.mul_(0.9).add_(scaled)
            w.add_(v, alpha=-lr)

    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (16, 8), (4, 4), (5,)]
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    values[2].zero_()
    weights = [torch.nn.Parameter(v.clone()) for v in values]
    unused = torch.nn.Parameter(torch.ones(2))
    opt = optim.LARS([*weights, unused], lr=0.5, weight_decay=0.01)
    momenta = [torch.zeros_like(v) for v in values]
    for _ in range(5):
        grads = [torch.randn(shape, generator=generator) for shape in shapes]
        for w, g in zip(weights, grads, strict=True):
            w.grad = g.clone()
        opt.step()
        one_by_one(values, grads, momenta, 0.5, 0.01)
    for w, value, momentum in zip(weights, values, momenta, strict=True):
        torch.testing.assert_close(w.data, value, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(opt.state[w]["momentum"], momentum, atol=1e-6, rtol=1e-6)
    assert unused not in opt.state and torch.equal(unused.data, torch.ones(2))


def test_lars_makes_no_operation_per_tensor_but_its_norm_scale(monkeypatch):
    calls = []
    for name in ("_foreach_add_", "_foreach_mul_", "_foreach_norm"):
        plain = getattr(torch, name)
        monkeypatch.setattr(
            torch, name, lambda *a, n=name, f=plain, **k: (calls.append(len(a[0])), f(*a, **k))[1]
        )
    model = models.MultiSpace(*models.backbone("resnet18", 32), tiny.SPACES, (16,))
    opt = optim.make("lars", model, 0.1, 1e-6)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    opt.step()
    assert len(calls) == 9 and sum(calls) > 100  # six for the weights, three for the others


def test_on_a_gpu_the_kernels_are_timed(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    device.tune(torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark
    device.tune(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False


def test_adamw_is_one_operation():
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        assert optim.make("adamw", torch.nn.Linear(3, 3), 0.1, 0.0).defaults["fused"]
    assert optim.make("adamw", torch.nn.Linear(3, 3), 0.1, 0.0).defaults["fused"]

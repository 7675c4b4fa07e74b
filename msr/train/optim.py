"""Optimisers and the learning-rate schedule."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from msr.config import choose
from msr.train.settings import Optimizer

OPTIMIZERS: tuple[str, ...] = typing.get_args(Optimizer)


class LARS(torch.optim.Optimizer):
    """LARS of You et al. 2017: SGD with momentum whose steps scale with each tensor's norm.

    For the weights w of one tensor with gradient g, weight decay wd and momentum buffer v::

        g ← g + wd · w;  g ← trust · ‖w‖ / ‖g‖ · g;  v ← momentum · v + g;  w ← w − lr · v

    A parameter group with `adapt` false (biases, normalisation) is trained by plain SGD with
    momentum, without weight decay. Nothing is read back from the device, and on a GPU each line is
    a few operations on all tensors together.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        adapt: bool = True,
    ):
        defaults = dict(
            lr=lr, momentum=momentum, weight_decay=weight_decay, trust=trust, adapt=adapt
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step; return what `closure`, a function that recomputes the loss, returns.

        Without a closure the result is None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            for w in weights:
                if "momentum" not in self.state[w]:
                    self.state[w]["momentum"] = torch.zeros_like(w)
            momenta = [self.state[w]["momentum"] for w in weights]
            gradients = [w.grad for w in weights]
            if group["adapt"]:
                gradients = adapted(weights, gradients, group)
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            torch._foreach_add_(weights, momenta, alpha=-group["lr"])
        return loss


def adapted(
    weights: list[torch.Tensor], gradients: list[torch.Tensor], group: dict[str, Any]
) -> list[torch.Tensor]:
    """Return the gradient of each tensor with weight decay added, scaled to norm trust · ‖w‖.

    It is not scaled if w or that sum is zero. weights, gradients: the same shapes. group: holds
    `weight_decay` and `trust`.
    """
    decay = torch._foreach_mul(weights, group["weight_decay"])
    moves = torch._foreach_add(gradients, decay)
    weight, slope = (torch.stack(torch._foreach_norm(some)) for some in (weights, moves))
    moving = (weight > 0) & (slope > 0)
    ratio = group["trust"] * weight / torch.where(moving, slope, 1.0)
    torch._foreach_mul_(moves, torch.where(moving, ratio, 1.0).unbind(0))
    return list(moves)


def parameter_groups(
    model: nn.Module, weight_decay: float, backbone_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Return the trainable parameters, grouped by learning rate and weight decay.

    Matrices and kernels get weight decay and, with LARS, steps that scale with their norm
    (`adapt`); biases and normalisation get neither. `share` is the factor on the group's learning
    rate: backbone_rate for parameters whose names begin with one of `model.loaded`, else 1.
    """
    slow = getattr(model, "loaded", ()) if backbone_rate != 1 else ()
    parts: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            share = backbone_rate if name.startswith(slow) else 1.0
            parts.setdefault((share, p.dim() > 1), []).append(p)
    return [
        {
            "params": parts[share, is_weight],
            "weight_decay": weight_decay if is_weight else 0.0,
            "adapt": is_weight,
            "share": share,
        }
        for share, is_weight in sorted(parts, reverse=True)
    ]


def make(
    name: str, model: nn.Module, lr: float, weight_decay: float, backbone_rate: float = 1.0
) -> torch.optim.Optimizer:
    """Return the optimizer named "adamw", "lars" or "sgd" (the last two with momentum 0.9).

    lr: the peak rate, already scaled to the batch size. backbone_rate: as in `parameter_groups`.
    Raises ValueError, one line, for another name.
    """
    choose("optimizer", name, OPTIMIZERS)
    groups = parameter_groups(model, weight_decay, backbone_rate)
    if name == "lars":
        return LARS(groups, lr=lr)
    for group in groups:
        del group["adapt"]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=True)  # one operation for all tensors
    return torch.optim.SGD(groups, lr=lr, momentum=0.9)


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Return the factor on the peak learning rate at a step, counted from 0.

    It rises linearly from 1/warmup to 1 in `warmup` steps, then falls along half a cosine to 0 at
    step `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

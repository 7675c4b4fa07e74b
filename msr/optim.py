"""Optimisers and the learning-rate schedule."""
from __future__ import annotations

import math

import torch
from torch import nn

OPTIMIZERS = ("adamw", "lars", "sgd")


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step in each weight is scaled to that weight's norm (You et al. 2017).

    g ← g + wd · w;  g ← trust · ‖w‖ / ‖g‖ · g;  v ← momentum · v + g;  w ← w − lr · v. A parameter group with
    `adapt` false (biases, normalisation) is plain SGD with momentum. Nothing is read back to the host.
    """

    def __init__(self, params, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 1e-3, adapt: bool = True):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, trust=trust, adapt=adapt))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if group["adapt"]:
                    g = g + group["weight_decay"] * w
                    weight, slope = w.norm(), g.norm()
                    moving = (weight > 0) & (slope > 0)
                    g = g * torch.where(moving, group["trust"] * weight / torch.where(moving, slope, 1.0), 1.0)
                state = self.state[w]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(w)
                v = state["momentum"].mul_(group["momentum"]).add_(g)
                w.add_(v, alpha=-group["lr"])
        return loss


def parameter_groups(model: nn.Module, weight_decay: float, backbone_rate: float = 1.0) -> list[dict]:
    """Matrices and kernels decay (and LARS adapts them); biases and normalisation do neither. `share`: of the learning rate;
    backbone_rate for what `model.loaded` names, else 1."""
    slow = getattr(model, "loaded", ()) if backbone_rate != 1 else ()
    parts: dict[tuple[float, bool], list] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            parts.setdefault((backbone_rate if name.startswith(slow) else 1.0, p.dim() > 1), []).append(p)
    return [{"params": params, "weight_decay": weight_decay if weights else 0.0, "adapt": weights, "share": share}
            for (share, weights), params in sorted(parts.items(), key=lambda part: part[0], reverse=True)]


def make(name: str, model: nn.Module, lr: float, weight_decay: float, backbone_rate: float = 1.0) -> torch.optim.Optimizer:
    """`adamw`, `lars` or `sgd` (both with momentum 0.9); lr is already scaled to the batch."""
    groups = parameter_groups(model, weight_decay, backbone_rate)
    if name == "lars":
        return LARS(groups, lr=lr)
    for group in groups:
        del group["adapt"]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9)
    raise ValueError(f"unknown optimizer '{name}'; choose {', '.join(OPTIMIZERS)}")


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Share of the base rate: linear from 1/warmup to 1, then half a cosine down to 0 at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

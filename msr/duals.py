"""Adaptive λ: maximise the joint entropy subject to c_m ≤ ε, by dual ascent. A pure function."""
from __future__ import annotations

import torch


def step(lambdas: torch.Tensor, violation: torch.Tensor, epsilon: float, rate) -> torch.Tensor:
    """λ_m ← max(0, λ_m + η (c_m − ε)); lambdas, violation [M + 1], already averaged over ranks; rate η a float or tensor."""
    return (lambdas + rate * (violation - epsilon)).clamp(min=0)

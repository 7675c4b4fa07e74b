"""Adaptive λ by dual ascent: maximise the joint entropy subject to c_m ≤ ε in every space m."""

from __future__ import annotations

import torch


def step(
    lambdas: torch.Tensor, violation: torch.Tensor, epsilon: float, rate: float | torch.Tensor
) -> torch.Tensor:
    """Return the next weights λ_m ← max(0, λ_m + η (c_m − ε)), shape [M + 1].

    lambdas: λ [M + 1]. violation: c [M + 1], already averaged over ranks. epsilon: the violation ε
    that is allowed. rate: the step size η.
    """
    return (lambdas + rate * (violation - epsilon)).clamp(min=0)

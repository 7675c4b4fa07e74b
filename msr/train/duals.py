"""Adaptive λ by dual ascent: maximise the joint entropy subject to c_m ≤ ε in every space m."""

from __future__ import annotations

import torch


def step(
    lambdas: torch.Tensor, violation: torch.Tensor, epsilon: float, rate: float | torch.Tensor
) -> torch.Tensor:
    """Return the next weights λ_m ← max(0, λ_m + η clip(c_m/ε − 1)), shape [M + 1].

    lambdas: λ [M + 1]. violation: c [M + 1], already averaged over ranks; 0 for perfect alignment,
    1 for independent embeddings. epsilon: the violation ε > 0 that is allowed; 1 − ε is then the
    correlation (or cosine) of query and key that is asked for. rate: the step size η. The excess is
    clipped to [−1, 1], so η is the most that a weight moves in a step, whatever ε is.
    """
    excess = (violation / epsilon - 1).clamp(-1, 1)
    return (lambdas + rate * excess).clamp(min=0)

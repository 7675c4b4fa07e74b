"""The sum of kernels that losses use to compare every embedding with every other."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 1024  # anchors at a time, so that memory grows with N instead of N²


def log_sum_exp(
    anchors: torch.Tensor,
    others: torch.Tensor,
    scale: float,
    offset: torch.Tensor | None,
    hide: torch.Tensor,
) -> torch.Tensor:
    """Return log Σ_j exp(scale · ⟨a_i, b_j⟩ + offset_j) of each anchor a_i, [..., A].

    anchors a [..., A, D], others b [..., N, D], offset [..., N] or None. hide [..., A, K]: for each
    anchor the K indices j that are left out of its sum. Anchors are processed in chunks, which the
    backward pass computes again, so the whole A × N matrix is never in memory.
    """

    def chunk(
        a: torch.Tensor, hidden: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None
    ) -> torch.Tensor:
        logits = scale * a @ b.mT  # [..., chunk, N]
        if c is not None:
            logits = logits + c.unsqueeze(-2)
        return logits.scatter(-1, hidden, float("-inf")).logsumexp(dim=-1)

    if anchors.shape[-2] <= CHUNK:
        return chunk(anchors, hide, others, offset)
    pieces = zip(anchors.split(CHUNK, dim=-2), hide.split(CHUNK, dim=-2), strict=True)
    sums = [
        checkpoint(chunk, a, hidden, others, offset, use_reentrant=False, preserve_rng_state=False)
        for a, hidden in pieces
    ]
    return torch.cat(sums, dim=-1)

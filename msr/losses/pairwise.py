"""One kernel sum, shared by the losses that compare every embedding with every other."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 1024  # anchors at a time: memory grows with N, not with N²


def log_sum_exp(
    anchors: torch.Tensor,
    others: torch.Tensor,
    scale: float,
    offset: torch.Tensor | None,
    hide: torch.Tensor,
) -> torch.Tensor:
    """Return log Σ_j exp(scale · ⟨a_i, b_j⟩ + offset_j) over the j that `hide` leaves, [A].

    anchors [A, D], others [N, D], offset [N] or None. hide [A, K]: for each anchor the K indices j
    to leave out. Anchors go in chunks that are recomputed in the backward pass, so the A × N matrix
    is never held.
    """

    def chunk(
        a: torch.Tensor, hidden: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None
    ) -> torch.Tensor:
        logits = scale * a @ b.T  # [chunk, N]
        if c is not None:
            logits = logits + c
        return logits.scatter(1, hidden, float("-inf")).logsumexp(dim=1)

    if len(anchors) <= CHUNK:
        return chunk(anchors, hide, others, offset)
    pieces = zip(anchors.split(CHUNK), hide.split(CHUNK), strict=True)
    sums = [
        checkpoint(chunk, a, hidden, others, offset, use_reentrant=False, preserve_rng_state=False)
        for a, hidden in pieces
    ]
    return torch.cat(sums)

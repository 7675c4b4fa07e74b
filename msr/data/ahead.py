"""Batches are copied to a GPU in a stream of their own, while it still computes the step before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import torch

from msr.data.squashed import Batch, parts


def sent_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches, in order, on `device`.

    On a GPU, a copy in the stream that computes would wait for the steps queued in it. So each is
    made in a second stream, and the first waits for that one copy alone: where the host runs ahead
    of the GPU, the copy is done before its step begins. The batches should lie in pinned memory,
    else the host waits for each copy.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    copies = stream(device)
    for batch in batches:
        with torch.cuda.stream(copies):
            sent = batch.to(device, non_blocking=True)
        computes = torch.cuda.current_stream(device)
        computes.wait_stream(copies)
        for tensor in parts(sent):
            if tensor is not None:
                tensor.record_stream(computes)  # its memory is not used again before the step ends
        yield sent


@cache
def stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of copies to a GPU: one for all, since each keeps memory of its own."""
    return torch.cuda.Stream(device)

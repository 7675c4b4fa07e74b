"""Every call to torch.distributed, each a no-op on one rank.

Convention: each rank averages the loss over ITS anchors, the gather's backward SUMS what all ranks ask of a tensor,
and DistributedDataParallel averages parameter gradients over ranks. Together: the gradient of the global mean.
"""
from __future__ import annotations

import torch
import torch.distributed as dist


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):                                      # x [...] -> [R, ...]
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, grad):                                  # sum over ranks, then this rank's part
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[rank()]


def gather(x: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """The ranks' tensors joined along `dim`, rank by rank; the gradient sums over ranks."""
    if world_size() == 1:
        return x
    return torch.cat(list(_Gather.apply(x).unbind(0)), dim=dim)


def mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over ranks, without gradient: for the λ step and for logs."""
    if world_size() == 1:
        return x.detach()
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world_size()

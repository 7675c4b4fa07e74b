"""Every call to torch.distributed, each a no-op on one rank.

Convention: every rank draws the views of the WHOLE batch and takes its own part, averages the loss over ITS anchors; the gather's
backward SUMS what all ranks ask of a tensor, and DistributedDataParallel averages parameter gradients over ranks. Together: the
gradient of the global mean, and the same run on any number of ranks.
"""
from __future__ import annotations

import os
import subprocess
import sys

import torch
import torch.distributed as dist
from torch import nn


# ------------------------------------------------------------------------------------------------------ who is here

def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


def own(n: int) -> slice:
    """This rank's n rows of the n · R that all ranks hold."""
    return slice(rank() * n, (rank() + 1) * n)


def start() -> None:
    """Join the ranks that torchrun started (it sets RANK, WORLD_SIZE and LOCAL_RANK): NCCL with a GPU each, else gloo. Without
    torchrun nothing happens."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")


def stop() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def launch(module: str, argument: str, processes: int, **popen) -> subprocess.Popen:
    """`torchrun --standalone --nproc-per-node processes -m module argument`, of this Python: fresh processes, so that a kernel which has
    touched CUDA can start them."""
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))}
    return subprocess.Popen([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", module, argument],
                            env=os.environ | threads, **popen)


# ------------------------------------------------------------------------------------------------------ collectives

class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):                                      # x [...] -> [R, ...]
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
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


def everyone(value) -> list:
    """The ranks' values, any plain data, in order of rank; on every rank."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


# --------------------------------------------------------------------------------------------------------- networks

def parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model to call in a step: itself, or its DistributedDataParallel, whose backward averages gradients over ranks."""
    if world_size() == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()] if device.type == "cuda" else None)


def sync_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with batch normalisation over all ranks: PyTorch's own on a GPU; it has none for a CPU, there `SyncBatchNorm`. In place."""
    if world_size() == 1:
        return model
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.__class__ = SyncBatchNorm
    return model


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the statistics of all ranks, on any device (Ioffe & Szegedy 2015); ranks hold equally many images.

    Mean and variance are those of the ranks' joined batch, computed from each rank's own: mean = E_r μ_r,
    var = E_r [σ_r² + (μ_r − mean)²].
    """

    def _check_input_dim(self, x):
        pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = [d for d in range(x.dim()) if d != 1], [1, -1, *[1] * (x.dim() - 2)]
        wide = x if x.dtype == torch.float64 else x.float()
        var, mean = torch.var_mean(wide, dim=axes, correction=0)
        means, variances = gather(torch.stack([mean, var])[None]).unbind(1)                  # [R, C] each
        mean = means.mean(dim=0)
        var = (variances + (means - mean).square()).mean(dim=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            n = world_size() * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(var.detach() * n / (n - 1), self.momentum)
        y = (wide - mean.view(shape)) * torch.rsqrt(var + self.eps).view(shape)
        return (y * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)

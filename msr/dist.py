"""The one module that calls torch.distributed. With a single rank, no function communicates.

A rank is one of the processes that train a model together. Every rank draws the augmentations of
the WHOLE batch, applies those of its own images, and averages the loss over ITS anchors. The
backward pass of `gather` SUMS over ranks the gradients of the gathered tensor, and
DistributedDataParallel averages the parameters' gradients over ranks. Together they give the
gradient of the mean over the whole batch. So a run does not depend on the number of ranks, except
by rounding.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


# ------------------------------------------------------------------------------------------- ranks


def world_size() -> int:
    """Return the number of ranks R (processes that train together); 1 for a single process."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the index of this process among the ranks, counted from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def here() -> int:
    """Return the number of ranks on this machine; torchrun sets LOCAL_WORLD_SIZE to it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if world_size() > 1 else 1


def own(n: int) -> slice:
    """Return the slice that this rank's n rows occupy among the n · R rows of all R ranks."""
    return slice(rank() * n, (rank() + 1) * n)


def start() -> None:
    """Join the process group that torchrun started; without torchrun, do nothing.

    torchrun sets the environment variables RANK, WORLD_SIZE and LOCAL_RANK. On a machine with GPUs
    each rank uses the GPU number LOCAL_RANK and communicates by NCCL (CPU tensors by gloo);
    without GPUs the ranks communicate by gloo.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return
    gpu, own_gpu = torch.cuda.is_available(), int(os.environ["LOCAL_RANK"])
    if own_gpu < torch.cuda.device_count():  # a machine with too few GPUs may still train on CPUs
        torch.cuda.set_device(own_gpu)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")


def stop() -> None:
    """Leave the process group that `start` joined; without one, do nothing."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def launch(module: str, argument: str, processes: int, **popen: Any) -> subprocess.Popen:
    """Start `python -m module argument` in several processes, the ranks of one run.

    argument: the one command-line argument. processes: their number. popen: keyword arguments of
    `subprocess.Popen`. Returns the handle of torchrun, which starts the processes and ends when
    they end. They are new Python processes, not forks, so a notebook that has already used CUDA can
    start them too. The CPU's cores are divided among them, unless OMP_NUM_THREADS is set.
    """
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*torchrun, "--nproc-per-node", str(processes), "-m", module, argument],
        env={"OMP_NUM_THREADS": threads} | os.environ,
        **popen,
    )


# ------------------------------------------------------------------------------------- collectives


class _Gather(torch.autograd.Function):
    """Stack x [...] of all ranks to [R, ...]; the backward pass sums the gradients over ranks."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        parts = [
            torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())
        ]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[rank()]


def gather(x: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Return the tensors of all ranks, concatenated along `dim` in the order of the ranks.

    x: this rank's tensor, of the same shape on all ranks, such as [B, D], which gives [R · B, D].
    The gradient of x is the sum of the gradients that all ranks compute for it.
    """
    if world_size() == 1:
        return x
    return torch.cat(list(_Gather.apply(x).unbind(0)), dim=dim)


def mean(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of x [...] over ranks, the same shape, without gradient.

    It is used for the λ step and for the log.
    """
    if world_size() == 1:
        return x.detach()
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world_size()


def everyone(value: Any) -> list[Any]:
    """Return, on every rank, the values of all ranks in the order of the ranks.

    value: any object that can be pickled.
    """
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


class Anyone:
    """Whether any rank says yes: asked in every step, answered one step later.

    So `anyone(yes)` never waits for a rank that is less than a step behind. Every rank must call it
    in the same steps and gets the same answers, in the same steps. The flags go from CPU to CPU,
    beside the work of the GPUs. A single rank is answered at once.
    """

    def __init__(self) -> None:
        self.asked: tuple[Any, torch.Tensor] | None = None  # the vote under way, and its flag

    def __call__(self, yes: bool) -> bool:
        """Put this rank's answer to the others; return whether any rank said yes a step ago."""
        if world_size() == 1:
            return yes
        before, flag = self.asked, torch.tensor([int(yes)])
        self.asked = dist.all_reduce(flag, dist.ReduceOp.MAX, async_op=True), flag
        return self._answer(before)

    def _answer(self, vote: tuple[Any, torch.Tensor] | None) -> bool:
        if vote is None:
            return False
        work, flag = vote
        work.wait()
        return bool(flag.item())

    def __enter__(self) -> Anyone:
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is None:  # after an error the other ranks may be gone
            self._answer(self.asked)


# ---------------------------------------------------------------------------------------- networks


def parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the module to call in a training step; its backward pass averages over ranks.

    With one rank this is the model itself, with several the model in DistributedDataParallel.
    """
    if world_size() == 1:
        return model
    ids = [torch.cuda.current_device()] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=ids)


def sync_batchnorm(model: Module, device: torch.device) -> Module:
    """Return the model with batch normalisation over the images of all ranks.

    The model is changed in place. On a GPU its layers become PyTorch's `nn.SyncBatchNorm`; PyTorch
    has none for the CPU, where the `SyncBatchNorm` of this module is used.
    """
    if world_size() == 1:
        return model
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.__class__ = SyncBatchNorm
    return model


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the images of all ranks, on any device (Ioffe & Szegedy 2015).

    All ranks must hold the same number of images. The mean and the variance are those of the whole
    batch, computed from the mean μ_r and variance σ_r² of each rank r:
    mean = E_r μ_r, var = E_r [σ_r² + (μ_r − mean)²].
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor | None
    momentum: float

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Accept any number of dimensions: [B, C] and [B, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x [B, C, ...] over all axes but C, and return the same shape and type.

        The arithmetic is in float32, or in float64 if that is x's type. In evaluation mode the
        running mean and variance are used.
        """
        if not self.training:
            return super().forward(x)
        axes, shape = [d for d in range(x.dim()) if d != 1], [1, -1, *[1] * (x.dim() - 2)]
        wide = x if x.dtype == torch.float64 else x.float()
        var, mean = torch.var_mean(wide, dim=axes, correction=0)
        means, variances = gather(torch.stack([mean, var])[None]).unbind(1)  # [R, C] each
        mean = means.mean(dim=0)
        var = (variances + (means - mean).square()).mean(dim=0)
        with torch.no_grad():
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
            n = world_size() * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(var.detach() * n / (n - 1), self.momentum)
        y = (wide - mean.view(shape)) * torch.rsqrt(var + self.eps).view(shape)
        return (y * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)

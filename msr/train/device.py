"""The device of a run: which one, whether it computes in bf16, and how the CPU keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes

import torch


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` is cuda where there is one, else cpu.

    Raises ValueError, one line, for a device that cannot be used on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device '{name}' cannot be used here ({reason}); choose auto, cpu, cuda or cuda:0"
        ) from None
    return device


def use_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bf16: precision is `bf16`, `float32` or `auto`.

    `auto` takes bf16 where the processor has instructions for it; elsewhere bf16 is slower than
    float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = [getattr(torch.cpu, name, lambda: False) for name in names]
    return device.type == "cpu" and any(check() for check in checks)


def keep_memory() -> None:
    """Make glibc keep freed memory for the next step; with another C library nothing happens.

    Returning the activations to the system and paging them in again took a quarter of the time of
    a training step on a CPU.
    """
    with contextlib.suppress(AttributeError, TypeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: blocks of up to 1 GiB come from the heap …
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: … which does not shrink

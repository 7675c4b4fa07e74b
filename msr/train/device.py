"""The device of a run: which one it is, whether it computes in bf16, and the CPU's memory."""

from __future__ import annotations

import contextlib
import ctypes
from importlib.util import find_spec

import torch

from msr import safe
from msr.config import shown
from msr.train.settings import Compile

LONG = 2000  # steps that earn back a minute or so of compiling


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; "auto" is cuda if there is a GPU, else cpu.

    Raises ValueError, one line, for a device that cannot be used on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()  # "meta" holds no numbers
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {shown(name)} cannot be used here ({safe.line(error)}); "
            "choose auto, cpu, cuda or cuda:0"
        ) from None
    return device


def use_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bf16 (bfloat16) for a precision "bf16", "float32" or "auto".

    "auto" means bf16 if the GPU computes in it, and on a CPU that has matrix tiles for it (AMX).
    Without tiles float32 is faster, even where the CPU has vector instructions for bf16: measured
    1.0 to 1.6 times on convolutions and linear layers.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return device.type == "cpu" and has_tiles()


def use_compile(choice: Compile, device: torch.device, steps: int) -> bool:
    """Return whether to compile the network for a run of so many steps.

    choice: True, False or "auto", which means on a GPU with its compiler (Triton), if the run is
    long enough to earn the time back. On a CPU a compiled network was slower (see `make bench`).
    Where "auto" compiles, what the compiler cannot do runs as it would without.
    """
    if choice != "auto":
        return bool(choice)
    if device.type != "cuda" or steps < LONG or find_spec("triton") is None:
        return False
    torch._dynamo.config.suppress_errors = True
    return True


def tune(device: torch.device) -> None:
    """Set what makes steps of equal shape faster: memory that is kept, and the best convolutions.

    On a GPU each convolution is timed once for each shape, and the fastest kernel is used.
    """
    keep_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def keep_memory() -> None:
    """Make glibc keep freed memory for the next step; with another C library, do nothing.

    Without this, a quarter of the time of a training step on a CPU went into returning the memory
    of the activations to the operating system and getting it back.
    """
    with contextlib.suppress(AttributeError, TypeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: blocks of up to 1 GiB come from the heap …
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: … which does not shrink

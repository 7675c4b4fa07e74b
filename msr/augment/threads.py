"""Parts of some work on the cores of a CPU, by the threads that PyTorch has there already.

These wait awake for a while after each operation. Threads of our own would share their cores with
them, and the operating system takes some milliseconds to find out that another core is free.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

IMPORTED = os.getpid()  # the process that has PyTorch's threads; one that it forks has none
Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_threads(work: Callable[[slice], None], parts: Sequence[slice]) -> None:
    """Do the work of all parts, in as many threads as PyTorch uses; each takes the next part.

    So a thread whose core has other work to do does less of it. Raises what `work` raises, the
    first of it.
    """
    waiting, failed = iter(parts), []

    def share(_: Any = None) -> None:
        try:
            for part in waiting:
                work(part)
        except BaseException as error:  # raised below, by the thread that asked
            failed.append(error)

    threads = torch.get_num_threads() if len(parts) > 1 else 1
    parallel = openmp() if threads > 1 and os.getpid() == IMPORTED else None
    if threads == 1:
        share()
    elif parallel:
        parallel(Callback(share), None, threads, 0)
        share()  # nothing is left, unless the callback was interrupted before it began
    else:
        others = [pool(os.getpid(), threads).submit(share) for _ in range(1, threads)]
        share()
        for other in others:
            other.result()
    if failed:
        raise failed[0]


@functools.cache
def openmp() -> Any:
    """Return `GOMP_parallel` of the OpenMP that PyTorch has loaded, or None.

    It calls a function in each of so many threads, as PyTorch does for its operations.
    """
    beside = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    for name in [*map(str, beside), "libgomp.so.1"]:
        try:
            parallel = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW).GOMP_parallel
        except (AttributeError, OSError):  # not loaded, or not Linux
            continue
        parallel.argtypes = [Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return parallel
    return None


@functools.cache
def pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads of this process, which live as long as it does."""
    return ThreadPoolExecutor(threads, thread_name_prefix="views")

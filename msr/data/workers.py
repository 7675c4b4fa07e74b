"""Processes that decode files outlive a SIGTERM, so that the run that they serve can be saved.

Most schedulers send SIGTERM to every process of a job. The process that trains then saves and
stops, for which it still needs its workers; it ends them itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Let processes that are started in this block be born with SIGTERM held back, on Linux.

    A SIGTERM to the starting process is delivered at the end of the block.
    """
    if sys.platform != "linux":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_sigterm(worker: int) -> None:
    """Make this worker process ignore SIGTERM, unless its parent sends it, as PyTorch may.

    On Linux a thread takes the signals and looks who sent them. Elsewhere the worker only leaves
    the process group of the run, which is what schedulers signal. worker: its number, not used.
    """
    if sys.platform != "linux":
        os.setpgrp()
        return
    parent = multiprocessing.parent_process()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != (parent and parent.pid):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()

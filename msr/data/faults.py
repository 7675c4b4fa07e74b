"""Errors in reading a file that are the machine's, not the file's: such a file is not broken."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PAUSES = (0.2, 1.0)  # seconds before the second and the third try: a network disk may come back
# Too many open files, no memory, a disk or a network that fails. Some systems lack some of them.
NAMES = """EMFILE ENFILE ENOMEM EIO ESTALE ENODEV ENXIO EAGAIN EINTR EBUSY ENOLCK ENOBUFS ETIMEDOUT
EREMOTEIO ENOTCONN ECONNREFUSED ECONNRESET ECONNABORTED EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET
ENETUNREACH ESHUTDOWN EKEYEXPIRED""".split()
MACHINE = {getattr(errno, name) for name in NAMES if hasattr(errno, name)}
TOO_MANY = (errno.EMFILE, errno.ENFILE)


def of_machine(error: Exception) -> bool:
    """Return whether an error in reading a file says nothing about the file.

    A file that is missing from a folder which is there counts as the file's fault; one whose folder
    is missing or empty, as after a disk was unmounted, does not.
    """
    if not isinstance(error, OSError):
        return False
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and error.filename:
        folder = Path(os.fsdecode(error.filename)).parent
        try:
            return not any(folder.iterdir())
        except OSError:
            return True
    return error.errno in MACHINE


def patiently(read: Callable[[int], T], i: int) -> T:
    """Return `read(i)`, after one or two pauses if the machine fails; raise what it raises last."""
    for pause in PAUSES:
        try:
            return read(i)
        except OSError as error:
            if not of_machine(error):
                raise
        time.sleep(pause)
    return read(i)


def check(error: Exception, name: str) -> None:
    """Raise ValueError, one line, if an error in reading the file `name` is the machine's."""
    if not of_machine(error):
        return
    assert isinstance(error, OSError)
    advice = "see to the disk or its mount"
    if error.errno in TOO_MANY:
        advice = "allow more open files (ulimit -n), or give fewer num_workers"
    raise ValueError(
        f"'{name}' cannot be read, and that is not the file's fault: {error.strerror}; {advice}; "
        "then the same command resumes"
    ) from None

"""Stopping on request: SIGTERM asks a run to save and end, as cluster schedulers do."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Stopped(RuntimeError):
    """The run was ended by SIGTERM; it is saved where it has a folder, and can be resumed."""


class Sigterm:
    """`with Sigterm() as stop`: a SIGTERM sets `stop.asked` instead of ending the process.

    The earlier handler returns at the end of the block. Python allows signal handlers in the main
    thread alone: in any other thread nothing happens.
    """

    asked = False

    def __enter__(self) -> Sigterm:
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error: Any) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, self.before)

    def _ask(self, *_: Any) -> None:
        self.asked = True

"""Stopping on request: at SIGTERM, which cluster schedulers send, a run saves and ends."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Stopped(RuntimeError):
    """The run was ended by SIGTERM. If it has a folder, it is saved there and can be resumed."""


class Sigterm:
    """In `with Sigterm() as stop`, a SIGTERM sets `stop.asked` instead of ending the process.

    The earlier handler is restored at the end of the block. Python allows signal handlers only in
    the main thread; in any other thread this does nothing.
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

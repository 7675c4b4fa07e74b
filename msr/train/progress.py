"""The progress of a run, shown in a notebook, in a terminal or in a file of printed lines.

A notebook gets one text that is updated (tqdm would leave a line per refresh in the saved file), a
terminal gets tqdm's bar, and anything else gets one line per epoch.
"""

from __future__ import annotations

import sys
from typing import Any


def in_kernel() -> bool:
    """Return whether this process is a notebook's kernel."""
    try:
        from IPython import get_ipython

        return get_ipython() is not None and "IPKernelApp" in get_ipython().config
    except ImportError:
        return False


class Progress:
    """A display of progress: `with Progress(total) as bar: bar.update(done, text)`.

    The last text stays visible. total: number of steps, at least 1. name: shown before the text.
    show: whether to show anything.
    """

    def __init__(self, total: int, name: str = "training", show: bool = True):
        self.total, self.name, self.show = total, name, show
        self.handle: Any = None  # the notebook's display
        self.bar: Any = None  # the terminal's tqdm

    def __enter__(self) -> Progress:
        if self.show and in_kernel():
            from IPython.display import display

            self.handle = display({"text/plain": f"{self.name} …"}, raw=True, display_id=True)
        elif self.show and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.name)
        return self

    def update(self, done: int, text: str, end_of_epoch: bool = False) -> None:
        """Show that `done` steps are done, and a text.

        Outside a notebook and a terminal, a line is printed only if `end_of_epoch` is true.
        """
        if not self.show:
            return
        if self.handle is not None:
            shown = f"{self.name}: {100 * done // self.total} %, {text}"
            self.handle.update({"text/plain": shown}, raw=True)
        elif self.bar is not None:
            self.bar.update(done - self.bar.n)
            self.bar.set_postfix_str(text)
        elif end_of_epoch:
            print(f"{self.name}: {text}", flush=True)

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.close()

"""Progress that reads well everywhere: one display that is updated in a notebook, tqdm in a terminal, a line per epoch else."""
from __future__ import annotations

import sys


def in_kernel() -> bool:
    try:
        from IPython import get_ipython
        return get_ipython() is not None and "IPKernelApp" in get_ipython().config
    except ImportError:
        return False


class Progress:
    """`with Progress(total) as p: p.update(done, text)`; the last text stays."""

    def __init__(self, total: int, name: str = "training", show: bool = True):
        self.total, self.name, self.show, self.handle, self.bar = total, name, show, None, None

    def __enter__(self):
        if self.show and in_kernel():
            from IPython.display import display
            self.handle = display({"text/plain": f"{self.name} …"}, raw=True, display_id=True)
        elif self.show and sys.stderr.isatty():
            from tqdm import tqdm
            self.bar = tqdm(total=self.total, desc=self.name)
        return self

    def update(self, done: int, text: str, end_of_epoch: bool = False):
        if not self.show:
            return
        if self.handle is not None:
            self.handle.update({"text/plain": f"{self.name}: {100 * done // self.total} %, {text}"}, raw=True)
        elif self.bar is not None:
            self.bar.update(done - self.bar.n)
            self.bar.set_postfix_str(text)
        elif end_of_epoch:
            print(f"{self.name}: {text}", flush=True)

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()

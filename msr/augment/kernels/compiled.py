"""How kernels are compiled, and the little that all of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

# There are no NaNs. Sums are not reordered and not fused with products: so a kernel gives the same
# bits on every processor, and whether it was compiled in this process or before.
MATHS = {"nsz", "nnan", "ninf"}
f4 = np.float32


def compiled(function: Callable) -> Any:
    """Return the function as machine code, made when it is first called with some types.

    It is kept on disk beside this package, or in the user's cache, so that only the first run of
    all compiles; where neither can be written, every run does.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": MATHS, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder to write to
        return njit(**options)(function)


@compiled
def clamped(value, low, high):
    """Return value, but at least low and at most high."""
    return min(max(value, low), high)


@compiled
def unit(value):
    """Return value, clamped to [0, 1]."""
    return clamped(value, f4(0), f4(1))

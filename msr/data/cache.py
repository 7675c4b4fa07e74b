"""A cache in the user's home: data that takes long to collect, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msr import safe

FORMAT = 2  # of what is cached; a change to it, or to how it is made, raises this number


def home() -> Path:
    """Return the cache folder of msr: $XDG_CACHE_HOME/msr, or ~/.cache/msr without that variable.

    The folder need not exist yet.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "msr"


def cached(key: str, valid: Callable[[Any], bool], make: Callable[[], Any]) -> Any:
    """Return the data cached under `key` if they are still valid, else call `make` and cache them.

    make: returns the data, which JSON must be able to hold. valid: says whether data from the cache
    may be used, which may be of any form; an error in it means no. Where the cache cannot be read
    or written, `make` is called every time, and no error is raised.
    """
    digest = hashlib.sha256(f"{FORMAT} {key}".encode()).hexdigest()
    path = home() / "index" / f"{digest[:24]}.json"
    try:
        data = json.loads(path.read_text())
        if valid(data):
            return data
    except Exception:  # absent, damaged, of another form or nested too deeply
        pass
    data = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safe.write(path, lambda file: file.write(json.dumps(data).encode()))
    except OSError:
        pass
    return data

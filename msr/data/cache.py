"""The user's cache: plain data that took long to gather, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def home() -> Path:
    """Return the folder of the user's cache that belongs to msr."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "msr"


def cached(key: str, valid: Callable[[Any], bool], make: Callable[[], Any]) -> Any:
    """Return `make()`, kept in the cache under `key` and reused while `valid(data)` holds.

    The data must be JSON. Where the cache cannot be read or written, it is made each time.
    """
    path = home() / "index" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    try:
        data = json.loads(path.read_text())
        if valid(data):
            return data
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    data = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(data))
        os.replace(beside, path)
    except (OSError, UnicodeEncodeError):
        pass
    return data

"""Keep the results of a run with the book: python book/keep.py runs/imagenet/metrics.json …

The file goes to results/<notebook>.json (see results/README.md). Of absolute paths only the last
part is kept.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "results"
ABSOLUTE = re.compile(r"(?<![\w./])/(?:[^\s/:`'\"]+/)+")  # all of a path but its last part


def plain(value: Any) -> Any:
    """Return plain data without the folders of absolute paths."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return ABSOLUTE.sub("", value) if isinstance(value, str) else value


def keep(path: Path) -> Path:
    """Write the metrics.json at a path to results/; return where it is."""
    record = plain(json.loads(path.read_text()))
    if record["commit"].endswith("+"):
        sys.exit(f"{path}: made by code that no commit has; commit it, and run the notebook again")
    record["params"].pop("out_dir", None)
    kept = RESULTS / f"{record['notebook']}.json"
    kept.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return kept


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{keep(Path(name))} is kept")

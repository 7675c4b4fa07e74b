"""`make bench`: measure how fast this is, as ratios, or compare with what was measured before."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import families, losses, memory, ranks, steps, threads, views
from benchmarks.pairs import Cases, compare, hardware
from msr.report.metrics import commit

SUITES: dict[str, Cases] = {
    "views": views.cases,
    "losses": losses.cases,
    "steps": steps.cases,
    "threads": threads.cases,
    "ranks": ranks.cases,
    "families": families.cases,
    "memory": memory.cases,
}
STORED = Path(__file__).parent / "results.json"  # what the book shows
OUT = Path("runs") / "bench.json"
SLOWER = 0.15  # a ratio that fell by more than this share fails the check
Stored = dict[str, dict[str, Any]]  # {suite: {"hardware", "commit", "rounds", "rows"}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status, 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"some of {', '.join(SUITES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7, help="times that each side is measured")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file to write")
    parser.add_argument("--keep", action="store_true", help=f"write to {STORED.name} of the book")
    parser.add_argument(
        "--check",
        type=Path,
        nargs="?",
        const=STORED,
        help="compare with a file; default: the book's",
    )
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.suites) - set(SUITES))
    if unknown:
        parser.error(f"unknown suite '{unknown[0]}'; choose {', '.join(SUITES)}")
    if asked.rounds < 1:
        parser.error(f"--rounds {asked.rounds}; give 1 or more")
    try:
        device = torch.device(asked.device)
        before = read(asked.check) if asked.check else {}
        out = STORED if asked.keep else asked.out
        kept = read(out) if out.exists() else {}
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error).splitlines()[0])
    for suite in asked.suites or SUITES:
        kept[suite] = measured(suite, asked.rounds, device)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(f"written to {out}")
    return check(before, {suite: kept[suite] for suite in asked.suites or SUITES}) if before else 0


def read(path: Path) -> Stored:
    """Return what was measured before. Raises ValueError or OSError for a file that is none."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or not all("rows" in suite for suite in found.values()):
        raise ValueError(f"{path} holds no measurements; give a file that `make bench` wrote")
    return found


def measured(suite: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Return the hardware, the commit and the rows {case: its costs} of one suite.

    Each row is printed when it is done.
    """
    rows, on = {}, hardware(device)
    print(f"{suite}: {', '.join(f'{name} {value}' for name, value in on.items() if value)}")
    for case in SUITES[suite](device):
        row = rows[case.name] = compare(case, rounds, device)
        spread = f"{row['low']:.2f} to {row['high']:.2f}"
        speed = f"{row['ours']:.4g} against {row['theirs']:.4g} {row['unit']}"
        print(f"  {case.name:50} {row['ratio']:6.2f} ({spread})  {speed}", flush=True)
    return {"hardware": on, "commit": commit(), "rounds": rounds, "rows": rows}


def check(before: Stored, now: Stored) -> int:
    """Print what is slower than before; return 1 if there is any, or nothing to compare, else 0.

    A ratio is lower if its upper quartile lies more than `SLOWER` below the lower quartile that was
    measured before, and also if it is no number.
    """
    slower, compared, others = [], 0, set()
    for suite, found in now.items():
        known = before.get(suite, {"rows": {}, "hardware": {}})
        if known["rows"] and known["hardware"].get("cpu") != found["hardware"].get("cpu"):
            print(f"{suite}: measured on another processor before; ratios depend on it")
        others |= {f"{suite}: {name}" for name in found["rows"].keys() ^ known["rows"].keys()}
        for name in found["rows"].keys() & known["rows"].keys():
            row, old, compared = found["rows"][name], known["rows"][name], compared + 1
            if math.isnan(row["ratio"]) or row["high"] < (1 - SLOWER) * old["low"]:
                slower.append(f"{suite}: {name}: {old['ratio']:.2f} before, {row['ratio']:.2f} now")
    print(f"{compared} compared, {len(slower)} slower than before by more than {SLOWER:.0%}")
    print("\n".join([*slower, *(f"{name}: not compared" for name in sorted(others))]))
    return 1 if slower or not compared else 0


if __name__ == "__main__":
    sys.exit(main())

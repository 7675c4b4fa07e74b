"""`make bench`: run the benchmarks, write them down, or compare them with those written down."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import families, losses, memory, steps, threads, views
from benchmarks.pairs import Cases, compare, hardware

SUITES: dict[str, Cases] = {
    "views": views.cases,
    "losses": losses.cases,
    "steps": steps.cases,
    "threads": threads.cases,
    "memory": memory.cases,
    "families": families.cases,
}
ASKED = ("families",)  # suites that run only where they are named, since they take long
STORED = Path(__file__).parent / "results.json"
SLOWER = 0.15  # a ratio that fell by more than this share fails the check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status, 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", help=f"some of {', '.join(SUITES)}; default: all but the last"
    )
    parser.add_argument("--rounds", type=int, default=7, help="times that each side is measured")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=STORED, help="the JSON file to write")
    parser.add_argument(
        "--check", action="store_true", help="compare with that file, and do not write it"
    )
    asked = parser.parse_args(arguments)
    unknown = set(asked.suites) - set(SUITES)
    if unknown:
        parser.error(f"unknown suite {min(unknown)}; choose {', '.join(SUITES)}")
    device = torch.device(asked.device)
    stored = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    on = hardware(device)
    print(", ".join(f"{name} {value}" for name, value in on.items() if value))
    chosen = asked.suites or [suite for suite in SUITES if suite not in ASKED]
    found = {suite: run(suite, asked.rounds, device) for suite in chosen}
    if asked.check:
        return check(stored.get("results", {}), found)
    results = {"hardware": on, "results": stored.get("results", {}) | found}
    asked.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"written to {asked.out}")
    return 0


def run(suite: str, rounds: int, device: torch.device) -> dict[str, dict[str, Any]]:
    """Return {case: its times} of one suite; each is printed when it is done."""
    found = {}
    for case in SUITES[suite](device):
        row = found[case.name] = compare(case, rounds, device)
        spread = f"{row['low']:.2f} to {row['high']:.2f}"
        speed = f"{row['ours']:.4g} against {row['theirs']:.4g} {row['unit']}"
        print(f"{suite:8} {case.name:44} {row['ratio']:6.2f} ({spread})  {speed}", flush=True)
    return found


def check(stored: dict[str, Any], found: dict[str, Any]) -> int:
    """Print the ratios that fell by more than `SLOWER`; return 1 if there are any, else 0.

    stored, found: {suite: {case: its times}}. Cases that only one of them has are left out.
    """
    slower = [
        f"{suite}: {name}: {stored[suite][name]['ratio']:.2f} before, {row['ratio']:.2f} now"
        for suite, rows in found.items()
        for name, row in rows.items()
        if name in stored.get(suite, {})
        and row["ratio"] < (1 - SLOWER) * stored[suite][name]["ratio"]
    ]
    print("\n".join([f"{len(slower)} slower than before by more than {SLOWER:.0%}", *slower]))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())

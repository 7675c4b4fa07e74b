"""Broken files by the hundred: each is read or skipped, soon and in little memory."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mutants
import pytest

PROGRAM = Path(mutants.__file__)


def outcomes(first, last, folder):
    """What `mutants.py` says of each mutant, after checking that it came to its end."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, PROGRAM, str(first), str(last), str(folder)],
        capture_output=True,
        text=True,
        timeout=60 + (last - first),
        env={"PYTHONPATH": str(PROGRAM.parent.parent), "OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    where = lines[-1] if lines else {}
    assert done.returncode == 0, f"{done.returncode} at {where}: {done.stderr[-3000:]}"
    assert "loaded" in where
    return [begin | end for begin, end in zip(lines[:-1:2], lines[1:-1:2])]


@pytest.mark.parametrize("first, last", [(0, 320), pytest.param(320, 4320, marks=pytest.mark.long)])
def test_no_broken_file_ends_a_run(first, last, tmp_path):
    step, seen = 500, []
    for start in range(first, last, step):
        seen += outcomes(start, min(last, start + step), tmp_path / str(start))
    assert [line["end"] for line in seen] == list(range(first, last))
    assert max(line["bytes"] for line in seen) < mutants.BYTES
    kinds = Counter(line["kind"] for line in seen)
    skipped = Counter(line["kind"] for line in seen if line["why"])
    assert set(kinds) == set(mutants.KINDS)
    assert all(0 < skipped[kind] < n for kind, n in kinds.items()), "some are read, some skipped"
    slowest, largest = (max(seen, key=lambda line: line[k]) for k in ("seconds", "bytes"))
    refused = sum("MemoryError" in line["why"] for line in seen)  # more than BYTES was asked for
    print(f"{len(seen)} files, {refused} asked for too much memory")
    print(f"skipped {dict(skipped)} of {dict(kinds)}")
    print(f"slowest {slowest}\nlargest {largest}")

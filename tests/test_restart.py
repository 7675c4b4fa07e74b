"""The command line, killed: after SIGKILLs at random moments a run ends bitwise the same."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from disturb import same

from msr.train import checkpoint

PARAMS = dict(
    image_size=16,
    epochs=24,
    seeds=1,
    seed=5,
    vanilla=False,
    max_images=320,
    probe_images=50,
    batch_size=32,
    precision="float32",
    device="cpu",
    num_workers=0,
    adaptive=True,
    save_every=3,
)


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "msr.train", str(folder / "run.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "IMAGENET_DIR": ""},
    )


def folder_of(tmp_path, name):
    """A folder with run.json, and the folder of the run that it describes."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(PARAMS | {"out_dir": str(folder)}))
    return folder, folder / "spaces_seed5"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nobody disturbed: (its last checkpoint, seconds before training, and of it)."""
    folder, run = folder_of(tmp_path_factory.mktemp("run"), "whole")
    begun, process = time.monotonic(), start(folder)
    while not written(run) and process.poll() is None:
        time.sleep(0.005)
    ready = time.monotonic()
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, out
    return checkpoint.latest(run), ready - begun, time.monotonic() - ready


def written(run):
    """When config.json was last written, or None; each start writes it just before it trains."""
    with contextlib.suppress(FileNotFoundError):
        return (run / "config.json").stat().st_mtime_ns


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.long)])
def test_kills(undisturbed, tmp_path, kills):
    (whole, preparing, training), (folder, run) = undisturbed, folder_of(tmp_path, "killed")
    chance, reached = random.Random(0), []
    for kill in range(kills):
        while_training = kill % 4 < 3  # the others come before it
        before, process = written(run), start(folder)
        while while_training and written(run) == before:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1 * training if while_training else 0.9 * preparing))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"kill {kill} came too late"
        reached.append(checkpoint.latest(run)["step"] if checkpoint.checkpoints(run) else 0)
    process = start(folder)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, out
    assert reached == sorted(reached) and 0 < reached[-1] < whole["step"], reached
    assert f"resuming from step {reached[-1]} of {whole['step']}" in out
    state = checkpoint.latest(run)
    for part in ("model", "optimizer", "objective", "generator", "step"):
        assert same(state[part], whole[part]), part
    assert len(checkpoint.checkpoints(run)) == 2


def test_sigterm_ends_cleanly_and_the_run_resumes(undisturbed, tmp_path):
    (whole, *_), (folder, run) = undisturbed, folder_of(tmp_path, "stopped")
    process = start(folder)
    while not checkpoint.checkpoints(run):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=60)[0]
    step = checkpoint.latest(run)["step"]
    assert process.returncode == 143 and "Traceback" not in out
    assert f"stopped after step {step} of {whole['step']}" in out
    process = start(folder)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 0 and same(checkpoint.latest(run)["model"], whole["model"])


@pytest.mark.parametrize(
    "text, says",
    [
        ('{"epoch": 3}', "unknown parameter 'epoch' (did you mean 'epochs'?)"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, says):
    (tmp_path / "run.json").write_text(text)
    process = start(tmp_path)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and len(out.splitlines()) == 1
    assert out.startswith("msr: ValueError: ") and says in out

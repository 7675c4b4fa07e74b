"""Several ranks as real processes under torchrun: two machines, and SIGTERM to all of them."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import ranks
import torch
from torch.utils.data import DataLoader

from msr import load
from msr.data import images, workers
from msr.experiments import launch
from msr.train import checkpoint


@pytest.mark.long
def test_two_machines_of_two_ranks_each(tmp_path):
    """Two agents of torchrun on this host, each with two ranks, train one run to its end."""
    folder = tmp_path / "two"
    run = ranks.write(folder, batch_size=16)
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{ranks.free_port()}"]
    machine = ["--nnodes", "2", "--nproc-per-node", "2", *meet]
    processes = [ranks.start(folder, *machine) for _ in range(2)]
    said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    state = checkpoint.latest(run)
    assert state["step"] == 8 and len(state["rng"]) == 4, "a random state for each of four ranks"


# ------------------------------------------------------------------------- SIGTERM to all processes

TWO = ("--standalone", "--nproc-per-node", "2")


def stopped(folder, run, *torchrun):
    """Start, send SIGTERM to the whole group after the first checkpoint; return what was said."""
    process = ranks.start(folder, *torchrun)
    while not checkpoint.checkpoints(run):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=25)[0]  # torchrun would kill after 30 seconds
    step = checkpoint.latest(run)["step"]
    assert f"SIGTERM: stopped after step {step} of 96" in said and step < 96, said
    return said, process.returncode


@pytest.fixture
def values(photographs, monkeypatch):
    """A run on files, whose lines of the log are far apart: 16 epochs of 6 steps."""
    monkeypatch.setattr(images, "AT_ONCE", 0)
    return dict(data_dir=str(photographs), batch_size=8, epochs=16, save_every=5, num_workers=2)


def weights(run):
    return list(load(run).model.state_dict().values())


def test_sigterm_to_the_whole_group(values, tmp_path, capsys):
    run = ranks.write(tmp_path / "run", **values)
    _, status = stopped(tmp_path / "run", run)
    assert status == 143
    for name in ("whole", "run"):
        launch.run(ranks.TINY | values | {"num_workers": 0, "out_dir": str(tmp_path / name)})
    assert "resuming from step" in capsys.readouterr().out
    assert all(map(torch.equal, weights(tmp_path / "whole" / "spaces_seed0"), weights(run)))


@pytest.mark.long
def test_sigterm_to_two_ranks_and_their_workers(values, tmp_path):
    whole, run = (ranks.write(tmp_path / name, **values) for name in ("whole", "run"))
    said, _ = stopped(tmp_path / "run", run, *TWO)
    assert "msr: Stopped" in said
    for name in ("whole", "run"):
        process = ranks.start(tmp_path / name, *TWO)
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said
    assert "resuming from step" in said and all(map(torch.equal, weights(whole), weights(run)))


def test_a_worker_is_ended_by_its_parent_alone():
    """So PyTorch may still end its workers, and nobody else's SIGTERM can."""
    loader = DataLoader(range(8), num_workers=1, worker_init_fn=workers.ignore_sigterm)
    before = set(multiprocessing.active_children())
    with workers.sheltered():
        batches = iter(loader)
    (worker,) = set(multiprocessing.active_children()) - before
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    assert next(batches) == 0 and worker.is_alive(), "from another process"
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0

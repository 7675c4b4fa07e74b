"""Several ranks as real processes under torchrun: two machines, and SIGTERM to all of them."""

import pytest
import ranks

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

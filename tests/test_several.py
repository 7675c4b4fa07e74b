"""Several networks at once are those that would have been trained one after the other."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch
from joblib import parallel_config

from msr.experiments import several
from msr.experiments.setup import Setup


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    small.few_shapes(monkeypatch)


@pytest.fixture
def setup(tmp_path):
    return small.imagenet_setup(width=4, hidden="8", out_dir=str(tmp_path / "runs"))


def weights(run):
    return torch.cat([p.flatten() for p in run.model.state_dict().values()])


def test_they_are_those_of_turns(setup, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(several, "at_once", lambda *_: 2)
    with parallel_config("loky", inner_max_num_threads=1):
        ours, plain = several.trained(setup, [0, 1], plain=True)
    printed = capsys.readouterr().out
    assert "not trained again" not in printed
    turns = small.imagenet_setup(width=4, hidden="8", out_dir=str(tmp_path / "turns"))
    for run, vanilla in ((ours[0], False), (ours[1], False), (plain[0], True), (plain[1], True)):
        alone = turns.fit(run.seed, vanilla, progress=False)
        torch.testing.assert_close(weights(run), weights(alone), atol=1e-6, rtol=1e-5)
        assert [line["step"] for line in run.log] == [line["step"] for line in alone.log]
    monkeypatch.setattr("msr.evaluate.drawn", lambda *_, **__: pytest.fail("probed again"))
    assert setup.probe(ours[0])["h"].keys() == setup.probe(plain[1])["h"].keys()


def answered(run):
    """The weights of a trained network and the process that read them; prints its seed."""
    print(f"seed {run.seed}")
    return weights(run).double().sum().item(), os.getpid()


@pytest.mark.parametrize("cores", [1, 2])
def test_runs_are_measured_beside_each_other(setup, monkeypatch, capsys, cores):
    runs = [setup.fit(seed, progress=False) for seed in (0, 1, 2)]
    monkeypatch.setattr(several, "cores", lambda: cores)
    capsys.readouterr()
    found = several.measured(answered, runs)
    assert [total for total, _ in found] == [weights(run).double().sum().item() for run in runs]
    assert (os.getpid() in {process for _, process in found}) == (cores == 1)
    assert capsys.readouterr().out.split("\n")[:3] == ["seed 0", "seed 1", "seed 2"]
    assert several.measured(answered, []) == []


def test_what_they_print_is_printed(setup, monkeypatch, capsys):
    monkeypatch.setattr(several, "at_once", lambda *_: 2)
    with parallel_config("sequential"):
        several.trained(setup, [0, 1], probe=None)
        capsys.readouterr()
        several.trained(setup, [0, 1], probe=None)
    assert capsys.readouterr().out.count("not trained again") == 2


def test_an_error_is_that_of_the_network(setup, monkeypatch):
    def fail(self, seed, *_, **__):
        raise ValueError(f"seed {seed} is wrong")

    monkeypatch.setattr(several, "at_once", lambda *_: 2)
    monkeypatch.setattr(Setup, "fit", fail)
    with parallel_config("sequential"), pytest.raises(ValueError, match="seed 0 is wrong"):
        several.trained(setup, [0, 1])


def test_on_a_gpu_or_several_devices_they_take_turns(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 1)
    assert [several.at_once([cpu], jobs) for jobs in (0, 1, 3, 9)] == [1, 1, 3, 4]
    assert several.at_once([cuda], 9) == several.at_once([cpu], 9, devices=2) == 1
    assert several.at_once([cpu, cuda], 9) == several.at_once([], 0) == 1


def test_jobs_say_on_how_many_devices_they_work(setup, monkeypatch):
    asked = []
    monkeypatch.setattr(several, "at_once", lambda *some: asked.append(some) or 1)
    both = replace(setup, config=setup.config.change(devices=2, batch_size=16))
    several.mapped(both, lambda *_: None, [()] * 3, ["a", "b", "c"])
    monkeypatch.setattr(Setup, "fit", lambda *_, **__: None)
    several.trained(both, [0, 1], plain=True)
    assert asked == [([setup.device], 3, 2), ([setup.device], 4, 2)]


def test_results_come_in_the_order_of_the_jobs(setup, monkeypatch, capsys):
    monkeypatch.setattr(several, "at_once", lambda *_: 2)
    with parallel_config("loky"):
        found = several.mapped(setup, power, [(2, 3), (3, 2), (5, 1)], ["a", "b", "c"])
    assert found == [8, 9, 5]
    assert [text for text in capsys.readouterr().out.split() if text.isdigit()] == ["8", "9", "5"]


def power(setup, base, exponent):
    """A job that prints what it returns."""
    assert setup.config.num_workers == 0
    print(base**exponent)
    return base**exponent


SCRIPT = """
import os, sys, time
from msr.experiments import several

def wait(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(120)

if __name__ == "__main__":
    list(several.answers(wait, [(sys.argv[1],)] * 2, 2))
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_networks_do_not_outlive_the_page_that_trains_them(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "begun"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [sys.executable, str(tmp_path / "script.py"), str(folder)]
    page = subprocess.Popen(command, env=environment)
    try:
        assert soon(lambda: len(list(folder.iterdir())) == 2), "both have begun"
        children = [int(path.name) for path in folder.iterdir()]
        page.send_signal(signal.SIGKILL)
        page.wait(10)
        assert soon(lambda: not any(map(alive, children)), 20)
    finally:
        page.kill()


def soon(condition, seconds=90):
    """Whether a condition comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    return condition()


def alive(pid):
    """Whether a process runs; a zombie, which nobody has waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

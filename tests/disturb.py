"""What goes wrong in a week: a driver that disturbs a run again and again, and checks it.

    python tests/disturb.py --minutes 60

A `World` is a folder of images and a run of `python -m msr.train` on them, on one or two ranks. A
fault is a function that disturbs one start of it. After every fault the newest checkpoint must be
readable and no older than before, and the run must have ended well, by SIGTERM, or with one line
that says why. When the run is complete, its weights must be those of a run that nobody disturbed.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from pictures import noise

from msr.train import checkpoint

PARAMS = dict(
    image_size=16,
    epochs=80,
    seeds=1,
    vanilla=False,
    probe_images=50,
    batch_size=16,
    width=4,
    hidden=[16],
    precision="float32",
    device="cpu",
    num_workers=1,
    save_every=3,
    log_every=500,  # so a stop must not wait for a line of the log
)
DISK = "16m"  # size of the disk that is filled
# root may write everywhere; without these capabilities it is bound by permissions as a user is
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
PATIENCE = 25  # seconds in which a run must stop when asked; torchrun kills after 30
LAST = f"epoch {PARAMS['epochs']}/{PARAMS['epochs']}"  # what a run that is trained has printed
STATUS = {0, 1, 2, 143, -signal.SIGKILL, -signal.SIGTERM}  # 1: torchrun's for a failed rank


class World:
    """Images, and a run on them that may be started again and again."""

    def __init__(self, root: Path, ranks: int = 1):
        self.root, self.ranks = root, ranks
        self.data, self.out = root / "images", root / "disk"
        self.out.mkdir(parents=True)
        for split, n in (("train", 24), ("val", 12)):
            for number, name in enumerate(("dark", "light")):
                folder = self.data / split / name
                folder.mkdir(parents=True)
                for i in range(n):
                    noise(1000 * number + 100 * len(split) + i, (20, 24)).save(folder / f"{i}.png")
        self.mounted = os.geteuid() == 0 and self._mount()
        values = PARAMS | {"data_dir": str(self.data), "out_dir": str(self.out / "runs")}
        (root / "run.json").write_text(json.dumps(values))

    def _mount(self) -> bool:
        """Put `out` on a small disk of its own; return whether that is possible here."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.out)]
        with contextlib.suppress(FileNotFoundError):
            return subprocess.run(command, capture_output=True).returncode == 0
        return False

    def close(self) -> None:
        """Remove everything."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.out)])
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.out / "runs" / "spaces_seed0"

    def start(self, **environment: str) -> subprocess.Popen:
        """Start the run, as the leader of a process group."""
        script = str(Path(__file__).with_name("faulty.py"))
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        several = [*torchrun, str(self.ranks)] if self.ranks > 1 else []
        plain = AS_USER if os.geteuid() == 0 and shutil.which(AS_USER[0]) else []
        own = {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.root / "cache")}
        own["PYTHONPATH"] = str(Path(__file__).parent.parent)
        self.printed = self.root / "printed.txt"
        with open(self.printed, "w") as output:
            return subprocess.Popen(
                [*plain, sys.executable, *several, script, str(self.root / "run.json")],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | own | environment,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen, seconds: float = 120) -> int:
        """Wait for the end; return the exit status. Whatever is left of the group is killed."""
        try:
            return process.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def step(self) -> int:
        """The step of the newest checkpoint, 0 without one."""
        found = checkpoint.checkpoints(self.run)
        return int(found[0].stem.split("-")[1]) if found else 0

    def begun(self, process: subprocess.Popen) -> bool:
        """Wait until this start trains; return whether it does. False: it ended before."""
        before = self._config()
        while process.poll() is None:
            if self._config() != before:
                return True
            time.sleep(0.01)
        return False

    def _config(self) -> int:
        """When config.json was written last; each start writes it just before it trains."""
        with contextlib.suppress(OSError):
            return (self.run / "config.json").stat().st_mtime_ns
        return 0


# ------------------------------------------------------------------------------------------ faults
# Each disturbs a process that trains, and puts the world right again once that has ended.


def kill(world: World, process: subprocess.Popen) -> int:
    """The machine loses power."""
    os.killpg(process.pid, signal.SIGKILL)
    return world.finish(process)


def kill_one_rank(world: World, process: subprocess.Popen) -> int:
    """One process is killed, as for memory: a rank where there are several."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    ranks = found.stdout.split() if world.ranks > 1 else []
    os.kill(int(ranks[-1]) if ranks else process.pid, signal.SIGKILL)
    return world.finish(process)


def stop(world: World, process: subprocess.Popen) -> int:
    """A scheduler asks the run to stop."""
    process.send_signal(signal.SIGTERM)
    return world.finish(process, PATIENCE)


def stop_everyone(world: World, process: subprocess.Popen) -> int:
    """A scheduler asks every process of the run to stop, also those that decode images."""
    os.killpg(process.pid, signal.SIGTERM)
    return world.finish(process, PATIENCE)


def fill_disk(world: World, process: subprocess.Popen) -> int:
    """The disk is full for two seconds."""
    filler = world.out / "filler"
    with contextlib.suppress(OSError), open(filler, "wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    time.sleep(2)
    filler.unlink()
    return world.finish(process)


def forbid_writing(world: World, process: subprocess.Popen) -> int:
    """Nothing may be written for two seconds."""
    world.run.chmod(0o555)
    time.sleep(2)
    world.run.chmod(0o755)
    return world.finish(process)


def hide_data(world: World, process: subprocess.Popen) -> int:
    """The folder of images is gone until the run has ended."""
    away = world.data.with_name("away")
    world.data.rename(away)
    try:
        return world.finish(process)
    finally:
        away.rename(world.data)


def truncate(world: World, process: subprocess.Popen) -> int:
    """The machine loses power, and the newest checkpoint its end."""
    status = kill(world, process)
    found = checkpoint.checkpoints(world.run)
    if len(found) > 1:
        os.truncate(found[0], found[0].stat().st_size // 2)
    return status


def jump(world: World, process: subprocess.Popen) -> int:
    """The clock jumps (see `start`), and the run is asked to stop."""
    return stop(world, process)


FAULTS = (
    kill,
    kill_one_rank,
    stop,
    stop_everyone,
    fill_disk,
    forbid_writing,
    hide_data,
    truncate,
    jump,
)


# ------------------------------------------------------------------------------------------ checks


def strike(world: World, fault, delay: float, chance: random.Random) -> int:
    """Start the run, let the fault strike `delay` seconds after training began, check what is left.

    Returns the exit status.
    """
    before = world.step()
    environment = {"JUMPS": str(chance.random())} if fault is jump else {}
    process = world.start(**environment)
    if world.begun(process):
        time.sleep(delay)
        status = fault(world, process)
    else:
        status = world.finish(process)
    said = world.printed.read_text()
    told = f"{fault.__name__} after {delay:.2f} s: status {status}\n{said}"
    assert status in STATUS, told
    if status == 2:  # one line of ours, and nothing else that looks like an error
        assert sum(line.startswith("msr: ") for line in said.splitlines()) == 1, told
    if world.ranks == 1:
        assert "Traceback" not in said, told
    elif fault in (fill_disk, forbid_writing, hide_data) and status:  # torchrun adds its own lines
        assert any(line.startswith("msr: ") for line in said.splitlines()), told
    if fault in (stop, stop_everyone, jump):
        late = status == -signal.SIGTERM and LAST in said  # trained and saved, not yet gone
        assert status in (0, 143) or world.ranks > 1 or late, told
        assert status == 0 or "stopped after step" in said or late, told
    saved = checkpoint.latest(world.run) if checkpoint.checkpoints(world.run) else {"step": 0}
    assert saved["step"] >= before or fault is truncate, told
    return status


def complete(world: World) -> dict:
    """Let nobody disturb the run until it is complete; return its last checkpoint."""
    status = world.finish(world.start())
    assert status == 0, world.printed.read_text()
    left = [path.name for path in world.run.iterdir() if path.suffix == ".tmp"]
    assert not left, left
    assert len(checkpoint.checkpoints(world.run)) <= checkpoint.KEPT
    return checkpoint.latest(world.run)


def same(a, b) -> bool:
    """Whether two values are equal, with tensors nested in dicts and lists."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def undisturbed(world: World) -> tuple[dict, float]:
    """Return the last checkpoint of a run that nobody disturbs, and its seconds of training."""
    process = world.start()
    assert world.begun(process), world.printed.read_text()
    begun = time.monotonic()
    assert world.finish(process) == 0, world.printed.read_text()
    seconds = time.monotonic() - begun
    saved = checkpoint.latest(world.run)
    shutil.rmtree(world.out / "runs")
    return saved, seconds


def check_equal(saved: dict, whole: dict) -> None:
    """Assert that a disturbed run ended as the undisturbed one."""
    for part in ("model", "optimizer", "objective", "generator", "step"):
        assert same(saved[part], whole[part]), f"{part} differs"


# ------------------------------------------------------------------------------------------- story


def story(ranks: int, seed: int, faults=FAULTS, minutes: float = 0, show=lambda text: None) -> dict:
    """Disturb runs by each of `faults` in turn, or by random ones for so many minutes.

    Returns how often each fault struck, and how many runs were completed and equal.
    """
    chance, counts = random.Random(seed), dict.fromkeys((f.__name__ for f in faults), 0)
    world = World(Path(tempfile.mkdtemp(prefix="faults-")), ranks)
    until, runs, pending = time.monotonic() + 60 * minutes, 0, list(faults)
    try:
        whole, seconds = undisturbed(world)
        while pending or time.monotonic() < until:
            fault = pending.pop(0) if pending else chance.choice(faults)
            if fault is fill_disk and not world.mounted:
                continue
            status = strike(world, fault, chance.uniform(0, 0.3 * seconds), chance)
            counts[fault.__name__] += 1
            show(f"{fault.__name__}: status {status}, step {world.step()} of {whole['step']}")
            if world.step() == whole["step"]:
                check_equal(complete(world), whole)
                shutil.rmtree(world.out / "runs")
                runs += 1
        check_equal(complete(world), whole)
        return counts | {"runs": runs + 1}
    finally:
        world.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for ranks in (1, 2):
        print(ranks, story(ranks, options.seed, minutes=options.minutes / 2, show=print))

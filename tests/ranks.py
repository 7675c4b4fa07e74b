"""Real processes for the tests: the command alone, or several ranks of it under torchrun."""

import json
import os
import socket
import subprocess
import sys

TINY = dict(
    image_size=16,
    epochs=2,
    seeds=1,
    vanilla=False,
    max_images=64,
    probe_images=50,
    batch_size=32,
    precision="float32",
    device="cpu",
    num_workers=0,
    log_every=1000,
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(folder, **changes):
    """Write run.json into a new folder, where the run goes too; return the folder of the run."""
    folder.mkdir(parents=True)
    values = TINY | {"out_dir": str(folder)} | changes
    (folder / "run.json").write_text(json.dumps(values))
    return folder / "spaces_seed0"


# Small sets stay files too, so that workers decode them while a run trains.
SCRIPT = """\
from msr.data import images
from msr.experiments import launch
images.AT_ONCE = 0
launch.main()
"""


def start(folder, *torchrun):
    """Start the command on folder/run.json in a process group of its own.

    torchrun: its arguments, for several ranks; none: one process.
    """
    script = folder / "train.py"
    script.write_text(SCRIPT)
    several = ["-m", "torch.distributed.run", *torchrun] if torchrun else []
    environment = {"OMP_NUM_THREADS": "1", "IMAGENET_DIR": "", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *several, str(script), str(folder / "run.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        start_new_session=True,
    )

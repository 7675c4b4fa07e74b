"""Training: one loop for every experiment, with its settings, checkpoints and log.

`fit` trains a network, saves checkpoints, and resumes a run that was interrupted. The modules of
this package are its parts: what happens at which step (schedule), what changes from step to step
(state), how an earlier run is found (resume), how one goes on whose loss became nan (diverged), and
the files that a run writes (checkpoint, log).
"""

from msr.train.device import pick_device, use_bf16
from msr.train.diverged import NonFiniteLoss
from msr.train.log import lines_of
from msr.train.loop import fit, forward
from msr.train.progress import Progress
from msr.train.settings import Training
from msr.train.state import NotSaved
from msr.train.stop import Stopped

__all__ = [
    "NonFiniteLoss",
    "NotSaved",
    "Progress",
    "Stopped",
    "Training",
    "fit",
    "forward",
    "lines_of",
    "pick_device",
    "use_bf16",
]

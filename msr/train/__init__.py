"""Training: one loop for every experiment, with its settings, checkpoints and log.

`fit` trains a network, saves checkpoints, and resumes a run that was interrupted. The modules of
this package are its parts: what happens at which step (schedule), what changes from step to step
(state), how an earlier run is found (resume), and the files that a run writes (checkpoint, log).
"""

from msr.train.device import pick_device, use_bf16
from msr.train.log import lines_of
from msr.train.loop import NonFiniteLoss, fit, forward
from msr.train.progress import Progress
from msr.train.settings import Training
from msr.train.stop import Stopped

__all__ = [
    "NonFiniteLoss",
    "Progress",
    "Stopped",
    "Training",
    "fit",
    "forward",
    "lines_of",
    "pick_device",
    "use_bf16",
]

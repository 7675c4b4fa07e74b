"""`python -m msr.train` for the tests of faults: images stay files, and the clock may jump."""

import os
import random
import time

from msr.data import images
from msr.experiments.launch import main

images.AT_ONCE = 0  # otherwise these few images would be decoded once and kept in memory

if os.environ.get("JUMPS"):
    clock, chance = time.time, random.Random(os.environ["JUMPS"])

    def jumping() -> float:
        """The time of day, wrong by up to a year either way and different at every call."""
        return clock() + chance.uniform(-3e7, 3e7)

    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)

if __name__ == "__main__":
    main()

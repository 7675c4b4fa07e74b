"""The command `python -m msr.train run.json`, alone or under torchrun."""

from msr.experiments.launch import main

if __name__ == "__main__":  # torchrun --nproc-per-node 8 -m msr.train run.json
    main()

"""The networks that come with the library, as runs of an experiment: for pages of a short run."""

from __future__ import annotations

from msr import weights
from msr.experiments.setup import ImageRun, Setup
from msr.weights import stored


def shipped(setup: Setup, name: str) -> ImageRun | None:
    """Return a network that comes with the library as a run of `setup`; its log is empty.

    name: one of `weights.shipped()`. None if `setup` trains another network, with other spaces or
    by another family.
    """
    trained = weights.load(stored.SHIPPED / f"{name}.safetensors", setup.device)
    config = trained.config
    if (config["network"], config["family"]) != (setup.network(), setup.config.family):
        return None
    seed = int(config["provenance"]["seed"])
    _, objective = setup.build(seed)
    return ImageRun(trained.model, objective, seed, [], views=setup.views)

"""Networks that were trained earlier, read from their folders to be judged, and never changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import torch

from msr import evaluate, safe, weights
from msr.augment import pipelines
from msr.data import Images
from msr.experiments import several
from msr.experiments.image_parameters import ImageParameters
from msr.experiments.setup import ImageRun, Setup, embed
from msr.losses import FAMILIES
from msr.objective import Objective
from msr.report import kept, names, sentences
from msr.spaces import Spaces
from msr.train import Training
from msr.train.checkpoint import differences
from msr.views import Views

DECIDING = ("network", "family")  # parts of config.json that networks in one table share
# parameters of an experiment, beside those that a network shows, that say how it was trained
CHOSEN = (
    *("augmentation", "lambdas", "content_spread", "content_pairs", "joint", "paired"),
    *("width", "hidden", "separate_style", "temperature", "loss_settings", "init"),
)
SEEDED = re.compile(r"(spaces|vanilla)_seed(\d+)")  # the name of a run's folder


# {"spaces" or "vanilla": its networks with their config.json}
Found = dict[str, list[tuple[ImageRun, dict[str, Any]]]]


@dataclass(frozen=True)
class Earlier:
    """Networks trained earlier, in the place of a `Setup`: they can be judged, not trained."""

    config: Any  # the parameters, with the networks' own values in place of those for training
    spaces: Spaces
    device: torch.device
    where: str  # as the parameter `trained` names them
    runs: Sequence[ImageRun]
    baseline: Sequence[ImageRun]  # plain self-supervision with the same seeds; may be empty
    record: dict[str, Any]  # the config.json of the first run

    def embed(self, run: ImageRun, split: Images) -> evaluate.Features:
        """Return {space: [N, d]} of a split's plain views: h, every space and `joined`."""
        return embed(run, split, getattr(self.config, "num_workers", 0))

    def fit(self, seed: int, vanilla: bool = False) -> NoReturn:
        """Raise ValueError, one line: these networks are trained already."""
        raise ValueError(
            f"trained = '{self.where}': nothing to train; leave trained empty to train"
        )

    def said(self) -> str:
        """Return the first lines of a page: which networks it judges."""
        c, seeds = self.config, ", ".join(str(run.seed) for run in self.runs)
        sizes = ", ".join(
            f"{names.markdown(n)} {d}" for n, d in zip(self.spaces.names, self.spaces.sizes)
        )
        folder = names.code(Path(self.where).name)
        lines = [
            f"**This page judges networks trained earlier**, in {folder}, which it "
            f"reads and does not change: family `{c.family}`, backbone `{c.backbone}`, "
            f"{c.image_size} px, spaces {sizes}, epochs: "
            f"{c.epochs}, seed {seeds}, on {self.device.type}."
        ]
        if len(self.runs) == 1:
            lines.append("There is one network, so no seeds to compare and no verdicts.")
        if not self.baseline:
            lines.append("There is no plain network beside it, so that comparison is left out.")
        return " ".join(lines)


def read(asked: ImageParameters, where: str, device: torch.device) -> Earlier:
    """Return the networks in `where`, on the device.

    where: a folder with runs `spaces_seed<n>`, and perhaps `vanilla_seed<n>`, or anything that
    `msr.load` takes. Their own configuration decides spaces, image size and family. Raises
    ValueError, one line, if there is no network, for an unfinished run, for networks that differ
    from one another, for plain networks of other seeds, and for a parameter in `asked` that is
    given and differs from the networks.
    """
    found: Found = {"spaces": [], "vanilla": []}
    for kind, path in folders(where):
        found[kind].append(network(path, device))
    agree(where, found)
    record, first = found["spaces"][0][1], found["spaces"][0][0]
    own = {
        "image_size": record["network"]["image_size"],
        "groups": first.model.spaces.names[1:],
        "sizes": first.model.spaces.sizes,
        "family": record["family"],
        "backbone": record["network"]["backbone"],
    }
    wrong = [
        f"{name} = {getattr(asked, name)!r}, there {value!r}"
        for name, value in own.items()
        if getattr(asked, name) not in (type(asked).model_fields[name].default, value)
    ]
    if wrong:
        raise ValueError(
            f"the networks in '{where}' differ from the parameters ({'; '.join(wrong)}); "
            "leave these parameters out"
        )
    runs, baseline = ([run for run, _ in found[kind]] for kind in ("spaces", "vanilla"))
    trained = {n: v for n, v in record["training"].items() if n in type(asked).model_fields}
    chosen = record.get("experiment")
    if isinstance(chosen, dict):  # else a record that msr did not write
        own |= {name: chosen[name] for name in CHOSEN if name in chosen}
    own |= trained | {"seeds": len(runs), "seed": min(run.seed for run in runs)}
    config = asked.change(**own)
    return Earlier(config, first.model.spaces, device, where, runs, baseline, record)


def folders(where: str) -> list[tuple[str, str]]:
    """Return (kind, path) of the runs in a folder, by seed; `where` itself if it holds none.

    Where the metrics.json of a page lies beside them, they are the runs of that page: others, of
    seeds that an earlier page had, are left out.
    """
    root, runs = Path(where).expanduser(), []
    wanted = seeds_of(root / "metrics.json")
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        named = SEEDED.fullmatch(path.name)
        if named and path.is_dir() and (not wanted or int(named[2]) in wanted):
            runs.append((int(named[2]), named[1], str(path)))
    if not any(kind == "spaces" for _, kind, _ in runs):
        return [("spaces", where)]
    return [(kind, path) for _, kind, path in sorted(runs)]


def seeds_of(metrics: Path) -> range:
    """Return the seeds of the page that wrote a metrics.json; none if there is no such file."""
    try:
        params = kept.content(metrics)["params"]
        return range(params["seed"], params["seed"] + params["seeds"])
    except (KeyError, TypeError):
        return range(0)


def network(path: str, device: torch.device) -> tuple[ImageRun, dict[str, Any]]:
    """Return a network in evaluation mode, as a run without a log, and its config.json.

    Raises ValueError, one line, if there is none, or if its run is unfinished.
    """
    trained = weights.load(path, device)
    config = trained.config
    with safetensors.safe_open(weights.locate(path), "pt") as file:
        metadata = file.metadata() or {}
    try:
        training = Training(**config["training"] | {"seed": config["training"]["seed"]})
        steps, family = int(config["steps"]), FAMILIES[config["family"]].name
        step = int(metadata.get("step", steps))
    except Exception as error:  # a record that msr did not write
        raise ValueError(
            f"'{path}' does not say how it was trained ({safe.line(error)}); give a run of msr"
        ) from None
    if step < steps:
        raise ValueError(
            f"'{path}' is unfinished (step {step} of {steps}): resume its training first"
        )
    size = config["network"]["image_size"]
    objective = Objective(family, trained.model.spaces).to(device)
    views = Views(*pipelines("medium", size))  # the plain view is the same in every preset
    return ImageRun(trained.model, objective, training.seed, [], views=views), config


def agree(where: str, found: Found) -> None:
    """Raise ValueError, one line, for networks that cannot stand in one table."""
    for some in found.values():
        for run, config in some[1:]:
            first, other = ({n: c[n] for n in DECIDING} for c in (some[0][1], config))
            differing = differences(first, other)
            if differing:
                raise ValueError(
                    f"the networks in '{where}' differ: seed {run.seed} has "
                    f"{'; '.join(differing)}; give a folder of equal ones, or one run's folder"
                )
    seeds = {kind: [run.seed for run, _ in some] for kind, some in found.items()}
    if seeds["vanilla"] and seeds["vanilla"] != seeds["spaces"]:
        raise ValueError(
            f"'{where}' has style spaces of seeds {seeds['spaces']} and plain networks of seeds "
            f"{seeds['vanilla']}; both need the same seeds, or give one run's folder"
        )


# -------------------------------------------------------------------------- for the notebook


def networks(setup: Setup | Earlier) -> tuple[list[ImageRun], list[ImageRun]]:
    """Return (runs with style spaces, runs of plain self-supervision), one of each per seed.

    They are trained here, or were trained earlier; then there may be no plain ones.
    """
    if isinstance(setup, Earlier):
        return list(setup.runs), list(setup.baseline)
    return several.trained(setup, setup.config.all_seeds, plain=True, probe=None)


def made_by(notebook: str, setup: Setup | Earlier) -> str:
    """Return the first lines of a page: what it judges, and how that was trained."""
    if isinstance(setup, Earlier):
        return setup.said()
    profile = setup.config.profile
    return sentences.made_by(notebook, profile, setup.facts(probed=False, paper=""))

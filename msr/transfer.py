"""Transfer: frozen spaces, judged by linear classification of other images; tasks sorted by what decides them."""
from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import experiment, metrics, probes
from .config import known, whole
from .data import images, sprites, trifeature
from .data.images import Images
from .experiment import Run, Setup

OWN = dict(tasks="", task_images=1000, shots=0, n_l2=9, trained="")      # what this experiment adds to `experiment.DEFAULTS`
PARAMETERS = (*(name for name in experiment.PARAMETERS if name != "probe_images"), *OWN, "profile")
KINDS = ("content", "appearance", "spatial")
L2 = (1e-6, 1e5)                                              # range of the penalty, as in Ericsson et al. 2021
DRAWS = 5                                                     # of the few shots
CELLS = 3                                                     # places are told apart on a CELLS × CELLS grid


@dataclass
class Task:
    """Classify `label` of images; `kind`: what decides it, content, appearance or spatial."""

    name: str
    kind: str
    train: Images
    test: Images
    label: str

    def labels(self, side: str) -> np.ndarray:
        return getattr(self, side).labels[self.label].numpy()


# ------------------------------------------------------------------------------------------------------------ tasks

def prepare(**params) -> tuple[Setup, list[Task]]:
    """Check every parameter, load the images to train on and the downstream tasks. Raises ValueError, one line, before any work."""
    known(params, PARAMETERS)
    whole(params, task_images=50, shots=0, n_l2=1)
    wanted = parse(params["tasks"])
    given = {k: v for k, v in params.items() if k in experiment.PARAMETERS}
    setup = experiment.prepare(**given | {"probe_images": params["task_images"], "out_dir": params["trained"] or params["out_dir"]})
    size, n = setup.chosen["image_size"], params["task_images"]
    if wanted:
        return setup, [task for kind, folder in wanted for task in folders(kind, folder, size, n, setup.chosen["num_workers"])]
    there = [task for name, where in images.held().items() for task in folders("content", where, size, n, setup.chosen["num_workers"], name)]
    return setup, rendered(n, n, size, setup.chosen["seed"]) + there


def parse(tasks: str) -> list[tuple[str, str]]:
    """'content:FOLDER,appearance:OTHER' -> [(kind, folder)]; a folder without a kind is content. ValueError for another kind."""
    found = []
    for word in (word.strip() for word in str(tasks).split(",") if word.strip()):
        kind, colon, folder = word.partition(":")
        if colon and kind not in KINDS:
            raise ValueError(f"tasks: unknown kind '{kind}' of '{folder}'; choose {', '.join(KINDS)}, as in 'content:FOLDER,appearance:OTHER'")
        found.append((kind, folder) if colon else ("content", word))
    return found


def folders(kind: str, folder: str, size: int, n: int, num_workers: int = 0, name: str = "") -> list[Task]:
    """One task per label of a folder that `images.load` reads, at most n images a side. ValueError for a folder without classes."""
    train, test = (split.decoded(num_workers) for split in images.load(folder, size, max_images=n, max_val=n, num_workers=num_workers))
    if not train.labels:
        raise ValueError(f"tasks: '{folder}' has no class folders, so nothing to predict; give train/<class>/… and val/<class>/…, or <class>/…")
    name = name or Path(folder).name
    return [Task(name if label == "class" else f"{name}/{label}", kind, train, test, label) for label in train.labels]


def rendered(n_train: int, n_test: int, size: int, seed: int = 0) -> list[Task]:
    """Nine tasks on renderings that no training saw: the shapes of `trifeature`, as the default trains on, and the sprites, another world."""
    def shapes(n, part):
        factors = trifeature.sample(n, probes.STREAM + 2 * seed + part)
        pixels = [(trifeature.render({k: v[i:i + 256] for k, v in factors.items()}, size) * 255).round().byte() for i in range(0, n, 256)]
        bounds = {"x": (0.35, 0.65), "y": (0.35, 0.65), "size": (0.22, 0.32)}
        x, y, large = (cell(factors[k], *bounds[k], CELLS) for k in ("x", "y", "size"))
        labels = {name: factors[name] for name in ("shape", "texture", "color")} | {"place": CELLS * y + x, "size": large}
        return Images(size, torch.cat(pixels), None, labels)

    def dots(n, part):
        classes = sprites.classes_of(sprites.draw(n, probes.STREAM + 2 * seed + part, bool(part)))
        values = sprites.values_of(classes)
        split = sprites.images(values, values["orientation"], None, size)
        third = sprites.RADIX["x"] / CELLS
        place = CELLS * (classes["y"] / third).long() + (classes["x"] / third).long()
        return Images(split.size, split.pixels, None, {"shape": classes["shape"], "color": classes["color"], "place": place, "size": classes["scale"]})

    tasks = []
    for world, draw in (("shapes", shapes), ("sprites", dots)):
        train, test = draw(n_train, 0), draw(n_test, 1)
        kinds = {"shape": "content", "texture": "content", "color": "appearance", "place": "spatial", "size": "spatial"}
        tasks += [Task(f"{world}/{label}", kinds[label], train, test, label) for label in train.labels]
    return sorted(tasks, key=lambda task: KINDS.index(task.kind))


def cell(x: torch.Tensor, low: float, high: float, n: int) -> torch.Tensor:
    """Which of n equal parts of [low, high] each x lies in, long."""
    return ((x - low) / (high - low) * n).long().clamp(0, n - 1)


# ------------------------------------------------------------------------------------------------------- evaluation

def linear(train, y, test, y_test, n_l2: int = 9, seed: int = 0) -> float:
    """Top-1 accuracy of multinomial logistic regression on standardised features, by L-BFGS.

    Its ℓ2 penalty, one of n_l2 from 1e-6 to 1e5 on a logarithmic scale, is the best on a fifth of the training part; the final fit is on all of
    it (the protocol of Ericsson et al. 2021, whose scale has 45). Each fit along the scale starts from the one before.
    """
    fold = list(StratifiedShuffleSplit(1, test_size=0.2, random_state=seed).split(train, y))
    strengths = np.sort(1 / np.geomspace(*L2, n_l2))          # scikit-learn's C
    probe = LogisticRegressionCV(Cs=strengths, cv=fold, scoring="accuracy", max_iter=100, tol=1e-3)
    return score(probe, train, y, test, y_test)


def few(train, y, test, y_test, shots: int, seed: int = 0) -> float:
    """The same from `shots` images of each class, drawn DRAWS times; with so few there is none to spare to choose a penalty by: it is 1."""
    generator, scores = np.random.default_rng(probes.STREAM + seed), []
    for _ in range(DRAWS):
        rows = np.concatenate([generator.permutation(np.flatnonzero(y == c))[:shots] for c in np.unique(y)])
        scores.append(score(LogisticRegression(max_iter=200, tol=1e-3), train[rows], y[rows], test, y_test))
    return float(np.mean(scores))


def score(probe, train, y, test, y_test) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                       # of fits not converged, and of scikit-learn's defaults to come
        return float(make_pipeline(StandardScaler(), probe).fit(train, y).score(test, y_test))


def evaluate(setup: Setup, run: Run, tasks: Sequence[Task], shots: int = 0, n_l2: int = 9) -> dict[str, dict[str, float]]:
    """{space: {task: top-1 accuracy}} for h, every space and `joined` (content once more, where it is the only space), also kept in run.table."""
    table: dict[str, dict[str, float]] = {}
    splits = {id(split): split for task in tasks for split in (task.train, task.test)}        # tasks of one world share their images
    features = {key: setup.embed(run, split) for key, split in splits.items()}
    for task in tasks:
        z, z_test = features[id(task.train)], features[id(task.test)]
        y, y_test = task.labels("train"), task.labels("test")
        for space in [name for name in z if name != "joined" or len(run.model.spaces.names) > 1]:
            sides = z[space], y, z_test[space], y_test
            table.setdefault(space, {})[task.name] = few(*sides, shots, run.seed) if shots else linear(*sides, n_l2, run.seed)
    run.table = table | {"joined": table.get("joined", table["content"])}
    return run.table


def by_kind(table: dict[str, dict[str, float]], tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """{space: {kind: mean accuracy over its tasks}}."""
    names = {kind: [task.name for task in tasks if task.kind == kind] for kind in KINDS}
    return {space: {kind: float(np.mean([row[name] for name in some])) for kind, some in names.items() if some} for space, row in table.items()}


def differences(runs: Sequence[Run], baseline: Sequence[Run], tasks: Sequence[Task], ours: str, theirs: str) -> dict[str, tuple[float, float]]:
    """{task or kind: (mean over seeds of our accuracy in space `ours` minus theirs in `theirs`, half-width of its 95 % t-interval)}."""
    tables = [[run.table[space] | by_kind(run.table, tasks)[space] for run in some] for some, space in ((runs, ours), (baseline, theirs))]
    return {name: metrics.paired(*([row[name] for row in side] for side in tables)) for name in tables[0][0]}


# ----------------------------------------------------------------------------------------------------------- in words

def listed(tasks: Sequence[Task]) -> str:
    """The tasks as a table, with chance: the share of the most frequent class among the scored images."""
    lines = ["| task | kind | classes | images to fit, to score | chance |", "|---|---|---|---|---|"]
    for task in tasks:
        classes, counts = np.unique(task.labels("test"), return_counts=True)
        lines.append(f"| {task.name} | {task.kind} | {len(classes)} | {len(task.train):,}, {len(task.test):,} | {counts.max() / counts.sum():.2f} |")
    return "\n".join(lines)


def worlds(tasks: Sequence[Task]) -> dict[str, Task]:
    """One task of each set of images, by the set's name, to be looked at."""
    return {task.name.partition("/")[0]: task for task in reversed(tasks)}


def verdicts(found: dict[str, dict[str, tuple[float, float]]], names: Sequence[str]) -> str:
    """A table of differences, one column per comparison; better or worse is said only where the interval excludes zero."""
    def words(d, half):
        verdict = "one seed: none" if math.isinf(half) else "better" if d > half else "worse" if d < -half else "no clear difference"
        return f"{d:+.2f}{'' if math.isinf(half) else f' ± {half:.2f}'}, {verdict}".replace("-", "−")
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    return "\n".join(lines + [f"| {name} | " + " | ".join(words(*column[name]) for column in found.values()) + " |" for name in names])


def homes(kinds: dict[str, dict[str, dict]], spaces: Sequence[str]) -> str:
    """For each kind of task that has a space of its own: does that space lead the other spaces?"""
    lines = []
    for kind in (kind for kind in kinds["h"] if kind in spaces):
        rival = max((s for s in spaces if s != kind), key=lambda s: kinds[s][kind]["value"], default=kind)
        own, other = kinds[kind][kind], kinds[rival][kind]
        lead, spread = own["value"] - other["value"], (own["std"] or 0) + (other["std"] or 0)
        verdict = "as promised" if lead > spread else "**undecided**, within the spread" if lead > -spread else "**not as promised**"
        lines.append(f"- *{kind}* tasks: {own['value']:.2f} from `{kind}`, at most {other['value']:.2f} from another space (`{rival}`): {verdict}. "
                     f"From `joined` {kinds['joined'][kind]['value']:.2f}, from `h` {kinds['h'][kind]['value']:.2f}.")
    return "\n".join(lines)

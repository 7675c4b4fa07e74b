"""The transfer experiment: frozen spaces, judged by linear classification of other images.

Tasks are sorted by what decides their labels: content, appearance, or where things are (spatial).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import field_validator

from msr.config import Place, Whole, Words
from msr.data import Images, dsprites, load, trifeature
from msr.data.torchvision_sets import held
from msr.evaluate import STREAM, classifier
from msr.experiments import limits
from msr.experiments.earlier import Earlier, read
from msr.experiments.imagenet import FolderParameters, load_data, plan
from msr.experiments.parameters import Parameters as Common
from msr.experiments.parameters import Seed, parameter
from msr.experiments.plan import Plan
from msr.experiments.setup import ImageRun, Row, Setup
from msr.train import pick_device

KINDS = ("content", "appearance", "spatial")
DECIDED_BY = {
    "shape": "content",
    "texture": "content",
    "color": "appearance",
    "place": "spatial",
    "size": "spatial",
}
CELLS = 3  # a place is one cell of a CELLS × CELLS grid, a size one of CELLS classes


class TaskParameters(Common):
    """The parameters of pages that judge frozen networks on other images."""

    tasks: Words = parameter(
        (), 'folders, such as ["content:FOLDER", "spatial:OTHER"]; empty: rendered', decides=False
    )
    task_images: Whole = parameter(
        1000,
        "images of each task to fit on, and as many to score on",
        decides=False,
        ge=50,
        le=10**6,
    )

    @field_validator("tasks")
    @classmethod
    def _known_kinds(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        parse(tasks)
        return tasks


class Parameters(FolderParameters, TaskParameters):
    """The parameters of book/transfer.ipynb."""

    NAME: ClassVar[str] = "transfer"
    FIRST: ClassVar[tuple[str, ...]] = (
        "tasks",
        "data_dir",
        "image_size",
        "epochs",
        "seeds",
        "groups",
        "task_images",
        "out_dir",
    )

    epochs: Whole = parameter(40, "passes over the training images", decides=False, ge=1)
    seed: Seed = parameter(
        10, "seed of the first run; the others take the next ones", decides=False
    )
    out_dir: Place = parameter(
        "runs/transfer", "weights, logs and metrics.json go here", decides=False
    )
    shots: Whole = parameter(
        0, "images per class that the probe sees; 0: all of them", decides=False, ge=0
    )
    n_l2: Whole = parameter(
        9, "number of penalties that the probe chooses among", decides=False, ge=1, le=100
    )
    trained: Place = parameter(
        "", "networks trained earlier: runs/imagenet, one run's folder, …", decides=False
    )


@dataclass
class Task:
    """A task: predict one label of a set of images."""

    name: str
    kind: str  # what decides the label: content, appearance or spatial
    train: Images
    test: Images
    label: str  # its name among the labels of the images

    def labels(self, side: str) -> np.ndarray:
        """Return the labels, int [N], of one split, "train" or "test"."""
        return getattr(self, side).labels[self.label].numpy()


# ----------------------------------------------------------------------------------------- tasks


def prepare(config: Parameters) -> Setup | Earlier:
    """Check the parameters, the networks in `trained` and the folders of the tasks, in this order.

    Then load the images to train on, unless `trained` is given: those networks are only read.
    Raises ValueError, one line, before any training.
    """
    limits.writable(config.out_dir)
    planned: Plan | Earlier
    if config.trained:
        planned = read(config, config.trained, pick_device(config.device))
    else:
        planned = plan(config)
    if not config.tasks:
        limits.rendered(4 * config.task_images, planned.config.image_size, "task_images")
    check(config.tasks)
    if isinstance(planned, Earlier):
        return planned
    return load_data(planned, config, config.task_images)


def check(tasks: Sequence[str]) -> None:
    """Raise ValueError, one line, for a task whose folder cannot be read or has no classes.

    Of each folder a few images are decoded.
    """
    for _, where in parse(tasks):
        with_classes(where, load(where, 32, max_images=20, max_val=1, max_bad=1.0)[0])


def downstream(config: Parameters, setup: Setup | Earlier) -> list[Task]:
    """Return the tasks that the parameters name, by default rendered ones and sets on the disk.

    Those sets are CIFAR-10, CIFAR-100 and STL-10, where they need no download. Raises ValueError,
    one line, for a folder that cannot be read or has no classes.
    """
    size, n = setup.config.image_size, config.task_images
    if config.tasks:
        wanted = parse(config.tasks)
        found = [folders(kind, where, size, n, config.num_workers) for kind, where in wanted]
        return [task for some in found for task in some]
    tasks = rendered(n, n, size, config.seed)
    for name, where in held().items():
        tasks += folders("content", where, size, n, config.num_workers, name)
    return tasks


def parse(tasks: Sequence[str]) -> list[tuple[str, str]]:
    """Return [(kind, folder)] of tasks written as "kind:FOLDER"; without a kind, it is content.

    Raises ValueError for an unknown kind.
    """
    found = []
    for word in tasks:
        kind, colon, folder = word.partition(":")
        if colon and kind not in KINDS:
            raise ValueError(
                f"unknown kind '{kind}' of '{folder}'; choose {', '.join(KINDS)}, "
                "as in 'content:FOLDER,appearance:OTHER'"
            )
        found.append((kind, folder) if colon else ("content", word))
    return found


def folders(
    kind: str, folder: str, size: int, n: int, num_workers: int = 0, name: str = ""
) -> list[Task]:
    """Return one task per label of the images in a folder, or of a set that `msr.data.load` reads.

    size: pixels a side of the views. n: the largest number of images in each split. name: of the
    task; empty: the folder's. Raises ValueError for a folder without classes.
    """
    sides = load(folder, size, max_images=n, max_val=n, num_workers=num_workers)
    train, test = (split.decoded(num_workers) for split in sides)
    with_classes(folder, train)
    name = name or Path(folder).name
    names = {label: name if label == "class" else f"{name}/{label}" for label in train.labels}
    return [Task(names[label], kind, train, test, label) for label in train.labels]


def with_classes(folder: str, images: Images) -> None:
    """Raise ValueError, one line, if the images of a task have no labels."""
    if not images.labels:
        raise ValueError(
            f"tasks: '{folder}' has no class folders, so nothing to predict; "
            "give train/<class>/… and val/<class>/…, or <class>/…"
        )


def rendered(n_train: int, n_test: int, size: int, seed: int = 0) -> list[Task]:
    """Return nine tasks on rendered images that were not trained on, sorted by kind.

    They are five on the shapes of `trifeature`, of which others are trained on by default, and four
    on sprites, which are quite different images. n_train, n_test: images to fit on and to score on.
    """
    tasks = []
    worlds: dict[str, Callable[[int, int, int, int], Images]]
    worlds = {"shapes": new_shapes, "sprites": new_sprites}
    for world, draw in worlds.items():
        train, test = draw(n_train, size, seed, 0), draw(n_test, size, seed, 1)
        for label in train.labels:
            tasks.append(Task(f"{world}/{label}", DECIDED_BY[label], train, test, label))
    return sorted(tasks, key=lambda task: KINDS.index(task.kind))


def new_shapes(n: int, size: int, seed: int, part: int) -> Images:
    """Return n fresh shapes for one split, part 0 or 1, with place and size as classes."""
    factors = trifeature.sample(n, STREAM + 2 * seed + part)
    bounds = {"x": (0.35, 0.65), "y": (0.35, 0.65), "size": (0.22, 0.32)}
    x, y, large = (cell(factors[k], *bounds[k], CELLS) for k in bounds)
    labels = {name: factors[name] for name in ("shape", "texture", "color")}
    labels |= {"place": CELLS * y + x, "size": large}
    return Images(size, trifeature.images(factors, size).pixels, None, labels)


def new_sprites(n: int, size: int, seed: int, part: int) -> Images:
    """Return n sprites for one split, part 0 or 1, with place and size as classes."""
    classes = dsprites.classes_of(dsprites.draw(n, STREAM + 2 * seed + part, bool(part)))
    values = dsprites.values_of(classes)
    split = dsprites.images(values, size)
    third = dsprites.RADIX["x"] / CELLS
    place = CELLS * (classes["y"] / third).long() + (classes["x"] / third).long()
    labels = {"shape": classes["shape"], "color": classes["color"], "place": place}
    return Images(split.size, split.pixels, None, labels | {"size": classes["scale"]})


def cell(x: torch.Tensor, low: float, high: float, n: int) -> torch.Tensor:
    """Return which of n equal parts of [low, high] each x [N] lies in, long [N]."""
    return ((x - low) / (high - low) * n).long().clamp(0, n - 1)


# ------------------------------------------------------------------------------------ evaluation


def evaluate(
    setup: Setup | Earlier, run: ImageRun, tasks: Sequence[Task], shots: int = 0, n_l2: int = 9
) -> dict[str, Row]:
    """Return {space: {task: top-1 accuracy}} for h, every space and `joined`.

    shots: images per class to fit on; 0: all, and the penalty is chosen among n_l2 (see
    `evaluate.classifier`). If content is the only space, `joined` repeats it. The table is also
    kept in `run.table`.
    """
    table: dict[str, Row] = {}
    # tasks of one world share their images
    splits = {id(split): split for task in tasks for split in (task.train, task.test)}
    features = {key: setup.embed(run, split) for key, split in splits.items()}
    several = len(run.model.spaces.names) > 1
    for task in tasks:
        z, z_test = features[id(task.train)], features[id(task.test)]
        y, y_test = task.labels("train"), task.labels("test")
        for space in [name for name in z if name != "joined" or several]:
            sides = z[space], y, z_test[space], y_test
            if shots:
                score = classifier.few_shot_accuracy(*sides, shots, run.seed)
            else:
                score = classifier.accuracy(*sides, n_l2, run.seed)
            table.setdefault(space, {})[task.name] = score
    run.table = table | {"joined": table.get("joined", table["content"])}
    return run.table


def by_kind(table: dict[str, Row], tasks: Sequence[Task]) -> dict[str, Row]:
    """Return {space: {kind: mean accuracy over its tasks}} of a table that `evaluate` returned."""
    names = {kind: [task.name for task in tasks if task.kind == kind] for kind in KINDS}
    return {
        space: {
            kind: float(np.mean([row[name] for name in some]))
            for kind, some in names.items()
            if some
        }
        for space, row in table.items()
    }


def described(task: Task) -> tuple[str, str, int, int, int, float]:
    """Return a task's name, kind, number of classes, images to fit on and to score on, and a share.

    The share is that of the commonest class among the images to score on: what a classifier reaches
    that always answers this class, and more than chance where classes are not equally frequent.
    """
    classes, counts = np.unique(task.labels("test"), return_counts=True)
    commonest = float(counts.max() / counts.sum())
    return task.name, task.kind, len(classes), len(task.train), len(task.test), commonest


def worlds(tasks: Sequence[Task]) -> dict[str, Task]:
    """Return {name of a set of images: one of its tasks}, to show images of each set."""
    return {task.name.partition("/")[0]: task for task in reversed(tasks)}

"""An experiment on images with its data: the training and the probes of each seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from msr import dist, evaluate, models
from msr.data import Batches, Images
from msr.data.images import in_memory
from msr.experiments import processes
from msr.experiments.image_parameters import ImageParameters
from msr.experiments.plan import Plan
from msr.experiments.remembered import of_images, remembered
from msr.objective import Objective
from msr.report import Facts
from msr.train import fit
from msr.views import Views

Row = dict[str, float]  # target -> score


@dataclass
class Run:
    """One trained model, with its objective, its log and the scores of its probes."""

    model: models.MultiSpace
    objective: Objective
    seed: int
    log: list[dict]  # one dict per line of the log
    table: dict[str, Row] = field(default_factory=dict)  # {space: {target: score}}, once probed


@dataclass
class ImageRun(Run):
    """One model trained on images, with the views that it was trained on."""

    views: Views = field(kw_only=True)
    folder: Path | None = field(default=None, kw_only=True)  # where it is saved


def embed(run: ImageRun, split: Images, num_workers: int = 0) -> evaluate.Features:
    """Return {space: [N, d]} of the plain views of a split: h, every space and `joined`.

    Every file of the split must be readable.
    """
    normalise, query = run.objective.frozen_normalise, run.views.query
    return evaluate.embed(run.model, split, query, normalise=normalise, num_workers=num_workers)


def side_by_side(labels: Row, styles: Row) -> Row:
    """Return the scores of label probes and of style probes as one row of a table.

    A factor of the image that has the name of a style target, such as hue, is called
    `<factor>_factor`, so that neither replaces the other.
    """
    return {f"{name}_factor" * (name in styles) or name: v for name, v in labels.items()} | styles


@dataclass(frozen=True)
class Setup(Plan):
    """A plan with its data, which trains and probes one seed at a time."""

    train: Images = field(kw_only=True)
    val: Images = field(kw_only=True)
    train_probe: Images = field(kw_only=True)  # images that probes are fitted on …
    val_probe: Images = field(kw_only=True)  # … and scored on; see `readable`
    source: str = field(kw_only=True)  # what the images are, in words
    asked: ImageParameters = field(kw_only=True)  # the parameters as they were given
    # the splits that `readable` returned, by the identity of what it was given
    kept: dict[int, tuple[Images, Images]] = field(default_factory=dict, kw_only=True, repr=False)

    def vary(self, plan: Callable[[Any], Plan], **changes: Any) -> Setup:
        """Return the same experiment with some parameters changed; the data are shared.

        plan: makes the plan of the experiment from its parameters. Do not change the parameters
        that decide the data: the images are not loaded again.
        """
        asked = self.asked.change(**changes)
        return replace(self, **vars(plan(asked)), asked=asked)

    def fit(self, seed: int, vanilla: bool = False, progress: bool = True) -> ImageRun:
        """Train one model; its log and weights go to a folder in out_dir.

        vanilla: train plain self-supervision, with two views per image, for more epochs, so that it
        sees the same number of views. With `devices` above one, as many processes train. A run that
        out_dir already holds is resumed, or loaded if it is complete (see `msr.train.fit`).
        progress: whether to show a progress bar. Raises what `msr.train.fit` raises.
        """
        model, objective = self.build(seed, vanilla)
        views, name = self.views, "vanilla" if vanilla else "spaces"
        training = self.training.change(seed=seed, epochs=self.epochs(vanilla))
        if vanilla:
            training = training.change(adaptive=False)
            views = Views(views.query, views.key)
        folder, title = self.folder(seed, vanilla), f"{name}, seed {seed}"
        if self.config.devices > 1 and dist.world_size() == 1:
            total = self.steps(vanilla)
            worker = processes.Worker(self.asked, seed, name, folder, title, total)
            log = processes.train(worker, model, objective, progress)
            return ImageRun(model, objective, seed, log, views=views, folder=folder)
        batches = Batches(self.train, training.batch_size, seed, self.device, self.workers)
        listing = {"listing": self.train.listing} if self.train.listing else {}
        whole = {"whole": True} if self.train.inspection else {}  # 0.2 knew centre squares only
        asked = self.config.deciding | {"images": len(self.train)} | listing | whole
        given = self.config.lambdas[:1]
        if vanilla and given and given[0] != objective.record.weight:
            asked["plain_lambda"] = given[0]  # version 0.2.0 trained with the family's own
        if vanilla and self.config.content_spread:
            # version 0.2.0 trained without
            asked["plain_content_spread"] = self.config.content_spread
        record = {"network": self.network(vanilla), "experiment": asked}
        fresh = self.config.fresh
        log = fit(
            model, objective, views, batches, training, folder, title, progress, record, fresh
        )
        self._report_files(folder, title)
        return ImageRun(model, objective, seed, log, views=views, folder=folder)

    def epochs(self, vanilla: bool) -> int:
        """Return the passes over the training images; plain self-supervision makes fewer views."""
        views = self.views.n_views / 2 if vanilla else 1
        return math.ceil(self.training.epochs * views)

    def steps(self, vanilla: bool) -> int:
        """Return the number of training steps of a network."""
        return self.epochs(vanilla) * (len(self.train) // self.training.batch_size)

    def folder(self, seed: int, vanilla: bool) -> Path:
        """Return the folder in out_dir where a network is saved."""
        return Path(self.config.out_dir) / f"{'vanilla' if vanilla else 'spaces'}_seed{seed}"

    def _report_files(self, folder: Path, title: str) -> None:
        """Write next to the weights which files were skipped or converted; rank 0 writes."""
        if not self.train.inspection:
            return
        met = self.train.inspection.merge(dist.everyone(self.train.inspection))
        if dist.rank() == 0:
            try:
                met.write(folder / "files.json")
            except OSError as error:  # the network is saved: this is not worth an end
                print(f"{title}: files.json cannot be written: {error.strerror}", flush=True)
            if self.train.pixels is None and met.skipped:
                print(f"{title}: {met.summary()}; all named in {folder / 'files.json'}", flush=True)

    @property
    def workers(self) -> int:
        """The number of processes that decode image files."""
        return getattr(self.config, "num_workers", 0)

    @property
    def content(self) -> list[str]:
        """The labels that no augmentation changes, which belong to the content space.

        Labels that some augmentation changes, such as colour, are style. A user's classes count as
        content.
        """
        homes = self.views.homes(self.val.labels)
        return [name for name in self.val.labels if homes.get(name) == "content"]

    def readable(self, split: Images) -> Images:
        """Return a split without the files that cannot be read; probes are given only such splits.

        Files are looked at here, when a probe first needs them, and not before training. A small
        split is decoded into memory; a larger one stays in files, of which every probe decodes a
        piece at a time. Files that are left out are counted in a printed line and named in
        files.json in out_dir.
        """
        if id(split) not in self.kept:
            found = evaluate.readable(in_memory(split, self.workers), self.workers)
            if len(found) < len(split):
                left, out = len(split) - len(found), Path(self.config.out_dir)
                named = f"; they are named in {out / 'files.json'}" if split.inspection else ""
                print(f"{left} of {len(split)} images for probes cannot be read: left out{named}")
                if split.inspection:
                    out.mkdir(parents=True, exist_ok=True)
                    split.inspection.write(out / "files.json")
            self.kept[id(split)] = split, found
        return self.kept[id(split)][1]

    def pictures(self, split: Images, rows: Iterable[int]) -> dict[int, torch.Tensor]:
        """Return {row: uint8 [3, S, S]} of some of the readable images of a split, on the CPU.

        rows: of the features that `embed` returns for the split.
        """
        some = sorted({int(row) for row in rows})
        images = self.readable(split).fetch(torch.tensor(some, dtype=torch.long))
        return dict(zip(some, images, strict=True))

    def embed(self, run: ImageRun, split: Images) -> evaluate.Features:
        """Return {space: [N, d]} of the readable images of a split: h, every space and `joined`.

        The images are not augmented.
        """
        return embed(run, self.readable(split), self.workers)

    def probe(self, run: ImageRun) -> dict[str, Row]:
        """Return {space: {target: score}} of the label, factor and style probes of every space.

        The table is also kept in `run.table`, and beside the run's weights (see `remembered`).
        Scores as in `evaluate.label_probes` and `evaluate.style_scores`; see also `side_by_side`.
        """
        train, val = self.readable(self.train_probe), self.readable(self.val_probe)
        about = [str(run.seed), repr(run.views.query.transforms), run.objective.family]
        about += [repr(run.objective.spaces), *map(of_images, (train, val))]

        def measure() -> dict[str, Row]:
            normalise, workers = run.objective.frozen_normalise, self.workers
            fit, held_out = (
                evaluate.drawn(run.model, run.views, split, part, normalise, run.seed, workers)
                for part, split in enumerate((train, val))
            )
            labels = evaluate.label_probes(fit.plain, held_out.plain, train, val)
            styles = evaluate.style_scores(run.views, fit, held_out)
            return {space: side_by_side(labels[space], styles[space]) for space in labels}

        run.table = remembered(run.folder, about, measure)
        return run.table

    def inputs(self, seed: int) -> dict[str, Row]:
        """Return the style probes of the images themselves: see `evaluate.style_inputs`."""
        train, val = self.readable(self.train_probe), self.readable(self.val_probe)
        return evaluate.style_inputs(self.views, train, val, seed)

    def linear(self, run: ImageRun) -> dict[str, Row]:
        """Return the linear probe of the field on all images: see `evaluate.linear_probe`.

        It is fitted on all training images and scored on all held-out ones.
        """
        normalise, query = run.objective.frozen_normalise, run.views.query
        settings: dict[str, Any] = {"num_workers": self.workers, "device": self.device}
        return evaluate.linear_probe(
            run.model, query, self.train, self.val, normalise, run.seed, **settings
        )

    def sensitivity(self, run: ImageRun) -> dict[str, Row]:
        """Return {space: {group: sensitivity}} for every group that has a style space.

        If there is none, the groups are appearance and spatial. The measure is
        `evaluate.sensitivity`, on the images that probes are scored on.
        """
        images = self.readable(self.val_probe)
        settings: dict[str, Any] = {
            "groups": self.views.groups or ("appearance", "spatial"),
            "normalise": run.objective.frozen_normalise,
            "scale_free": run.objective.scale_free,
        }
        return evaluate.sensitivity(
            run.model, run.views, images, **settings, seed=run.seed, num_workers=self.workers
        )

    def facts(self, probed: bool = True, paper: str = "paper") -> Facts:
        """Return what the first lines of a page say about its run.

        probed: whether the page fits probes on `train_probe`. paper: the name of the profile with
        the paper's scale.
        """
        c = self.config
        return Facts(
            source=self.source,
            n_train=len(self.train),
            n_val=len(self.val),
            image_size=c.image_size,
            epochs=c.epochs,
            batch_size=c.batch_size,
            family=c.family,
            backbone=c.backbone,
            spaces=dict(zip(self.spaces.names, self.spaces.sizes, strict=True)),
            seeds=c.seeds,
            device=self.device.type,
            probed=(len(self.train_probe), len(self.val_probe)) if probed else None,
            files=self.train.inspection.summary() if self.train.inspection else "",
            own_images=hasattr(c, "data_dir"),
            paper=paper,
        )

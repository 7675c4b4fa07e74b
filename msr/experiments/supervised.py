"""A reference for h: the same network, trained on all labels and on what was drawn for each view.

What this network does not learn either, of this size and in as many views, cannot be asked of
self-supervision. (It is no strict bound: it may overfit its labels, and its weights are not tuned.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from msr.augment import Params
from msr.data.images import enough
from msr.data.squashed import Batch as Pixels
from msr.evaluate.features import plain
from msr.evaluate.style import style_draw, style_targets
from msr.experiments.setup import ImageRun, Setup
from msr.models import MultiSpace
from msr.train import Training, diverged, optim
from msr.train.device import tune, use_bf16
from msr.train.progress import Progress
from msr.train.schedule import Schedule
from msr.views import augmented

Targets = Mapping[str, torch.Tensor]
HIDDEN = 256  # units of the head that reads a pair of views


class Batch(NamedTuple):
    """The images of one step, and all that probes predict of them."""

    views: torch.Tensor  # plain and augmented, [2, B, 3, S, S]
    labels: Targets  # {label: long [B]}
    factors: Targets  # {factor: [B, n]}, standardised
    drawn: torch.Tensor  # the style targets [B, T], standardised


class Heads(nn.Module):
    """What reads the features h [2, B, H] of plain and augmented views, to train them.

    Linear maps read the labels of content from both views, and the other labels and the factors,
    which augmentations change, from the plain view. A small network reads what was drawn from the
    pair. classes: {label: number of classes}. factors: {factor: number of columns}. drawn: number
    of columns of all style targets together. content: the labels that no augmentation changes.
    """

    def __init__(
        self,
        features: int,
        classes: Mapping[str, int],
        factors: Mapping[str, int],
        drawn: int,
        content: frozenset[str],
    ):
        super().__init__()
        self.content = content
        outputs = {**classes, **factors}
        self.linear = nn.ModuleDict({name: nn.Linear(features, n) for name, n in outputs.items()})
        pair = [nn.Linear(2 * features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, drawn)]
        self.pair = nn.Sequential(*pair)

    def forward(self, h: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean loss, a scalar.

        Each label counts by its cross-entropy over that of a uniform guess, each column of the
        others by its squared error, so each is about 1 at first.
        """
        losses = [F.mse_loss(self.linear[name](h[0]), y) for name, y in batch.factors.items()]
        for name, y in batch.labels.items():
            seen = h if name in self.content else h[:1]
            logits = self.linear[name](seen.flatten(0, 1))
            losses.append(F.cross_entropy(logits, y.repeat(len(seen))) / math.log(logits.shape[1]))
        pair = self.pair(torch.cat([h[0], h[1] - h[0]], dim=1))
        return torch.stack([*losses, *(pair - batch.drawn).square().mean(dim=0)]).mean()


class Network(nn.Module):
    """The network that is trained, with its heads."""

    def __init__(self, model: MultiSpace, heads: Heads):
        super().__init__()
        self.model, self.heads = model, heads
        # beginnings of the names of the parameters that learn at the rate for loaded weights
        self.loaded = tuple(f"model.{name}" for name in model.loaded)


def fit(setup: Setup, seed: int, progress: bool = False) -> ImageRun:
    """Train the network of plain self-supervision on every target of the probes, on one device.

    It sees as many views as `Setup.fit` shows a self-supervised one, two of each image at a time:
    the plain one, and one augmented as for the style probes. Optimiser, clipping, schedule and
    batches are those of the experiment; `micro_batch` does not count. Its projector stays
    untrained: only the row h of its probes means something. Nothing is saved. Raises ValueError,
    one line, for fewer images than a batch holds, and NonFiniteLoss.
    """
    model, objective = setup.build(seed, vanilla=True)
    settings = setup.training.change(seed=seed, epochs=setup.epochs(vanilla=True))
    tasks = Tasks(setup)
    enough(tasks.images, settings.batch_size)
    schedule = Schedule(settings, len(tasks.images) // settings.batch_size)
    bf16 = use_bf16(settings.precision, setup.device)
    tune(setup.device)
    model.to(memory_format=torch.channels_last).train()
    if settings.backbone_rate == 0:
        model.freeze()
    network = Network(model, tasks.heads(model.features)).to(setup.device)
    rate, decay = settings.peak_lr, settings.weight_decay
    optimizer = optim.make(settings.optimizer, network, rate, decay, settings.backbone_rate)
    with Progress(schedule.total, f"on labels, seed {seed}", progress) as bar:
        for step, batch in enumerate(tasks.batches(settings)):
            x = batch.views
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr(step) * group["share"]
            with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16):
                h, _ = model(x.flatten(0, 1))
            loss = network.heads(h.float().view(*x.shape[:2], -1), batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            optimizer.step()
            if schedule.ends_epoch(step + 1) and not torch.isfinite(loss):
                raise diverged.error(None, step, f"on labels, the loss became {loss.item()}")
            bar.update(step + 1, f"step {step + 1}", schedule.ends_epoch(step + 1))
    return ImageRun(model.eval(), objective, seed, [], views=setup.views)


class Tasks:
    """All that the probes of an experiment predict, as targets to train on."""

    def __init__(self, setup: Setup):
        self.pipeline, self.device, self.workers = setup.views.query, setup.device, setup.workers
        self.images = setup.readable(setup.train)
        self.content = frozenset(setup.content)
        columns = {name: y.float().view(len(y), -1) for name, y in self.images.factors.items()}
        self.factors = {name: (y - y.mean(0)) / spread(y) for name, y in columns.items()}
        drawn = self.draw(torch.Generator().manual_seed(0), torch.arange(len(self.images)))[1]
        self.mean, self.spread = drawn.mean(0), spread(drawn)

    def heads(self, features: int) -> Heads:
        """Return untrained heads for features h [B, `features`]."""
        classes = {name: max(2, int(y.max()) + 1) for name, y in self.images.labels.items()}
        factors = {name: y.shape[1] for name, y in self.factors.items()}
        return Heads(features, classes, factors, len(self.mean), self.content)

    def draw(
        self, generator: torch.Generator, index: torch.Tensor
    ) -> tuple[dict[str, Params], torch.Tensor]:
        """Return what is drawn for the images at `index`, long [B], and its targets [B, T]."""
        params = style_draw(self.pipeline, generator, len(index), self.images.side)
        aspect = None if self.images.aspect is None else self.images.aspect[index]
        targets = style_targets(self.pipeline, self.pipeline.with_aspect(params, aspect))
        columns = [torch.as_tensor(y).float().view(len(index), -1) for y in targets.values()]
        return params, torch.cat(columns, dim=1)

    def batches(self, settings: Training) -> Iterator[Batch]:
        """Yield a batch for every step of the run, on the device."""
        generator, n = torch.Generator().manual_seed(settings.seed), settings.batch_size
        for _ in range(settings.epochs):
            order = self.images.order(generator)
            parts = order[: len(order) // n * n].split(n)
            for index, images in zip(parts, self.pixels(parts), strict=True):
                params, drawn = self.draw(generator, index)
                yield Batch(
                    augmented(
                        self.pipeline, images.to(self.device), [plain(self.pipeline, n), params]
                    ),
                    {name: y[index].to(self.device) for name, y in self.images.labels.items()},
                    {name: y[index].to(self.device) for name, y in self.factors.items()},
                    ((drawn - self.mean) / self.spread).to(self.device),
                )

    def pixels(self, parts: Sequence[torch.Tensor]) -> Iterator[Pixels]:
        """Yield the stored images at each index, long [B]; those in files are decoded."""
        if self.images.pixels is not None:
            yield from (self.images.taken(index) for index in parts)
        else:
            yield from (found for found, _ in self.images.stream(parts, self.workers))


def spread(y: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of each column of y [N, T], or 1 where nothing varies."""
    found = y.std(dim=0, unbiased=False)
    return torch.where(found > 1e-6, found, 1.0)

"""The linear probe of the field: one linear layer on the features of all training images.

This is what papers on self-supervised learning report for ImageNet, as top-1 and top-5 accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from msr.augment import Pipeline
from msr.data.images import Images
from msr.data.squashed import Batch
from msr.evaluate.features import STREAM, Normalisation, embed
from msr.models import MultiSpace

SPACES = ("h", "content", "joined")  # what is probed
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # learning rates tried, per 256 images
EPOCHS = 30  # passes over the features
BATCH = 4096  # features per step, but at most a tenth of all
HELD_OUT = 0.1  # share of the training images on which the rate is chosen
DECODED = 128  # images that are decoded and embedded at a time


def linear_probe(
    model: MultiSpace,
    pipeline: Pipeline,
    train: Images,
    test: Images,
    normalise: Normalisation = None,
    seed: int = 0,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, float]]:
    """Return {space: {"<label>_top1", "<label>_top5": accuracy from 0 to 1}} of `SPACES`.

    The features are those of all images of `train` and `test`, from the plain view, so that each
    image is decoded once; files that cannot be read are left out. They are kept in memory as
    float16, of h and of all spaces: with 2,048 dimensions each, 10.5 GB for the 1.28 million images
    of ImageNet. Settings as in `top_k`. normalise: as in `features.embed`. seed: of the held-out
    images and of the order. device: where the linear layers are fitted.

    Departures from the protocol that is common in papers: their layer is fitted on random crops and
    flips, drawn afresh in every epoch, ours on features without augmentation, which gives slightly
    lower numbers. They often choose the learning rate on the very images that are scored; here it
    is chosen on a tenth of the training images.
    """
    (x, kept), (x_test, kept_test) = (
        stored(model, pipeline, images, normalise, num_workers) for images in (train, test)
    )
    table: dict[str, dict[str, float]] = {space: {} for space in x}
    for label, y in train.labels.items():
        sides = y[kept], test.labels[label][kept_test]
        classes = int(max(int(side.max()) for side in sides)) + 1
        for space in x:
            top1, top5 = top_k(x[space], sides[0], x_test[space], sides[1], classes, seed, device)
            table[space] |= {f"{label}_top1": top1, f"{label}_top5": top5}
    return table


def stored(
    model: MultiSpace,
    pipeline: Pipeline,
    images: Images,
    normalise: Normalisation = None,
    num_workers: int = 0,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return ({space: float16 [n, d]}, rows, long [n]) of all readable images: features and rows.

    They lie on the CPU; content is a part of joined and takes no further memory. No more than a few
    hundred images are in memory at a time.
    """
    rows = torch.arange(len(images)).split(DECODED)
    parts: Iterable[tuple[Batch, torch.Tensor]]
    if images.pixels is None:
        parts = images.stream(rows, num_workers)
    else:
        parts = ((images.taken(part), torch.ones(len(part), dtype=torch.bool)) for part in rows)
    wide: dict[str, torch.Tensor] = {}
    seen, n, kept = 0, 0, []
    for some, own in parts:
        kept.append(seen + own.nonzero()[:, 0])
        seen += len(some)
        if own.any():
            found = embed(model, some[own], pipeline, None, normalise)
            for space in ("h", "joined"):
                z = torch.from_numpy(found[space])
                held = wide.setdefault(space, z.new_empty((len(images), z.shape[1])).half())
                held[n : n + len(z)] = z
            n += len(z)
    table = {space: held[:n] for space, held in wide.items()}
    content = model.spaces.split(table["joined"])["content"]
    return {"h": table["h"], "content": content, "joined": table["joined"]}, torch.cat(kept)


def top_k(
    train: torch.Tensor,
    train_y: torch.Tensor,
    test: torch.Tensor,
    test_y: torch.Tensor,
    classes: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[float, float]:
    """Return the top-1 and top-5 test accuracy of a linear layer, both from 0 to 1.

    train, test: features [N, d] and [N_test, d], float16 or float32, on the CPU. train_y, test_y:
    labels from 0 to classes − 1, long. Settings: features standardised by the training images,
    cross-entropy, SGD with momentum 0.9 and a cosine schedule, no weight decay, weights that begin
    at 0. A layer for each of `RATES` is fitted on nine tenths of the training images, all at once;
    the rate with the highest top-1 accuracy on the other tenth is chosen (of equal ones the
    lowest), and a layer fitted with it on all training images is scored. With five classes or fewer
    top-5 is 1. Features that are not finite, as those too large for float16, and no test images
    give nan.
    """
    if not len(test) or not (train.isfinite().all() and test.isfinite().all()):
        return float("nan"), float("nan")
    generator = torch.Generator().manual_seed(STREAM + seed)
    order = torch.randperm(len(train), generator=generator)
    n = max(1, round(HELD_OUT * len(train)))
    held, rest = (order[:n], order[n:]) if len(train) > 1 else (order, order)
    heads, scale = fit(train, train_y, rest, classes, RATES, generator, device)
    scores = [accuracies(head, scale, train[held], train_y[held])[0] for head in heads]
    rate = RATES[scores.index(max(scores))]
    (head,), scale = fit(train, train_y, order, classes, [rate], generator, device)
    return accuracies(head, scale, test, test_y)


Scale = tuple[torch.Tensor, torch.Tensor]  # mean [d] and standard deviation [d] of features


def fit(
    x: torch.Tensor,
    y: torch.Tensor,
    rows: torch.Tensor,
    classes: int,
    rates: Sequence[float],
    generator: torch.Generator,
    device: torch.device | str,
) -> tuple[list[nn.Linear], Scale]:
    """Fit one linear layer per learning rate on the features at `rows`, long [n], all at once.

    Returns the layers and the scale by which their features are standardised.
    """
    batch = max(1, min(BATCH, len(rows) // 10))
    mean, std = (v.to(device) for v in moments(x, rows))
    heads = [nn.Linear(x.shape[1], classes).to(device) for _ in rates]
    for head in heads:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    groups = [
        {"params": list(head.parameters()), "lr": rate * batch / 256}
        for head, rate in zip(heads, rates, strict=True)
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    steps = len(rows) // batch  # per epoch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    for _ in range(EPOCHS):
        order = rows[torch.randperm(len(rows), generator=generator)]
        for index in order[: steps * batch].view(steps, batch):
            part = (x[index].to(device).float() - mean) / std
            labels = y[index].to(device)
            loss = torch.stack([F.cross_entropy(head(part), labels) for head in heads]).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # the layers share no weights: each gets the gradient of its own loss
            optimizer.step()
            schedule.step()
    return heads, (mean, std)


def moments(x: torch.Tensor, rows: torch.Tensor) -> Scale:
    """Return the mean [d] and the standard deviation [d] of the features at `rows`, float32.

    They are summed in float64, in pieces. A feature that never changes has the deviation 1.
    """
    total = torch.zeros(2, x.shape[1], dtype=torch.float64)
    for part in rows.split(BATCH):
        some = x[part].double()
        total += torch.stack([some.sum(dim=0), some.square().sum(dim=0)])
    mean, square = total / len(rows)
    std = (square - mean.square()).clamp(min=0).sqrt()
    return mean.float(), torch.where(std > 1e-6, std, 1.0).float()


@torch.no_grad()
def accuracies(
    head: nn.Linear, scale: Scale, x: torch.Tensor, y: torch.Tensor
) -> tuple[float, float]:
    """Return the top-1 and top-5 accuracy of a layer on features [N, d] with labels [N]."""
    mean, std = scale
    right = torch.zeros(2)
    for part, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
        logits = head((part.to(mean.device).float() - mean) / std).cpu()
        ranked = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]  # [b, 5]
        right += torch.stack([ranked[:, 0].sum(), ranked.sum()])
    top1, top5 = (right / len(x)).tolist()
    return top1, top5

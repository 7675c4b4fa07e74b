"""Has a run found the minimum? Its loss beside that of the latents, and a run that begins there.

The latents themselves, cut into their blocks, are an embedding that is perfectly aligned. For
independent Gaussian latents their joint entropy is the largest that there is, so no embedding has a
smaller loss, up to the noise and the window of the estimate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from msr.data.latents import Latents, LatentViews
from msr.evaluate import STREAM
from msr.experiments.measures import LatentRun
from msr.experiments.setup import Row
from msr.models import MultiSpace
from msr.train import Training, optim
from msr.train.schedule import Schedule

BATCHES = 20  # over which the losses are averaged


@torch.no_grad()
def losses(run: LatentRun, n: int, seed: int) -> Row:
    """Return the loss of the run's embedding as `network`, that of the latents as `latents`.

    `above` is the first minus the second. Both have the weights λ of the end of training, and the
    same fresh samples, in batches of n. The spaces must have the sizes of the blocks. Raises
    ValueError if they have not.
    """
    blocks = (run.latents.content, *run.latents.styles)
    if run.model.spaces.sizes != blocks:
        raise ValueError(f"spaces of sizes {run.model.spaces.sizes}; give those of {blocks}")
    device = next(run.model.parameters()).device
    generator, views = torch.Generator().manual_seed(STREAM + seed), LatentViews(run.latents)
    run.model.eval()
    pairs = []
    for _ in range(BATCHES):
        z = drawn(views, n, generator).to(device)
        found = run.model(run.latents.mix(z).flatten(0, 1))[1].view(*z.shape[:2], -1)
        pairs.append(torch.stack([run.objective(some).loss for some in (found, z)]))
    network, latents = torch.stack(pairs).mean(dim=0).tolist()
    return {"network": network, "latents": latents, "above": network - latents}


def drawn(views: LatentViews, n: int, generator: torch.Generator) -> torch.Tensor:
    """Return the augmented latents [V, n, dim] behind the views of n fresh samples."""
    return views.latents.sample(n, generator)[0] + views.sample(n, generator)


def teach(model: MultiSpace, latents: Latents, settings: Training, steps: int) -> None:
    """Train an encoder to predict the latents behind its observations: z is to be (c, s_1, …, s_M).

    So a run can begin near the minimum of its objective. The observations are augmented as in
    training, and the loss is the mean squared error. Optimiser, clipping and schedule are those of
    the settings, over so many steps.
    """
    device = next(model.parameters()).device
    generator, views = torch.Generator().manual_seed(settings.seed), LatentViews(latents)
    schedule = Schedule(settings.change(epochs=1, warmup_epochs=0.1), steps)
    optimizer = optim.make(settings.optimizer, model, settings.peak_lr, settings.weight_decay)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr(step) * group["share"]
        z = drawn(views, settings.batch_size, generator).to(device).flatten(0, 1)
        loss = F.mse_loss(model(latents.mix(z))[1], z)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip or float("inf"))
        optimizer.step()

"""What can be known of an augmentation from the images themselves, without any training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from msr.evaluate.features import Pictures
from msr.evaluate.style import Drawn, drawn, style_scores
from msr.models import MultiSpace
from msr.spaces import Spaces
from msr.views import Views

GRID = 8  # pixels a side of the reduced image


class Inputs(MultiSpace):
    """A network without training, whose spaces describe a view x [B, 3, S, S].

    `x: colours` [B, 12] has the mean, the standard deviation, the maximum and the minimum of each
    channel; `x: pixels` [B, 192] is x reduced to 8 × 8 pixels.
    """

    def __init__(self) -> None:
        spaces = Spaces(("x: colours", "x: pixels"), (12, 3 * GRID**2))
        super().__init__(nn.Flatten(), spaces.dim, spaces, hidden=())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both spaces side by side [B, 204], as h and as z."""
        flat = x.flatten(2)
        colours = [flat.mean(2), flat.std(2), flat.amax(2), flat.amin(2)]
        z = torch.cat([*colours, F.adaptive_avg_pool2d(x, GRID).flatten(1)], dim=1)
        return z, z


def style_inputs(
    views: Views, train: Pictures, test: Pictures, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return the held-out R² of style probes from the images, {"x: colours": …, "x: pixels": …}.

    The probes, their settings and the draws are those of `style_probes`; the features are those of
    `Inputs`. The better of the two rows shows how much of a target a simple measurement of the
    pixels finds. It is a lower bound on what can be known: a network may find more. train, test:
    images to fit and to score on.
    """
    model = Inputs()
    sides = [drawn(model, views, some, part, seed=seed) for part, some in enumerate((train, test))]
    fit, held_out = (
        Drawn(
            {name: side.plain[name] for name in model.spaces.names},
            {name: side.view[name] for name in model.spaces.names},
            side.targets,
            side.each,
        )
        for side in sides
    )
    return style_scores(views, fit, held_out)

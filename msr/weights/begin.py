"""Training that begins from trained weights, of torchvision, timm or an earlier run."""

from __future__ import annotations

from pathlib import Path

import torch

from msr import models, safe
from msr.weights.stored import locate, tensors

HEADS = ("fc.", "head.", "classifier.")  # beginnings of the names of a classifier's weights


def stem_of(init: str) -> str:
    """Return which stem the resnet in `init` has: "large" (7 × 7) or "small" (3 × 3).

    The answer is "auto" for an empty `init`, and for weights without such a convolution.
    """
    if not init:
        return "auto"
    shapes = [
        value.shape
        for name, value in tensors(locate(init)).items()
        if name.endswith("conv1.weight") and value.dim() == 4 and value.shape[1] <= 4
    ]
    return "auto" if not shapes else "large" if shapes[0][-1] == 7 else "small"


def begin_from(model: models.MultiSpace, init: str) -> str:
    """Load trained weights into the model, and return in words what was loaded.

    init: a file of torchvision or timm, or an earlier run. The backbone is loaded; so is the
    content projector, if the model has one of its own (`separate_style`) and the shapes agree.
    `model.loaded` then names what was loaded, so that it can have its own learning rate. Raises
    ValueError, one line, that names the first weight that does not fit.
    """
    path = locate(init)
    state = tensors(path)
    model.backbone.load_state_dict(_backbone_of(state, model.backbone.state_dict(), path))
    model.loaded = ("backbone.",)
    head = "projector.0."
    content = {n.removeprefix(head): value for n, value in state.items() if n.startswith(head)}
    if len(model.projector) > 1 and content:
        own = model.projector[0].state_dict()
        if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in content.items()}:
            model.projector[0].load_state_dict(content)
            model.loaded = ("backbone.", head)
            return f"backbone and content projector from {init}"
    return f"backbone from {init}"


def _backbone_of(
    state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Return the weights in `state` that the backbone needs, by its own names.

    wanted: the backbone's state_dict. Raises ValueError, one line, if a weight is missing or has
    another shape, or if the file's backbone has more of them, other than those of a classifier.
    """
    first = next(iter(wanted))
    holding = [name for name in state if name == first or name.endswith("." + first)]
    if not holding:
        raise ValueError(
            f"'{path}' holds no weight '{first}' of the backbone; it has "
            f"{', '.join(map(safe.shown, list(state)[:3]))}, …: is it another architecture?"
        )
    prefix = holding[0].removesuffix(first)
    found = {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}
    for name, value in wanted.items():
        if name not in found and name.endswith("num_batches_tracked"):
            found[name] = value
        if name not in found or found[name].shape != value.shape:
            there = "not in the file"
            if name in found:
                shape = list(found[name].shape)
                there = f"shape {shape} in the file, {list(value.shape)} here"
            raise ValueError(
                f"'{path}' does not fit the backbone: {name} is {there}; "
                "give the backbone and image_size that it was trained with"
            )
    extra = [name for name in found if name not in wanted and not name.startswith(HEADS)]
    if extra:
        raise ValueError(
            f"'{path}' does not fit the backbone: it also has {safe.shown(extra[0])}; "
            "give the backbone that it was trained with"
        )
    return {name: found[name] for name in wanted}

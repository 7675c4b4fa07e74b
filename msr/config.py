"""Settings of the training loop, checked by name, type and range before anything starts."""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from .objective import nearest
from .optim import OPTIMIZERS

PRECISIONS = ("auto", "bf16", "float32")


@dataclass(frozen=True)
class Train:
    """How long and how fast. Raises ValueError or TypeError, one line, for a value that cannot be meant."""

    epochs: int = 100                   # passes over the training images
    batch_size: int = 128               # images per step over all ranks; each gives V views
    optimizer: str = "adamw"            # adamw (small CPU runs), lars (the paper's), sgd
    lr: float = 1e-3                    # peak rate: as it is for adamw, × batch_size / 256 for lars and sgd
    weight_decay: float = 1e-6          # not on biases and normalisation
    warmup_epochs: float = 1.0          # linear warm-up, then cosine to 0
    clip: float = 0.0                   # largest gradient norm; 0: no clipping
    precision: str = "auto"             # auto: bf16 autocast where the processor has it, else float32
    adaptive: bool = False              # adjust λ by dual ascent
    epsilon: float = 0.1                # the violation that adaptive λ allows, scale-free
    dual_rate: float = 0.01             # η of the λ step, cosine to 0
    dual_warmup_epochs: float = 1.0     # λ rests for so long
    backbone_rate: float = 1.0          # the learning rate of the backbone, as a share of lr; 0: frozen
    sync_batchnorm: bool = True         # on several ranks: batch normalisation over all of them
    save_every: int = 0                 # steps between checkpoints; 0: after each epoch only
    seed: int = 0                       # of the data order and of every augmentation
    log_every: int = 50                 # steps between two lines of the log

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), {"int": int, "float": float, "str": str, "bool": bool}[field.type]
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise TypeError(f"{field.name} = {value!r} is a {type(value).__name__}; give {'an' if kind is int else 'a'} {kind.__name__}"
                                + (f" ({float(value)})" if kind is float and _is_number(value) else ""))
        for name, low in (("epochs", 1), ("batch_size", 2), ("log_every", 1), ("lr", 0), ("weight_decay", 0),
                          ("warmup_epochs", 0), ("clip", 0), ("dual_rate", 0), ("epsilon", 0), ("backbone_rate", 0), ("save_every", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} = {getattr(self, name)}; give {low} or more")
        for name, allowed in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"unknown {name} '{getattr(self, name)}'; choose {', '.join(allowed)}")

    @classmethod
    def of(cls, **settings) -> "Train":
        """As the constructor, but an unknown name is answered with the nearest right one."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(f"unknown setting '{name}'{nearest(name, known)}; choose {', '.join(known)}")
        return cls(**settings)

    @property
    def peak_lr(self) -> float:
        return self.lr if self.optimizer == "adamw" else self.lr * self.batch_size / 256


def known(params: dict, names) -> None:
    """Raise ValueError, one line, for a notebook's parameter that is not in `names`, or for one that is missing."""
    for name in params:
        if name not in names:
            raise ValueError(f"unknown parameter '{name}'{nearest(name, names)}; choose {', '.join(names)}")
    missing = [name for name in names if name not in params]
    if missing:
        raise ValueError(f"parameter '{missing[0]}' is missing; all of these are needed: {', '.join(names)}")


def yes_or_no(params: dict, *names: str) -> None:
    """Make these True or False, in place; the command line's `true` and `false` count. ValueError for anything else."""
    for name in names:
        if str(params[name]).lower() not in ("true", "false"):
            raise ValueError(f"{name} = {params[name]!r}; give True or False")
        params[name] = str(params[name]).lower() == "true"


def whole(params: dict, **lows: int) -> None:
    """Raise ValueError for one of these that is not a whole number of at least its low."""
    for name, low in lows.items():
        if not isinstance(params[name], int) or isinstance(params[name], bool) or params[name] < low:
            raise ValueError(f"{name} = {params[name]!r}; give a whole number, {low} or more")


def positive(params: dict, *names: str) -> None:
    """Raise ValueError for one of these that is not a finite number above 0."""
    for name in names:
        if not isinstance(params[name], (int, float)) or isinstance(params[name], bool) or not 0 < params[name] < math.inf:
            raise ValueError(f"{name} = {params[name]!r}; give a number above 0")


def one_of(params: dict, **choices) -> None:
    """Raise ValueError, with the nearest right one, for one of these that is not among its choices."""
    for name, allowed in choices.items():
        if params[name] not in allowed:
            raise ValueError(f"unknown {name} '{params[name]}'{nearest(params[name], allowed)}; choose {', '.join(allowed)}")


def words(text: str) -> tuple[str, ...]:
    """'appearance, spatial' -> ("appearance", "spatial"); nothing for an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(name: str, text: str, kind: type) -> list:
    """'64,32,32' -> [64, 32, 32]; nothing for an empty text. Raises ValueError that calls it `name`."""
    try:
        return [kind(v) for v in str(text).split(",")] if str(text) else []
    except ValueError:
        raise ValueError(f"{name} = '{text}'; give {'whole numbers' if kind is int else 'numbers'} with commas, such as '64,32,32'") from None


def _is_number(value) -> bool:
    try:
        float(value)
        return True
    except (TypeError, ValueError):
        return False

"""The parameters of a notebook: one frozen record each, the one source of names and defaults.

The `parameters` cell of a notebook is written from its record (`make sync`), so a default, its
comment and its bounds stand here alone. `read` takes the values back out of the notebook.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, field_validator

from msr.config import Config, Number, Numbers, Whole, Wholes, Words, choose
from msr.losses import FAMILIES
from msr.train import Training
from msr.train.settings import Precision


def parameter(default: Any, description: str, *, decides: bool = True, **bounds: Any) -> Any:
    """Declare a field: its default, the comment beside it, its bounds.

    decides: whether it changes what a training run computes. A run may be resumed under other
    values of the fields that do not.
    """
    extra: dict[str, Any] = {"decides": decides}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


P = TypeVar("P", bound="Parameters")


class Parameters(Config):
    """What every experiment has: seeds, device, output."""

    NAME: ClassVar[str]  # of the experiment and its notebook
    FIRST: ClassVar[tuple[str, ...]] = ()  # the parameters that people change; shown first

    seeds: Whole = parameter(3, "independent runs; tables show mean ± std", decides=False, ge=1)
    seed: Whole = parameter(0, "the first of them", decides=False, ge=0)
    precision: Precision = parameter("auto", "bf16, float32, or what is fast here", decides=False)
    device: str = parameter("auto", "cpu, cuda, cuda:1", decides=False)
    fresh: bool = parameter(False, "set aside what out_dir holds and train anew", decides=False)
    out_dir: str = parameter("runs", "weights, logs and metrics.json go here", decides=False)
    profile: str = parameter("standard", "a label: what made this page", decides=False)

    @classmethod
    def read(cls: type[P], namespace: Mapping[str, Any]) -> P:
        """Return the record of a notebook's `globals()`.

        A name that the notebook's parameter cell, or papermill's `-p`, sets and that this record
        does not know raises ValueError with the nearest right name. (papermill itself only warns.)
        """
        known = cls.model_fields
        values = {name: namespace[name] for name in known if name in namespace}
        extra = [name for name in _assigned(namespace.get("In", ()), known) if name not in known]
        return cls(**values | {name: None for name in extra})

    @classmethod
    def ordered(cls) -> list[str]:
        """Return the names of all fields, those that people change first."""
        return [*cls.FIRST, *(name for name in cls.model_fields if name not in cls.FIRST)]

    @property
    def all_seeds(self) -> range:
        """The seeds of the independent runs."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def deciding(self) -> dict[str, Any]:
        """The values of the fields that decide what a training run computes."""
        values = {}
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra["decides"]:
                values[name] = getattr(self, name)
        return values


def cell(kind: type[Parameters], **changed: Any) -> str:
    """Return the text of a notebook's `parameters` cell; `changed`: defaults of its own."""
    lines = []
    for i, name in enumerate(kind.ordered()):
        if i == len(kind.FIRST):
            lines.append(
                "# Seldom changed. What is empty, 0 or None here follows the images, or is off."
            )
        field = kind.model_fields[name]
        value = changed.get(name, field.default)
        plain = isinstance(value, (str, tuple, list))
        text = json.dumps(value, ensure_ascii=False) if plain else repr(value)
        lines.append(f"{name} = {text}  # {field.description}")
    return "\n".join(lines)


def _assigned(cells: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names that a notebook's parameter cells set.

    cells: the sources that ran so far. A parameter cell holds nothing but assignments of plain
    values, and was injected by papermill (it begins with "# Parameters") or sets a known name.
    """
    names: list[str] = []
    for source in cells:
        try:
            body = ast.parse(source).body
            found = [node.targets[0].id for node in body]  # type: ignore[attr-defined]
            for node in body:
                ast.literal_eval(node.value)  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, AttributeError):
            continue
        if source.startswith("# Parameters") or set(found) & set(known):
            names += found
    return names


# ---------------------------------------------------------------------------- image experiments


def _settings(value: object) -> object:
    """Read "beta=0.01, denominator=ntxent" as a dict."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"'{value}' is not a list of settings; give such as 'beta=0.01'")
    return {name.strip(): _plain(text.strip()) for name, _, text in pairs}


def _plain(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


Settings = Annotated[dict[str, Any], BeforeValidator(_settings)]


class ImageParameters(Parameters):
    """What every experiment on images has: the spaces, the network, the training."""

    epochs: Whole = parameter(100, "passes over the training images", decides=False, ge=1)
    image_size: Whole = parameter(
        0, "pixels a side; 0: 48 for the shapes, else 64, on a GPU 224", ge=0
    )
    max_images: Whole = parameter(0, "at most so many training images; 0: all", ge=0)
    # the objective
    groups: Words = parameter(("appearance", "spatial"), "groups with a style space")
    family: str = parameter("", "simclr, vicreg, barlow, entropy; empty: follows the images")
    sizes: Wholes = parameter(
        (), "dimensions of content and each style space, such as [64, 32, 32]"
    )
    lambdas: Numbers = parameter((), "weight of each space's alignment, or one for all")
    temperature: Number = parameter(0.0, "τ of the family; 0: its own", ge=0)
    loss_settings: Settings = parameter({}, 'others of the family, such as {"beta": 0.01}')
    content_spread: Number = parameter(0.0, "weight of a spread of content alone", ge=0)
    adaptive: bool = parameter(False, "let dual ascent set the weights while training …")
    epsilon: Number = parameter(0.1, "… so that no misalignment c_m is above this", ge=0)
    dual_rate: Number = parameter(0.01, "learning rate of that ascent", ge=0)
    dual_warmup_epochs: Number | None = parameter(None, "epochs before it; None: preset", ge=0)
    paired: bool = parameter(False, "one key per image, cycling: cost does not grow with groups")
    # the network
    backbone: str = parameter("", "cnn, vgg, resnet18, resnet34, resnet50, mlp")
    width: Whole = parameter(0, "channels of the first layer of cnn and vgg", ge=0)
    hidden: Wholes = parameter((), "widths of the projector's hidden layers")
    separate_style: bool = parameter(False, "a projector of their own for the styles")
    init: str = parameter("", "trained weights to begin from: a file or a run's folder")
    backbone_rate: Number = parameter(1.0, "share of lr for loaded weights; 0: frozen", ge=0)
    # the training
    batch_size: Whole = parameter(0, "images per step, over all devices", ge=0)
    optimizer: Literal["", "adamw", "lars", "sgd"] = parameter("", "adamw, lars or sgd")
    lr: Number = parameter(0.0, "peak learning rate (lars and sgd: per 256 images)", ge=0)
    weight_decay: Number = parameter(1e-6, "not on biases and normalisation", ge=0)
    warmup_epochs: Number | None = parameter(None, "of rising lr; None: preset", ge=0)
    clip: Number = parameter(0.0, "largest norm of the gradient; 0: no clipping", ge=0)
    compile: bool = parameter(False, "compile the network with torch.compile", decides=False)
    devices: Whole = parameter(1, "processes that train together", decides=False, ge=1)
    sync_batchnorm: bool = parameter(True, "batch normalisation over all devices", decides=False)
    save_every: Whole = parameter(0, "steps between checkpoints; 0: epochs", decides=False, ge=0)

    log_every: Whole = parameter(
        0, "steps between lines of the log; 0: preset", decides=False, ge=0
    )

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family:
            choose("family", family, FAMILIES)
        return family

    def training(self, **more: Any) -> Training:
        """Return the hyperparameters of training that this record holds, with others given."""
        shared = Training.model_fields.keys() & type(self).model_fields.keys() - more.keys()
        values = {name: getattr(self, name) for name in shared}
        values["log_every"] = values.get("log_every") or None
        return Training(**{k: v for k, v in values.items() if v is not None} | more)

    @property
    def settings_of_loss(self) -> dict[str, Any]:
        """The family's settings: `loss_settings`, and the temperature where it is given."""
        given = {"temperature": self.temperature} if self.temperature else {}
        return self.loss_settings | given

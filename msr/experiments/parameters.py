"""The parameters of the notebooks: a frozen record for each, with all names and defaults.

The `parameters` cell of a notebook is written from its record (`make sync`), so each default, its
comment and its bounds are written here and nowhere else. `read` makes the record from the values
that the notebook was run with.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, field_validator

from msr.config import Config, Number, Numbers, Place, Whole, Wholes, Words, choose
from msr.losses import FAMILIES
from msr.models import BACKBONES
from msr.train import Training
from msr.train.settings import Precision

IF_GIVEN = "if given"  # recorded where it is not the default
Seed = Annotated[Whole, Field(ge=0, le=10**9)]  # products of a seed fit into 64 bits


def parameter(default: Any, description: str, *, decides: bool | str = True, **bounds: Any) -> Any:
    """Declare a field of a record: its default, the comment beside it, and its bounds.

    decides: whether the field is recorded in a run's config.json (see `deciding`), always or
    IF_GIVEN. The settings of training are recorded there in any case. A run is resumed only if its
    record is the same; data_dir and val_dir may differ if the images are the same.
    """
    extra: dict[str, Any] = {"decides": decides}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


P = TypeVar("P", bound="Parameters")


class Parameters(Config):
    """The parameters that every experiment has: seeds, device, output."""

    NAME: ClassVar[str]  # the name of the experiment and of its notebook
    FIRST: ClassVar[tuple[str, ...]] = ()  # the parameters that people change most; shown first

    seeds: Whole = parameter(
        3, "number of independent runs; tables show mean ± std", decides=False, ge=1, le=1000
    )
    seed: Seed = parameter(0, "seed of the first run; the others take the next ones", decides=False)
    precision: Precision = parameter(
        "auto", "bf16, float32, or auto: bf16 where the processor has it", decides=False
    )
    device: str = parameter(
        "auto", "auto (a GPU if there is one), cpu, cuda or cuda:1", decides=False
    )
    fresh: bool = parameter(
        False, "set aside earlier runs in out_dir and train again", decides=False
    )
    out_dir: Place = parameter("runs", "weights, logs and metrics.json go here", decides=False)
    profile: str = parameter(
        "standard", "name of the profile that made this page; only a label", decides=False
    )

    @classmethod
    def read(cls: type[P], namespace: Mapping[str, Any]) -> P:
        """Return the record with the values that a notebook's `globals()` have.

        namespace: {name: value}; "In" holds the sources of the cells that ran, as in IPython.
        Raises ValueError, one line, for a wrong value, and for a name that the parameters cell or
        papermill's `-p` sets and this record does not have. (papermill itself would only warn.)
        """
        known = cls.model_fields
        values = {name: namespace[name] for name in known if name in namespace}
        extra = [name for name in _assigned(namespace.get("In", ()), known) if name not in known]
        return cls(**values | {name: None for name in extra})

    @classmethod
    def ordered(cls) -> list[str]:
        """Return the names of all fields, beginning with those that people change most."""
        return [*cls.FIRST, *(name for name in cls.model_fields if name not in cls.FIRST)]

    @property
    def all_seeds(self) -> range:
        """The seeds of the independent runs."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def deciding(self) -> dict[str, Any]:
        """{name: value} of the fields that are recorded in a run's config.json.

        They decide what the run computes. Settings of training that are left out here, such as
        `epochs`, are recorded there with the other settings of training.
        """
        values = {}
        for name, field in type(self).model_fields.items():
            extra, value = field.json_schema_extra, getattr(self, name)
            decides = extra["decides"] if isinstance(extra, dict) else False
            given = decides == IF_GIVEN and value != field.default
            if name not in Training.model_fields and (decides is True or given):
                values[name] = value
        return values


def cell(kind: type[Parameters], **changed: Any) -> str:
    """Return the text of a notebook's `parameters` cell.

    kind: the record. changed: defaults of this notebook that differ from the record's.
    """
    lines = []
    for i, name in enumerate(kind.ordered()):
        if i == len(kind.FIRST):
            lines.append("# Seldom changed. Empty, 0 or None: a value that suits the data, or off.")
        field = kind.model_fields[name]
        value = changed.get(name, field.default)
        plain = isinstance(value, (str, tuple, list))
        text = json.dumps(value, ensure_ascii=False) if plain else repr(value)
        lines.append(_shortened(f"{name} = {text}  # ", str(field.description)))
    return "\n".join(lines)


def _shortened(start: str, comment: str, width: int = 100) -> str:
    """Return a line whose comment is cut where the line would be too long, as by a long path."""
    room = max(1, width - len(start))
    return start + (comment if len(comment) <= room else comment[: room - 1].rstrip() + "…")


def _assigned(cells: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names that a notebook's parameter cells set.

    cells: the sources of the cells that ran so far. A parameter cell consists only of assignments
    of plain values, and either was injected by papermill (it begins with "# Parameters") or sets a
    known name. Of each kind the latest counts, so a corrected cell replaces the wrong one.
    """
    latest: dict[bool, list[str]] = {}  # of the notebook's own cell, and of papermill's
    for source in cells:
        try:
            body = ast.parse(source).body
            found = [node.targets[0].id for node in body]  # type: ignore[attr-defined]
            for node in body:
                ast.literal_eval(node.value)  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, AttributeError):
            continue
        injected = source.startswith("# Parameters")
        if injected or set(found) & set(known):
            latest[injected] = found
    return [name for found in latest.values() for name in found]


# ---------------------------------------------------------------------------- image experiments


def _settings(value: object) -> object:
    """Return a dict from text such as "beta=0.01, denominator=ntxent"; other values unchanged.

    Raises ValueError for a part without "=".
    """
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"'{value}' is not a list of settings; give them as in 'beta=0.01'")
    return {name.strip(): _plain(text.strip()) for name, _, text in pairs}


def _plain(text: str) -> Any:
    """Return the Python value that a text stands for, such as a number, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


Settings = Annotated[dict[str, Any], BeforeValidator(_settings)]


class ImageParameters(Parameters):
    """The parameters that every experiment on images has: spaces, network, training."""

    epochs: Whole = parameter(100, "passes over the training images", decides=False, ge=1)
    image_size: Whole = parameter(
        0, "pixels a side; 0: rendered 48, a named set's own, else 64 (GPU: 224)", ge=0, le=4096
    )
    max_images: Whole = parameter(
        0, "largest number of training images; 0: all (rendered: 2000)", ge=0
    )
    # the objective
    groups: Words = parameter(
        ("appearance", "spatial"), "augmentation groups that get a style space"
    )
    family: str = parameter("", "simclr, vicreg, barlow, entropy; empty: follows the images")
    sizes: Wholes = parameter(
        (), "dimensions of content and each style space, such as [64, 32, 32]"
    )
    lambdas: Numbers = parameter(
        (), "λ: weight of each space's alignment, or one for all; empty: the family's"
    )
    temperature: Number = parameter(
        0.0, "τ of simclr or entropy; 0: the family's default", decides=IF_GIVEN, ge=0
    )
    loss_settings: Settings = parameter(
        {},
        'other settings of the family, such as {"beta": 0.01} for barlow',
        decides=IF_GIVEN,
    )
    content_spread: Number = parameter(
        0.0,
        "weight of a further spread, of the content space alone; 0: none",
        decides=IF_GIVEN,
        ge=0,
    )
    adaptive: bool = parameter(False, "adjust λ by dual ascent while training …")
    epsilon: Number = parameter(0.1, "… so that each misalignment c_m is at most this", ge=0)
    dual_rate: Number = parameter(0.01, "learning rate of the dual ascent", ge=0)
    dual_warmup_epochs: Number | None = parameter(
        None, "epochs before the dual ascent begins; None: 1", ge=0
    )
    paired: bool = parameter(
        False, "one key per image, cycling: the cost does not grow with groups"
    )
    # the network
    backbone: str = parameter(
        "", "cnn, vgg, resnet18, resnet34, resnet50, mlp; empty: follows the images"
    )
    width: Whole = parameter(
        0, "channels of the first layer of cnn and vgg; 0: follows the images", ge=0
    )
    hidden: Wholes = parameter(
        (), "widths of the projector's hidden layers; empty: follows the images"
    )
    separate_style: bool = parameter(False, "give the styles a projector of their own")
    init: Place = parameter(
        "", "trained weights to begin from: a file or a run's folder", decides=IF_GIVEN
    )
    backbone_rate: Number = parameter(
        1.0, "learning rate of loaded weights, as a share of lr; 0: frozen", ge=0
    )
    # the training
    batch_size: Whole = parameter(
        0, "images per step, over all devices; 0: follows the images", ge=0
    )
    optimizer: Literal["", "adamw", "lars", "sgd"] = parameter(
        "", "adamw, lars or sgd; empty: follows the images"
    )
    lr: Number = parameter(
        0.0, "peak learning rate (lars, sgd: per 256 images); 0: follows the images", ge=0
    )
    weight_decay: Number = parameter(
        1e-6, "strength of weight decay; biases and normalisation have none", ge=0
    )
    warmup_epochs: Number | None = parameter(
        None, "epochs in which lr rises; None: follows the images", ge=0
    )
    clip: Number = parameter(0.0, "largest norm of the gradient; 0: no clipping", ge=0)
    micro_batch: Whole = parameter(
        0, "views per device at a time; 0: as many as fit (CPU: all)", decides=False, ge=0
    )
    compile: bool = parameter(False, "compile the network with torch.compile", decides=False)
    devices: Whole = parameter(1, "processes that train together", decides=False, ge=1, le=1024)
    sync_batchnorm: bool = parameter(
        True, "batch normalisation over the images of all devices", decides=False
    )
    save_every: Whole = parameter(
        0, "steps between further checkpoints; 0: one per epoch only", decides=False, ge=0
    )
    log_every: Whole = parameter(
        0, "steps between lines of the log; 0: by the length of the run", decides=False, ge=0
    )

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family:
            choose("family", family, FAMILIES)
        return family

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, backbone: str) -> str:
        if backbone:
            choose("backbone", backbone, BACKBONES)
        return backbone

    def training(self, **more: Any) -> Training:
        """Return the hyperparameters of training that this record holds.

        more: further hyperparameters by name, which replace those of the record. Where the record
        has None, the default of `Training` is used.
        """
        shared = Training.model_fields.keys() & type(self).model_fields.keys() - more.keys()
        values = {name: getattr(self, name) for name in shared}
        values["log_every"] = values.get("log_every") or None
        return Training(**{k: v for k, v in values.items() if v is not None} | more)

    @property
    def settings_of_loss(self) -> dict[str, Any]:
        """The family's settings by name: `loss_settings`, and the temperature unless it is 0."""
        given = {"temperature": self.temperature} if self.temperature else {}
        return self.loss_settings | given

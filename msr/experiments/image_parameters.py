"""The parameters that every experiment on images has."""

from __future__ import annotations

import ast
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator

from msr.config import Number, Numbers, Place, Whole, Wholes, Words, choose
from msr.experiments.parameters import IF_GIVEN, Parameters, parameter
from msr.losses import FAMILIES
from msr.models import BACKBONES
from msr.objective import ContentPairs
from msr.train import Training
from msr.train.settings import Compile


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
    content_spread: Number | None = parameter(
        None, "weight of content's own spread; 0: none, None: by the images", ge=0
    )
    content_pairs: ContentPairs = parameter(
        "all", "content is aligned over all its pairs, or query (and key 0)"
    )
    joint: bool = parameter(True, "spread all spaces together; False: each alone, to compare")
    adaptive: bool = parameter(False, "adjust λ by dual ascent while training …")
    epsilon: Number = parameter(
        0.1, "… so that each misalignment is at most this; 1: independent", gt=0
    )
    dual_rate: Number = parameter(0.02, "largest step of λ in the dual ascent", ge=0)
    dual_warmup_epochs: Number | None = parameter(
        None, "epochs before the dual ascent begins; None: 1", ge=0
    )
    paired: bool = parameter(
        False, "one key per image, cycling: the cost does not grow with groups"
    )
    # the network
    backbone: str = parameter(
        "", "cnn, vgg, alexnet, resnet18, 34 or 50, mlp; empty: by the images"
    )
    width: Whole = parameter(
        0, "channels of the first layer of a small network; 0: by the images", ge=0
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
    compile: Compile = parameter(
        "auto", "torch.compile the network; auto: on a GPU, in a long run", decides=False
    )
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

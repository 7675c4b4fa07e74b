"""The hyperparameters of training: how long, how fast, and with which safeguards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from msr.config import Config, Number, Whole

Optimizer = Literal["adamw", "lars", "sgd"]
Precision = Literal["auto", "bf16", "float32"]


def _flag(value: object) -> object:
    """Return True or False for the text of it, which a file or a command line may give."""
    return {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value


Compile = Annotated[Literal["auto", True, False], BeforeValidator(_flag)]


class Training(Config):
    """The hyperparameters of `msr.fit`.

    Raises ValueError, one line, for an unknown name, a wrong type or a value out of range.
    """

    epochs: Whole = Field(100, ge=1, description="passes over the training images")
    batch_size: Whole = Field(128, ge=2, description="images per step, over all ranks")
    optimizer: Optimizer = Field("adamw", description="adamw (small CPU runs), lars or sgd")
    lr: Number = Field(1e-3, ge=0, description="peak learning rate; lars, sgd: per 256 images")
    weight_decay: Number = Field(1e-6, ge=0, description="not on biases and normalisation")
    warmup_epochs: Number = Field(1.0, ge=0, description="linear warm-up, then cosine to 0")
    clip: Number = Field(0.0, ge=0, description="largest gradient norm; 0: no clipping")
    precision: Precision = Field("auto", description="auto: bf16 where it is faster")
    compile: Compile = Field("auto", description="torch.compile; auto: GPU, in a long run")
    micro_batch: Whole = Field(
        0, ge=0, description="views per device at a time; 0: as fit (CPU: all)"
    )
    adaptive: bool = Field(False, description="adjust λ by dual ascent")
    epsilon: Number = Field(0.1, gt=0, description="misalignment allowed; 1: independent")
    dual_rate: Number = Field(0.02, ge=0, description="largest step η of λ, cosine to 0")
    dual_warmup_epochs: Number = Field(1.0, ge=0, description="epochs before λ first moves")
    backbone_rate: Number = Field(1.0, ge=0, description="factor on lr in the backbone; 0: frozen")
    sync_batchnorm: bool = Field(True, description="batch normalisation over all ranks")
    save_every: Whole = Field(0, ge=0, description="steps between checkpoints; 0: each epoch")
    seed: Whole = Field(0, ge=0, description="of the augmentations; the data order has its own")
    log_every: Whole = Field(50, ge=1, description="steps between two lines of the log")

    @property
    def peak_lr(self) -> float:
        """The peak learning rate for this batch size.

        For lars and sgd it is lr · batch_size / 256 (linear scaling, Goyal et al. 2017).
        """
        return self.lr if self.optimizer == "adamw" else self.lr * self.batch_size / 256

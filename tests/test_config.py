"""Settings that cannot be meant are answered in one line that names the right ones."""

from typing import Literal

import numpy as np
import pytest
from pydantic import Field, field_validator

from msr.config import Config, Number, Numbers, Whole, Wholes, Words, choose, nearest
from msr.train import Training


class Toy(Config):
    """A field of every type, with every kind of bound."""

    seed: Whole = Field(description="what the draws begin with")
    epochs: Whole = Field(3, ge=1)
    lr: Number = Field(0.1, gt=0, lt=2)
    share: Number = Field(0.5, ge=0, le=1)
    paired: bool = False
    backbone: Literal["cnn", "vgg"] = "cnn"
    sizes: Wholes = (64,)
    lambdas: Numbers = ()
    groups: Words = ()
    even: Whole = 0

    @field_validator("even")
    @classmethod
    def _even(cls, even: int) -> int:
        if even % 2:
            raise ValueError(f"{even} is odd; give an even number")
        return even


FIELDS = "seed, epochs, lr, share, paired, backbone, sizes, lambdas, groups, even"
WRONG = [
    # unknown names
    ({"epoch": 2}, "unknown parameter 'epoch' (did you mean 'epochs'?)"),
    ({"zzz": 2}, f"unknown parameter 'zzz'; choose {FIELDS}"),
    ({"epoch": 2, "lr": -1}, "lr = -1; give a number above 0"),  # the first complaint only
    # wrong types
    ({"epochs": "many"}, "epochs = 'many'; give a whole number"),
    ({"epochs": 2.5}, "epochs = 2.5; give a whole number"),
    ({"epochs": None}, "epochs = None; give a whole number"),
    ({"epochs": [1]}, "epochs = [1]; give a whole number"),
    ({"lr": "fast"}, "lr = 'fast'; give a number"),
    ({"lr": None}, "lr = None; give a number"),
    ({"paired": "perhaps"}, "paired = 'perhaps'; give True or False"),
    ({"paired": 2}, "paired = 2; give True or False"),
    ({"sizes": "64, big"}, "sizes = 'big'; give a whole number"),
    ({"sizes": [64, 1.5]}, "sizes = 1.5; give a whole number"),
    ({"lambdas": ["1", "x"]}, "lambdas = 'x'; give a number"),
    ({"groups": 3}, "groups = 3; give a valid string"),
    # out of bounds
    ({"epochs": 0}, "epochs = 0; give 1 or more"),
    ({"lr": 0}, "lr = 0; give a number above 0"),
    ({"lr": 2.0}, "lr = 2.0; give less than 2"),
    ({"share": 1.5}, "share = 1.5; give 1 or less"),
    ({"share": -0.5}, "share = -0.5; give 0 or more"),
    # True where a number is meant
    ({"epochs": True}, "epochs: True is not a number; give a number"),
    ({"lr": False}, "lr: False is not a number; give a number"),
    ({"sizes": True}, "sizes: True is not a number; give a number"),
    ({"sizes": [64, True]}, "sizes: True is not a number; give a number"),
    ({"lambdas": [True]}, "lambdas: True is not a number; give a number"),
    # not finite
    ({"lr": float("nan")}, "lr = nan; give a finite number"),
    ({"lr": float("inf")}, "lr = inf; give a finite number"),
    ({"lambdas": [1.0, float("nan")]}, "lambdas = nan; give a finite number"),
    # a choice, and a check of one's own
    ({"backbone": "vg"}, "backbone = 'vg'; give 'cnn' or 'vgg'"),
    ({"backbone": None}, "backbone = None; give 'cnn' or 'vgg'"),
    ({"even": 3}, "even: 3 is odd; give an even number"),
]


def complaint(f, *args, **values):
    with pytest.raises(ValueError) as error:
        f(*args, **values)
    return str(error.value)


@pytest.mark.parametrize("values, says", WRONG, ids=lambda v: str(v)[:40])
def test_one_line_says_what_is_wrong_and_what_would_be_right(values, says):
    assert complaint(Toy, seed=0, **values) == says


def test_a_missing_field_is_answered_with_its_meaning():
    assert complaint(Toy) == "parameter 'seed' is missing; it is: what the draws begin with"


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": np.ones((3, 3))},
        {"epochs": "one\ntwo"},
        {"backbone": "cnn\n"},
        {"one\ntwo": 1},
        *(values for values, _ in WRONG),
    ],
    ids=str,
)
def test_no_message_has_a_newline(values):
    assert "\n" not in complaint(Toy, seed=0, **values)


def test_what_is_meant_is_read():
    toy = Toy(
        seed="7", epochs=2.0, lr=1, paired="true", sizes="64, 32,32", lambdas=2, groups="a, b"
    )
    assert (toy.seed, toy.epochs, toy.lr, toy.paired) == (7, 2, 1.0, True)
    assert (toy.sizes, toy.lambdas, toy.groups) == ((64, 32, 32), (2.0,), ("a", "b"))
    assert Toy(seed=0, sizes="", groups=[]) == Toy(seed=0, sizes=(), groups="")
    assert Toy(seed=0, lambdas=["1", 0.5]).lambdas == (1.0, 0.5)


def test_a_record_is_frozen():
    toy = Toy(seed=0)
    with pytest.raises(ValueError, match="frozen"):
        toy.seed = 1
    assert toy.seed == 0


# --------------------------------------------------------------------------------------- change


def test_change_returns_another_record():
    toy = Toy(seed=1, sizes=(8, 4))
    changed = toy.change(epochs=5, backbone="vgg")
    assert changed == Toy(seed=1, sizes=(8, 4), epochs=5, backbone="vgg")
    assert toy == Toy(seed=1, sizes=(8, 4)) and toy.change() == toy


def test_change_checks_as_the_constructor_does():
    toy = Toy(seed=1)
    assert complaint(toy.change, epochs=0) == "epochs = 0; give 1 or more"
    assert "did you mean 'backbone'" in complaint(toy.change, bakbone="vgg")


def test_the_settings_of_training_are_such_a_record():
    assert complaint(Training, batch_size=1) == "batch_size = 1; give 2 or more"
    assert complaint(Training, optimizer="adam") == (
        "optimizer = 'adam'; give 'adamw', 'lars' or 'sgd'"
    )
    assert "did you mean 'clip'" in complaint(Training, clipp=1.0)


# --------------------------------------------------------------------------- nearest and choose


@pytest.mark.parametrize(
    "name, says",
    [
        ("apperance", " (did you mean 'appearance'?)"),
        ("spacial", " (did you mean 'spatial'?)"),
        ("zzz", ""),
        ("", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_nearest(name, says):
    assert nearest(name, ("appearance", "spatial")) == says


def test_nearest_of_any_iterable():
    assert nearest("seeds", iter(["seed"])) == nearest("seeds", {"seed": 0}) != ""
    assert nearest("seeds", []) == ""


@pytest.mark.parametrize("known", [("cnn", "vgg"), {"cnn": 0, "vgg": 1}, iter(["cnn", "vgg"])])
def test_choose(known):
    assert choose("backbone", "vgg", known) is None


@pytest.mark.parametrize(
    "name, says",
    [
        ("vg", "unknown backbone 'vg' (did you mean 'vgg'?); choose cnn, vgg"),
        ("resnet", "unknown backbone 'resnet'; choose cnn, vgg"),
        (None, "unknown backbone 'None'; choose cnn, vgg"),
    ],
)
def test_choose_names_the_known_ones(name, says):
    assert complaint(choose, "backbone", name, iter(["cnn", "vgg"])) == says


def test_the_text_of_a_flag_is_the_flag():
    assert Training(compile="True").compile is True and Training(compile="False").compile is False
    with pytest.raises(ValueError, match="compile = 'yes'; give 'auto', True or False"):
        Training(compile="yes")

"""Every parameter of every notebook with wrong values: one line that names it, before any work."""

import math
import os
import re
from typing import Literal, get_args, get_origin

import pytest

from msr import data
from msr.data import dsprites, files
from msr.experiments import imagenet, numerical, sprites, transfer

MODULES = {module.Parameters.NAME: module for module in (imagenet, sprites, transfer, numerical)}
IMAGES = {"width": 4, "hidden": [8], "device": "cpu"}
BASE = {"imagenet": IMAGES, "transfer": IMAGES, "sprites": IMAGES | {"max_images": 200}}
BASE["numerical"] = {"width": 8, "device": "cpu"}

HUGE = 10**12
WRONG = {  # kind of value -> ten or more values, of which most are wrong for most parameters
    "whole": ["many", "", None, -1, -HUGE, 2.5, math.nan, math.inf, 10**400, [1], {}, True, "1e3"],
    "number": [
        "fast",
        "",
        None,
        -0.5,
        math.nan,
        -math.inf,
        1e300,
        [0.1],
        {},
        False,
        "/nonexistent",
    ],
    "flag": ["perhaps", "", None, 2, -1, math.nan, [True], {}, "/nonexistent", "ä"],
    "word": [None, 3, math.nan, [], ["a"], {}, True, "/nonexistent", "näin\n", "x" * 5000, "\0"],
    "path": [None, 3, math.nan, [], {}, True, "a\0b", "x" * 300, "/" * 5000, "~nobody-here/x"],
    "sizes": [None, [-1], [0], 0, "a", [2.5], [math.nan], {}, [None], "/nonexistent", [10**400]],
    "numbers": [None, [-1], "a", [math.nan], [math.inf], {}, [None], [True], "/nonexistent", [[1]]],
    "words": [None, 3, [3], {}, [None], "/nonexistent", ["ä"], math.nan, [[]], "colour:colour"],
    "settings": [
        None,
        3,
        "a",
        "a=1",
        {"a": 1},
        [],
        {1: 2},
        "/nonexistent",
        math.nan,
        "temperature=x",
    ],
}
# Values that fit their type, and that this machine, or the others of the record, must refuse.
TOO_LARGE = {
    "image_size": 10**9,
    "width": 10**9,
    "hidden": [HUGE],
    "sizes": [HUGE] * 3,
    "max_images": HUGE,
    "batch_size": HUGE,
    "probe_images": HUGE,
    "task_images": HUGE,
    "probe_samples": HUGE,
    "num_workers": 10**6,
    "devices": 10**6,
    "seeds": 10**9,
    "seed": 10**30,
    "n_l2": 10**9,
    "steps": 10**400,
    "samples": HUGE,
    "content": HUGE,
    "styles": [HUGE],
    "block_content": HUGE,
    "block_styles": [10**6],
    "depth": 10**9,
    "epochs": 10**30,
    "lr": 1e300,
    "temperature": 1e-300,
}
FREE = {"profile"}  # any text is right


def kind_of(field):
    """Which of the lists in WRONG suits a field, by its annotation alone."""
    text = str(field.annotation)
    if field.annotation is bool:
        return "flag"
    if field.annotation is str:
        return "path" if "_path" in str(field.metadata) else "word"
    if get_origin(field.annotation) is Literal:
        return "word"
    if "dict" in text:
        return "settings"
    if "tuple" in text:
        return "words" if "str" in text else "sizes" if "int" in text else "numbers"
    return "whole" if "int" in text else "number"


def within(field, value):
    """Whether a number keeps the bounds that the field declares."""
    bounds = {
        name: getattr(m, name)
        for m in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(m, name, None) is not None
    }
    return (
        value >= bounds.get("ge", -math.inf)
        and value > bounds.get("gt", -math.inf)
        and value <= bounds.get("le", math.inf)
        and value < bounds.get("lt", math.inf)
    )


def right(name, field, value):
    """Whether a value is right, by its type and bounds; None where only the experiment can say."""
    kind, optional = kind_of(field), type(None) in get_args(field.annotation)
    if value is None:
        return optional
    if kind in ("whole", "number"):
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return False
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return False
        fine = math.isfinite(number) and (kind == "number" or number == int(number))
        return None if fine and within(field, number) else False
    if kind == "flag":
        return False  # all that WRONG has for flags is wrong
    if kind in ("word", "path"):
        if get_origin(field.annotation) is Literal:
            return value in get_args(field.annotation)
        if not isinstance(value, str):
            return False
        return True if name in FREE else False
    return None


def cases():
    for name, module in MODULES.items():
        for parameter, field in module.Parameters.model_fields.items():
            values = [(value, right(parameter, field, value)) for value in WRONG[kind_of(field)]]
            if parameter in TOO_LARGE:
                values.append((TOO_LARGE[parameter], False))
            yield pytest.param(name, parameter, values, id=f"{name}-{parameter}")


class Worked(Exception):
    """An image was made or read: the parameters were accepted."""


@pytest.fixture
def no_work(monkeypatch, tmp_path):
    """Let every loader fail the test that calls it; nothing may be written to the folder."""

    def worked(*_, **__):
        raise Worked

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.setattr(files, "decode", worked)
    monkeypatch.setattr(dsprites, "load", worked)
    monkeypatch.setattr(dsprites, "draw", worked)
    monkeypatch.setattr(imagenet, "RENDERED", dict.fromkeys(data.RENDERED, worked))
    return tmp_path


def outcome(name, values):
    """The message that refuses the parameters, or None where they are accepted."""
    module = MODULES[name]
    try:
        module.prepare(module.Parameters.read(BASE[name] | values))
    except Worked:
        return None
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name, parameter, values", cases())
def test_a_wrong_value_is_one_line_before_any_work(name, parameter, values, no_work):
    for value, is_right in values:
        message = outcome(name, {parameter: value})
        told = f"{parameter} = {str(value)[:60]!r}: {message and message[:300]!r}"
        assert is_right is not False or message is not None, f"accepted: {told}"
        assert is_right is not True or message is None, f"refused: {told}"
        if message is not None:
            assert "\n" not in message and len(message) < 1000, told
            words = [word.removesuffix("s") for word in (parameter, *parameter.split("_"))]
            words += re.findall(r"\w+", str(value)[:60])
            assert any(word in message for word in words), f"does not name it: {told}"
            assert re.search(
                "give|choose|did you mean|not a |is not|it has|this pipeline has", message
            ), told
        assert not os.listdir(no_work), f"written: {told}"


@pytest.mark.parametrize(
    "name, values, says",
    [
        (
            "imagenet",
            {"loss_settings": {"beta": "x"}, "family": "barlow"},
            "beta = 'x'; give a num",
        ),
        ("imagenet", {"loss_settings": "denominator=x", "family": "simclr"}, "denominator = 'x'"),
        ("imagenet", {"loss_settings": "temperature=-1"}, "temperature = -1; give 0.001 or more"),
        ("imagenet", {"groups": ["spatial", "spatial"], "sizes": [4, 2, 2]}, "spatial"),
        ("imagenet", {"batch_size": 3000}, "batch_size 3000 is larger than the 2000 training"),
        ("imagenet", {"data_dir": "", "image_size": 4096}, "rendered images of image_size 4096"),
        ("imagenet", {"val_dir": "held-out"}, "val_dir"),
        ("imagenet", {"sizes": [1, 2]}, "2 sizes"),
        ("imagenet", {"lambdas": [1, 2]}, "lambdas"),
        ("imagenet", {"device": "meta"}, "device 'meta'"),
        ("imagenet", {"warmup_epochs": 101}, "warmup_epochs 101 is more than the 100 epochs"),
        ("imagenet", {"hidden": [10**6, 10**6]}, "give smaller sizes, hidden"),
        ("imagenet", {"sizes": [10**6] * 3}, "give smaller sizes, hidden"),
        ("imagenet", {"devices": 64, "batch_size": 128}, "devices 64 on a CPU"),
        ("sprites", {"batch_size": 201}, "batch_size 201"),
        ("sprites", {"max_images": 6 * 10**6}, "max_images|more than half"),
        ("transfer", {"task_images": 10**6}, "task_images"),
        ("numerical", {"width": 10**6}, "width"),
        ("numerical", {"content": 254}, "give 256 or less"),
        (
            "numerical",
            {"out_dir": "/dev/null/x"},
            "out_dir '/dev/null/x': '/dev/null' is not a fold",
        ),
        ("imagenet", {"out_dir": "/dev/null"}, "out_dir '/dev/null'"),
    ],
    ids=str,
)
def test_values_that_do_not_fit_together_or_this_machine(name, values, says, no_work):
    message = outcome(name, values)
    assert message is not None and re.search(says, message) and "\n" not in message
    assert not os.listdir(no_work)

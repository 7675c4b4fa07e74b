"""Checked settings: frozen records that report a wrong name or value in one line.

A `Config` is a pydantic model that forbids unknown names. The error for an unknown name suggests
the most similar known one; the error for a wrong value says which values are allowed. Both are
raised when the record is made, before any work starts.
"""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

LONGEST = 200  # characters of a wrong value that a message shows
WHOLE = 10**15  # largest magnitude of a whole number: sums and products still fit into 64 bits
NUMBER = 1e30  # largest magnitude of another number: float32 still holds its products


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return " (did you mean 'x'?)" for the most similar known name x, or "" if none is similar.

    cutoff: the smallest similarity, from 0 to 1 (difflib's ratio).
    """
    match = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" (did you mean '{match[0]}'?)" if match else ""


def choose(what: str, name: object, known: Iterable[str]) -> None:
    """Raise ValueError unless `name` is one of `known`.

    The message, one line, suggests the most similar known name and lists them all. what: the kind
    of thing that is chosen, such as "family".
    """
    known = list(known)
    if name not in known:
        choices, name = ", ".join(known), shown(name).strip("'\"")
        raise ValueError(f"unknown {what} '{name}'{nearest(name, known)}; choose {choices}")


C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A frozen record of settings; a name or value that is wrong raises ValueError, one line."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, /, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(" ".join(explain(error, type(self)).split())) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(f"{name} cannot be set: the record is frozen; use change({name}=…)")

    def change(self: C, **changes: Any) -> C:
        """Return a copy with some fields changed, checked as the constructor checks them."""
        return type(self)(**self.model_dump() | changes)


def explain(error: ValidationError, kind: type[Config]) -> str:
    """Return the first of pydantic's errors as text: what is wrong and what would be right.

    kind: the record whose constructor failed.
    """
    first = error.errors(include_url=False)[0]
    name, value = (str(first["loc"][0]) if first["loc"] else ""), first.get("input")
    if first["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        advice = nearest(name, known, cutoff=0.75) or f"; choose {', '.join(known)}"
        return f"unknown parameter '{name[:LONGEST]}'{advice}"
    if first["type"] == "missing":
        return f"parameter '{name}' is missing; it is: {kind.model_fields[name].description}"
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        return message if not name or message.startswith("unknown ") else f"{name}: {message}"
    return f"{name} = {shown(value)}; give {_wanted(first)}"


def shown(value: object) -> str:
    """Return a value as text for a message; what is long or nested deeply is shortened."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = LONGEST
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = 20
    try:
        return short.repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"


# The beginning of pydantic's error type, or its kind of bound -> what to give instead.
KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False"}
LIMITS = {"ge": "{} or more", "gt": "a number above {}", "le": "{} or less", "lt": "less than {}"}


def _wanted(error: Any) -> str:
    """Return what to give instead, from the type of one pydantic error and its bounds."""
    for key, text in LIMITS.items():
        if key in error.get("ctx", {}):
            limit = error["ctx"][key]
            return text.format(limit if isinstance(limit, int) else f"{limit:g}")
    kind = error["type"].split("_")[0]
    if kind == "literal":
        return error["ctx"]["expected"]
    return KINDS.get(kind, error["msg"].lower().removeprefix("input should be "))


# ------------------------------------------------------------------------------ types of the fields


def _listed(value: object) -> object:
    """Return a list from text such as '64, 32, 32' (papermill's -p), or from a single number."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return [value] if isinstance(value, (int, float)) else value


def _not_a_flag(value: object) -> object:
    """Raise ValueError for True and False, which pydantic would read as the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number; give a number")
    return value


def _path(text: str) -> str:
    """Raise ValueError for a text that no file can have as its path."""
    try:
        os.fsencode(os.path.expanduser(text))
    except UnicodeEncodeError:
        raise ValueError(
            f"{shown(text)} cannot be a path; give one that this system can write"
        ) from None
    if "\0" in text:
        raise ValueError(f"{shown(text)} cannot be a path; give one without a zero byte")
    if text.startswith("~") and os.path.expanduser(text) == text:
        raise ValueError(f"{shown(text)} names a user who is not there; give another path")
    # of a pattern such as {a,b,c}.tar, the paths that it stands for may be shorter
    names = [] if "{" in text else os.fsencode(text).split(b"/")
    if len(text) > 4000 or any(len(name) > 255 for name in names):
        raise ValueError(f"{shown(text)} is too long for a path; give a shorter one")
    return text


Whole = Annotated[int, BeforeValidator(_not_a_flag), Field(ge=-WHOLE, le=WHOLE)]
Number = Annotated[float, BeforeValidator(_not_a_flag), Field(ge=-NUMBER, le=NUMBER)]
Place = Annotated[str, AfterValidator(_path)]  # the path of a file or folder, or ""
Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
# sizes, such as widths of layers
Wholes = Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], BeforeValidator(_listed)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_listed)]

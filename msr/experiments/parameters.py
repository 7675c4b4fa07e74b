"""The parameters of the notebooks: a frozen record for each, with all names and defaults.

The `parameters` cell of a notebook is written from its record (`make sync`), so each default, its
comment and its bounds are written here and nowhere else. `read` makes the record from the values
that the notebook was run with.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from msr.config import Config, Place, Whole
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


P = TypeVar("P", bound="Page")


class Page(Config):
    """The parameters that every notebook has."""

    NAME: ClassVar[str]  # the name of the notebook, and of its experiment
    FIRST: ClassVar[tuple[str, ...]] = ()  # the parameters that people change most; shown first

    device: str = parameter(
        "auto", "auto (a GPU if there is one), cpu, cuda or cuda:1", decides=False
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


class Parameters(Page):
    """The parameters that every experiment has: also seeds and precision."""

    seeds: Whole = parameter(
        3, "number of independent runs; tables show mean ± std", decides=False, ge=1, le=1000
    )
    seed: Seed = parameter(0, "seed of the first run; the others take the next ones", decides=False)
    precision: Precision = parameter(
        "auto", "bf16, float32, or auto: bf16 where it is faster", decides=False
    )
    fresh: bool = parameter(
        False, "set aside earlier runs in out_dir and train again", decides=False
    )

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


def cell(kind: type[Page], **changed: Any) -> str:
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

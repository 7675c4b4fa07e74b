"""Every claim of the book that a run can test, and what the runs at hand say of it."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from msr.config import Place
from msr.experiments.parameters import Page, parameter
from msr.report import claims, kept
from msr.report.claims import Claim, Judged
from msr.report.tables import grid

Record = dict[str, Any]  # the content of a metrics.json
STATED = "claims.yml"  # in results/
TITLES = {
    "numerical": "The theory in action",
    "sprites": "Sprites",
    "imagenet": "Images",
    "price": "The price of style",
    "photographs": "Photographs",
    "transfer": "Transfer",
}
GIVEN = ("data_dir", "tasks")  # parameters whose empty default does not mean "what suits the data"


class Parameters(Page):
    """The parameters of book/reproduction.ipynb."""

    NAME: ClassVar[str] = "reproduction"
    FIRST: ClassVar[tuple[str, ...]] = ("out_dir",)

    out_dir: Place = parameter(
        "runs/reproduction", "runs of the other notebooks lie beside it", decides=False
    )


class Sides(NamedTuple):
    """What the reference run, kept in results/, and this book's own run say of the same claims."""

    reference: list[Judged]
    here: list[Judged]


def stated() -> dict[str, list[Claim]]:
    """Return the claims of the book by notebook, in the order in which they are stated."""
    text = yaml.safe_load((kept.RESULTS / STATED).read_text())
    return {page: [read(some) for some in found] for page, found in text.items()}


def read(some: dict[str, Any]) -> Claim:
    """Return the claim that an entry of claims.yml states."""
    more = "more than" in some
    cells, against = (tuple(map(tuple, some.get(name, ()))) for name in ("cells", "against"))
    than = some["more than" if more else "less than"]
    return Claim(some["claim"], some["source"], cells, more, than, against)


def judge(config: Parameters) -> dict[str, Sides]:
    """Return what both runs of each notebook say of its claims."""
    found = {}
    for page, some in stated().items():
        reference = kept.content(kept.RESULTS / f"{page}.json")
        here = kept.content(Path(config.out_dir).parent / page / "metrics.json")
        sides = claims.judged(some, reference), claims.judged(some, here, reference)
        found[page] = Sides(*sides)
    return found


def count(found: dict[str, Sides]) -> tuple[int, int, int]:
    """Return how many claims there are, and how many the references and this book reproduced."""
    sides = [[one for some in found.values() for one in some[i]] for i in range(2)]
    reproduced = [sum(one.reproduced for one in side) for side in sides]
    return len(sides[0]), reproduced[0], reproduced[1]


def sentence(found: dict[str, Sides]) -> str:
    """Return in words how many claims were reproduced."""
    n, reference, here = count(found)
    ran = sum(bool(one.values) for sides in found.values() for one in sides.reference)
    missing = "" if ran == n else f" ({n - ran} were not run)"
    return (
        f"Of **{n}** claims the reference runs reproduce **{reference}**{missing}, and the runs "
        f"that made this book **{here}**."
    )


def headline(page: str) -> str:
    """Return the first claim of a notebook with the reference's number, in Markdown; "" for none.

    Also "" where the reference was not run.
    """
    some = stated().get(page, [])
    first = claims.judged(some, kept.content(kept.RESULTS / f"{page}.json"))[:1]
    if not first or not first[0].values:
        return ""
    one = first[0]
    what = "a difference of " if one.claim.against else ""
    return (
        f"```{{admonition}} In one line\n{one.claim.text}: {what}**{one.number}** (corrected 95 % "
        f"interval) in the long run that is kept with the book. Claimed: "
        f"{claims.bound(one.claim)}; {one.words}. "
        "[All claims and numbers](reproduction.ipynb).\n```"
    )


def command(found: Record) -> str:
    """Return the command that repeats a run that is kept, for parameters that stand first.

    Those are the images, and what else of `FIRST` is no default of the notebook.
    """
    name, params = found["notebook"], found["params"]
    bare = f"papermill book/{name}.ipynb out.ipynb"
    try:
        page = importlib.import_module(f"msr.experiments.{name}").Parameters
    except ImportError:  # a page of one's own
        return bare
    defaults = page().model_dump()
    given = {
        n: params[n]
        for n in page.FIRST
        if n in params and (n in GIVEN or defaults[n]) and params[n] != plain(defaults[n])
    }
    words = (f"-p {n} {shlex.quote(listed(value))}" for n, value in given.items() if value)
    return " ".join([bare, *words]).replace("|", r"\|")


def plain(value: Any) -> Any:
    """Return a parameter as it is read from a file: a tuple is a list there."""
    return list(value) if isinstance(value, tuple) else value


def listed(value: Any) -> str:
    """Return a parameter as papermill's -p takes it: a list with commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def references() -> str:
    """Return a Markdown table of the runs that are kept in results/.

    The minutes are those of the notebook; training is summed over its networks, two of which may
    have trained at a time, or in an earlier run of the notebook.
    """
    rows = []
    for path in sorted(kept.RESULTS.glob("*.json")):
        found = kept.content(path)
        on = f"{found['device']}, PyTorch {found['versions']['torch']}"
        times = [f"{found[n] / 60:.0f}" if n in found else "–" for n in ("seconds", "trained")]
        rows.append([path.stem, f"`{command(found)}`", f"`{found['commit']}`", on, *times])
    columns = ["notebook", "command", "commit", "made on", "minutes", "training, minutes"]
    return grid(columns, rows)

"""The sentences of a page that state results, each made from the numbers that it states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from msr.report.metrics import Table, cell_of
from msr.report.names import code
from msr.report.tables import difference, number, show, words
from msr.report.verdict import NOTE, between, compared, leads, located, promised, say

# ------------------------------------------------------------------------------ what made a page


@dataclass(frozen=True)
class Facts:
    """What the first lines of a page say about its run."""

    source: str  # what the images are, in words
    n_train: int  # number of training images
    n_val: int  # number of held-out images
    image_size: int  # side in pixels
    epochs: int
    batch_size: int
    family: str
    backbone: str
    spaces: Mapping[str, int]  # {space: number of its dimensions}
    seeds: int  # number of seeds
    device: str  # its type, such as cpu or cuda
    probed: tuple[int, int] | None = None  # numbers of images that probes are fitted and scored on
    files: str = ""  # which files were skipped or converted, in words
    own_images: bool = False  # whether the notebook takes a data_dir
    paper: str = "paper"  # this notebook's profile at the scale of the paper; "": none


SHORT = {
    "smoke": "This is a test of the code, too short to learn anything.",
    "quick": "This is a short run: `make book PROFILE=standard` trains longer.",
}


def made_by(notebook: str, profile: str, facts: Facts) -> str:
    """Return the first lines of a page: its data, its profile, and how to get better results.

    notebook: its name. profile: the profile that made the page.
    """
    gpu = f", or a GPU and `book/profiles/{facts.paper}.yml`" if facts.paper else ""
    further = f"To go further: more `epochs`{gpu}."
    sizes = ", ".join(f"{name} {size}" for name, size in facts.spaces.items())
    parts = [
        f"**This page ran on {facts.source}**: {facts.n_train:,} images for training, "
        f"{facts.n_val:,} held out, {facts.image_size} px.",
        f"Profile {code(profile)}: {counted(facts.epochs, 'epoch')} with batches of "
        f"{facts.batch_size}, family `{facts.family}`, backbone `{facts.backbone}`, spaces "
        f"{sizes}, {counted(facts.seeds, 'seed')}, on {facts.device}{_probed(facts.probed)}.",
        (SHORT | {"standard": further}).get(profile, ""),
        f"Files: {facts.files}." if facts.files else "",
    ]
    text = " ".join(part for part in parts if part)
    if not facts.own_images:
        return text
    command = f"papermill book/{notebook}.ipynb out.ipynb -p data_dir FOLDER"
    return f"{text}\n\nWith your own images: `{command}`."


def grouped(members: Mapping[str, Sequence[str]]) -> str:
    """Return which transforms each group has, as a Markdown list; members: {group: transforms}."""
    return "\n".join(
        f"- `{group}`: {', '.join(name.replace('_', ' ') for name in names)}"
        for group, names in members.items()
    )


def counted(n: int, what: str) -> str:
    """Return a number with its noun: '1 seed', '2 seeds'."""
    return f"{n} {what}{'s' * (n != 1)}"


def _probed(counts: tuple[int, int] | None) -> str:
    """Return how many images the probes were fitted and scored on; empty without probes."""
    if counts is None:
        return ""
    return f"; probes fitted on {counts[0]:,} images and scored on {counts[1]:,}"


def small_probe(fitted: int, n_train: int, field: bool) -> str:
    """Say that accuracies of probes on few images are not those that papers report.

    fitted: number of images that they are fitted on, of n_train. field: whether the page also has
    the linear probe of the field. Empty if they are fitted on all of them.
    """
    if fitted == n_train:
        return ""
    also = "it is the second table here" if field else "with `linear_probe` the page also has it"
    return (
        f"These accuracies are of probes fitted on {fitted:,} of {n_train:,} training images, with "
        "one penalty. They compare spaces with each other, and cannot be compared with numbers in "
        f"papers, whose linear probe is fitted on all training images ({also})."
    )


# -------------------------------------------------------------------- does the theory's map hold?


def promises(table: Table, spaces: Sequence[str], homes: Mapping[str, str]) -> str:
    """Say for each target whether the space that should encode it predicts it best; a line each.

    homes: {factor or target: space that should encode it, according to the theory}. The targets are
    those columns of the table that have their home among `spaces`; a label is judged by its linear
    probe. Empty if there are none.
    """
    lines, place = [], located(table, spaces, homes)
    for target, verdict in leads(table, spaces, homes).items():
        home = place[target]
        own, rival = table[home][target], best_of(table, target, [s for s in spaces if s != home])
        lines.append(
            f"- *{words(target)}* belongs to `{home}`: {show(own)} from it, at most "
            f"{show(table[rival][target])} elsewhere (`{rival}`); lead {difference(verdict)}, "
            f"{promised(verdict)}."
        )
    return _noted(lines)


def sprites_promises(table: Table, spaces: Sequence[str], homes: Mapping[str, str]) -> str:
    """Say how well each space predicts each factor of a sprite, and what the joined spaces lose.

    homes: {factor: space that should encode it}. The last line gives the factor whose score drops
    most from h to the joined spaces; its verdict is corrected over all factors.
    """
    lines, place = [], located(table, spaces, homes)
    for target, verdict in leads(table, spaces, homes).items():
        home = place[target]
        rest = ", ".join(f"{show(table[s][target])} from `{s}`" for s in spaces if s != home)
        lines.append(
            f"- *{words(target)}*: {show(table[home][target])} from `{home}`; {rest}; "
            f"lead {difference(verdict)}, {promised(verdict)}."
        )
    changes = between(table, "joined", table, "h", list(table["h"]))
    known = [target for target, change in changes.items() if not math.isnan(change.mean)]
    if known:
        worst = min(known, key=lambda target: changes[target].mean)
        lines.append(
            f"- *All spaces together* against $h$: the largest drop is for {words(worst)}, "
            f"{difference(changes[worst])}, {compared(changes[worst])}."
        )
    return _noted(lines)


def hidden_sentences(table: Table, factors: Sequence[str]) -> str:
    """Say of each factor what the content space knows of it, and what a view tells of it.

    table: {row: {factor: cell}} with the rows `content`, `h of a view` and `content of a view`. A
    view tells what the better of the last two predicts, in each seed. The verdicts are on content
    minus view, corrected over the factors.
    """
    views = [row for row in table if row.endswith("of a view")]
    known = {name: table["content"][name] for name in factors}
    told = {
        name: cell_of(np.max([table[row][name]["values"] for row in views], axis=0).tolist())
        for name in factors
    }
    lines = []
    for name, verdict in between({"": known}, "", {"": told}, "", factors).items():
        judged = say(
            verdict, "**more than a view tells**", "less than a view tells", "no clear difference"
        )
        lines.append(
            f"- *{words(name)}*: the content space predicts {show(known[name])} from a plain "
            f"sprite; a view tells {show(told[name])}; difference {difference(verdict)}, {judged}."
        )
    return "\n".join(lines)


def pairs_sentences(
    two: Table, main: Table, space: str, rows: Sequence[str], targets: Sequence[str]
) -> str:
    """Say how well differences of two views are told, beside what the plain image and a view tell.

    two: {row: {target: cell}} of two augmented views, with the rows `space` and `rows`. main: the
    table of a space from plain image and view. The two are not compared by a verdict: a difference
    has another variance than what it is the difference of.
    """
    lines = []
    for name in targets:
        others = ", ".join(f"{code(row)} {show(two[row][name])}" for row in rows)
        lines.append(
            f"- *{words(name)}*: from two views {code(space)} predicts {show(two[space][name])} "
            f"(with the plain image {show(main[space][name])}), {others}."
        )
    return "\n".join(lines)


def task_promises(kinds: Table, spaces: Sequence[str]) -> str:
    """Say for each kind of task that has a space of its own whether that space leads the others.

    kinds: {space: {kind: mean accuracy over the tasks of that kind}}, with the rows h and joined.
    """
    lines = []
    for kind, verdict in leads(kinds, spaces, {space: space for space in spaces}).items():
        rival = best_of(kinds, kind, [space for space in spaces if space != kind])
        lines.append(
            f"- *{kind}* tasks: {show(kinds[kind][kind])} from `{kind}`, at most "
            f"{show(kinds[rival][kind])} from another space (`{rival}`); lead "
            f"{difference(verdict)}, {promised(verdict)}. From `joined` "
            f"{show(kinds['joined'][kind])}, from `h` {show(kinds['h'][kind])}."
        )
    return _noted(lines)


def task_exceptions(table: Table, kinds: Mapping[str, str], spaces: Sequence[str]) -> str:
    """Name the single tasks in which another space scores higher than that of their kind.

    table: {space: {task: accuracy}}; kinds: {task: the space that should lead}. The means over
    seeds are compared, without a verdict. Empty if there are none.
    """
    lines = []
    for task, kind in kinds.items():
        best = best_of(table, task, spaces) if kind in spaces else kind
        if best != kind and table[best][task]["value"] > table[kind][task]["value"]:
            lines.append(
                f"- *{words(task)}*: {show(table[best][task])} from `{best}`, "
                f"{show(table[kind][task])} from `{kind}`."
            )
    head = "Single tasks in which another space has the higher mean:"
    return "\n".join([head, "", *lines]) if lines else ""


def best_of(table: Table, target: str, spaces: Sequence[str]) -> str:
    """Return the space with the highest mean score on a target; one without a score comes last."""
    scores = {space: table[space][target]["value"] for space in spaces}
    return max(spaces, key=lambda space: -math.inf if math.isnan(scores[space]) else scores[space])


def _noted(lines: Sequence[str]) -> str:
    """Return lines with verdicts, and below them how verdicts are made; empty for no lines."""
    return "\n".join([*lines, "", NOTE]) if lines else ""


def sensitivity_sentence(table: Table, spaces: Sequence[str]) -> str:
    """Describe the sensitivity matrix: each style space, then content; empty without styles.

    table: {space: {group: sensitivity}}; a style space has the name of its group.
    """
    styles = [space for space in spaces if space != "content"]
    if not styles:
        return ""
    parts = []
    for style in styles:
        own = table[style][style]["value"]
        most = max((table[style][g]["value"] for g in styles if g != style), default=0.0)
        rest = f" and at most {number(most)} to another" if len(styles) > 1 else ""
        if most > 0 and own > 0:
            times = own / most
            shown = "over 1,000" if times > 1000 else number(times, 0 if times > 10 else 1)
            rest += f" ({shown} times as much)"
        parts.append(f"`{style}` has sensitivity {number(own)} to its own group{rest}")
    most = max(table["content"][group]["value"] for group in styles)
    return f"In numbers: {'; '.join(parts)}. `content` has at most {number(most)} to any of them."


def changes_sentences(studies: Mapping[str, Table], by: float = 0.1) -> str:
    """Say for each setting of a study which numbers differ from the first setting's.

    studies: {study: {setting: {number: cell}}}; the first setting is the default. by: the smallest
    difference of means that is named. There is no verdict: a study may have one seed.
    """
    lines = []
    for study, table in studies.items():
        for name in list(table)[1:]:
            default = table[next(iter(table))]
            changed = [
                f"{words(target)} {number(cell['value'])} instead of "
                f"{number(default[target]['value'])}"
                for target, cell in table[name].items()
                if not abs(cell["value"] - default[target]["value"]) < by - 1e-9  # nan too
            ]
            lines.append(f"- **{study}**, *{name}*: {', '.join(changed) or 'nothing'}.")
    return "\n".join([f"What differs by {number(by, 1)} or more:", "", *lines]) if lines else ""

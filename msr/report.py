"""Sentences and tables of a page, each built from the metrics it states."""
from __future__ import annotations

from typing import Sequence

import torch

from .augment import Normalise

STYLES = ("brightness", "contrast", "saturation", "hue", "crop_x", "crop_y", "crop_size", "flip", "rotation")


def made_by(notebook: str, profile: str, setup) -> str:
    """The first lines of a page: the data, the profile, and how to make it better."""
    c, s = setup.chosen, setup.settings
    paper = "paper-sprites" if notebook == "sprites" else "paper"
    judged = "" if notebook == "transfer" else f"; probes fitted on {len(setup.train_probe):,} and scored on {len(setup.val_probe):,} images"
    more = {"smoke": "This is a test of the machinery, too short to learn anything.", "quick": "This is a short run: "
            "`make book PROFILE=standard` trains longer.", "standard": f"To go further: more `epochs`, or a GPU and `book/profiles/{paper}.yml`."}.get(profile, "")
    met = setup.train.report.summary() if setup.train.report else ""
    sizes = ", ".join(f"{name} {size}" for name, size in zip(setup.spaces.names, setup.spaces.sizes))
    return (f"**This page ran on {setup.source}**: {len(setup.train):,} for training, {len(setup.val):,} held out, {c['image_size']} px. "
            f"Profile `{profile}`: {s.epochs} epochs of batches of {s.batch_size}, family `{c['family']}`, backbone `{c['backbone']}`, "
            f"spaces {sizes}, {c['seeds']} seed{'s' * (c['seeds'] > 1)}, on {setup.device.type}{judged}. {more}" + (f" Files: {met}." if met else "")
            + (f"\n\nWith your own images: `papermill book/{notebook}.ipynb out.ipynb -p data_dir FOLDER -p epochs 100`." if "data_dir" in c else ""))


def unnormalise(x: torch.Tensor) -> torch.Tensor:
    """Views back to [0, 1], on the CPU, for a figure. x [..., 3, S, S]."""
    n = Normalise()
    mean, std = (torch.tensor(v)[:, None, None] for v in (n.mean, n.std))
    return (x.float().cpu() * std + mean).clamp(0, 1)


def columns(table) -> tuple[list[str], list[str]]:
    """A table's label and factor columns, and its style columns, in order of appearance."""
    names = list(next(iter(table.values())))
    styles = [n for n in names if n in STYLES]
    labels = [n for n in names if n not in styles and not n.endswith("_alone") and n not in ("x", "y")]
    return labels, styles


def number(value: float, digits: int = 2) -> str:
    return f"{round(value, digits) + 0:.{digits}f}".replace("-", "−")                         # + 0: no minus before a zero


def show(cell) -> str:
    return number(cell["value"]) + ("" if cell["std"] is None else f" ± {cell['std']:.2f}")


def words(target: str) -> str:
    return target.replace("_linear", " (linear)").replace("_knn", " (kNN)").replace("_", " ")


def best_spaces(table, targets: Sequence[str], spaces: Sequence[str]) -> str:
    """Per target the space that tells most of it, and its lead over the next."""
    if not targets or len(spaces) < 2:
        return ""
    lines = ["| target | best space | its score | next | its score | lead |", "|---|---|---|---|---|---|"]
    for target in targets:
        first, second = sorted(spaces, key=lambda s: -table[s][target]["value"])[:2]
        a, b = table[first][target], table[second][target]
        lines.append(f"| {words(target)} | **{first}** | {show(a)} | {second} | {show(b)} | {number(a['value'] - b['value'])} |")
    return "\n".join(lines)


PROMISED = {"shape_linear": "content", "texture_linear": "content", "color_linear": "appearance", "position": "spatial",
            "brightness": "appearance", "saturation": "appearance", "hue": "appearance", "crop_x": "spatial", "crop_y": "spatial"}


def promises(table, spaces: Sequence[str], margin: float = 0.3) -> str:
    """Does each target lie where the theory puts it? One line each, for the targets and spaces that this page has.

    A lead of `margin` is plain; one below the two standard deviations together decides nothing.
    """
    lines = []
    for target, home in PROMISED.items() if len(spaces) > 1 else ():
        if home not in spaces or target not in table[home]:
            continue
        other = max((s for s in spaces if s != home), key=lambda s: table[s][target]["value"])
        own, rival = table[home][target], table[other][target]
        lead = own["value"] - rival["value"]
        spread = (own["std"] or 0) + (rival["std"] or 0)
        verdict = ("as promised" if lead >= margin else "as promised, by a narrow lead" if lead > spread else
                   "**undecided**, the lead is within the spread" if lead > -spread else "**not as promised**")
        lines.append(f"- *{words(target)}* belongs to `{home}`: {show(own)}; at most {show(rival)} elsewhere (`{other}`): {verdict}.")
    return "\n".join(lines)


def sensitivity_sentence(table, spaces: Sequence[str]) -> str:
    """What the matrix says, style by style, then content."""
    styles, parts = [s for s in spaces if s != "content"], []
    for s in styles:
        own, others = table[s][s]["value"], [table[s][g]["value"] for g in styles if g != s]
        rest = f" and to the other{'s' * (len(others) > 1)} with {max(others):.2f}: {own / max(others):.{0 if own > 10 * max(others) else 1}f} times as strongly" if others else ""
        parts.append(f"`{s}` reacts to its own group with {own:.2f}{rest}")
    most = max((table["content"][g]["value"] for g in styles), default=0.0)
    return "In numbers: " + "; ".join(parts) + f". `content` reacts with {most:.2f} at most." if styles else ""


def compare(runs, baseline, targets: Sequence[str], paired) -> str:
    """h of both, and their difference over seeds; better or worse is said only where the interval excludes zero."""
    def mean(some, space, target):
        return number(sum(run.table[space][target] for run in some) / len(some))

    lines = ["| target | h, with spaces | h, plain | joined spaces | difference of h | verdict |", "|---|---|---|---|---|---|"]
    for target in targets:
        d, half = paired([r.table["h"][target] for r in runs], [r.table["h"][target] for r in baseline])
        one = half == float("inf")
        verdict = "one seed: none" if one else "better" if d > half else "worse" if d < -half else "no clear difference"
        lines.append(f"| {words(target)} | {mean(runs, 'h', target)} | {mean(baseline, 'h', target)} | {mean(runs, 'joined', target)} | "
                     f"{number(d)}{'' if one else f' ± {half:.2f}'} | {verdict} |")
    return "\n".join(lines) + "\n\nDifference: with spaces minus plain, the same seeds paired; ± is the half-width of a 95 % t-interval."


def numerical_by(profile: str, setting, seeds: int) -> str:
    """The first lines of the numerical page."""
    more = {"smoke": "This is a test of the machinery, too short to learn anything.",
            "quick": "This is a short run: `make book PROFILE=standard` trains longer."}.get(profile, "")
    styles = " + ".join(map(str, setting.latents.styles))
    return (f"**This page drew its own latents**: {setting.latents.content} dimensions of content, {styles} of style. Profile `{profile}`: {setting.steps:,} steps "
            f"of {setting.batch_size:,} fresh latents, an encoder of {setting.depth} layers of {setting.width}, {seeds} seed{'s' * (seeds > 1)}, on {setting.on.type}; "
            f"probes fitted on {setting.probe:,} and scored on {setting.probe:,} others. {more}")


def blocks_sentences(tables, spaces: Sequence[str]) -> str:
    """Per regime: the lowest R² of a block from its own space, and the largest where the theory wants none."""
    lines = []
    for regime, table in tables.items():
        kind = "exogenous" if regime == "causal" else "style"
        own = {s: table[s][s.replace("style", kind)] for s in spaces}
        worst = min(list(own)[1:], key=lambda s: own[s]["value"])
        wrong = [table[a][t]["value"] for a in spaces for t in (b.replace("style", kind) for b in spaces) if t != a.replace("style", kind)]
        lines.append(f"- *{regime}*: content from `content` {show(own['content'])}; each {'exogenous noise' if kind == 'exogenous' else 'style'} from its own space at least "
                     f"{show(own[worst])} (`{worst}`); every other of these entries at most {number(max(wrong))}.")
    return "\n".join(lines)


def given_content(table, styles: Sequence[str]) -> str:
    """Style from its space alone, and from its space and content together."""
    lines = [f"- `{s}`: {show(table[s][s])} from its space alone, {show(table[s][s + '_given_content'])} from its space and content together; content from it "
             f"{show(table[s]['content'])}." for s in styles]
    return "\n".join(lines)


def turn_sentence(score: dict[str, float]) -> str:
    """The counterexample in numbers."""
    return (f"Loss at the perfect embedding {number(score['loss_style'], 4)}, with the style turned {number(score['loss_turned'], 4)}. R² of the style from the turned block alone "
            f"{number(score['turned'])}, from the turned block and content together {number(score['turned_given_content'])}.")


def study_sentences(studies, dropped, last: str) -> str:
    """The studies in words, from their tables."""
    sizes, narrow = studies["sizes"], studies["augmentation"]
    first = next(iter(narrow))
    lines = [f"- *Sizes.* With {name}: content {show(row['content'])}, styles {show(row['style'])}, leak {show(row['leak'])}." for name, row in sizes.items()]
    lines += [f"- *A key that shares nothing*: its space tells {show(dropped[last][last])} of its style and {show(dropped[last]['content'])} of content; "
              f"the content space keeps {show(dropped['content']['content'])} of content.",
              f"- *Narrow augmentation* ({first}): content {show(narrow[first]['content'])}, styles {show(narrow[first]['style'])}."]
    return "\n".join(lines)


def table(some, names: dict[str, str] | None = None) -> str:
    """Any table of metrics as Markdown."""
    columns = list(next(iter(some.values())))
    lines = ["| | " + " | ".join(words(c) for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join(lines + [f"| {(names or {}).get(row, row)} | " + " | ".join(show(cells[c]) for c in columns) + " |" for row, cells in some.items()])


def sprites_promises(some, spaces: Sequence[str]) -> str:
    """Where each factor of a sprite lies, and where it should not be; and what the joined spaces lose against h."""
    tint, place = ("appearance", "color"), ("spatial", "translation")
    homes = {"shape": ("content",), "color": tint, "hue": tint, "scale": ("spatial", "zoom"), "orientation": ("rotation",), "x": place, "y": place}
    lines = []
    for target, candidates in homes.items():
        home = next((name for name in candidates if name in spaces), None)
        if home is None or target not in some[home]:
            continue
        rest = ", ".join(f"{show(some[s][target])} from `{s}`" for s in spaces if s != home)
        lines.append(f"- *{words(target)}*: {show(some[home][target])} from `{home}`; {rest}.")
    loss = {t: some["h"][t]["value"] - some["joined"][t]["value"] for t in some["h"]}
    worst = max(loss, key=loss.get)
    return "\n".join([*lines, f"- *All spaces together* lose at most {number(loss[worst])} against $h$ (on {words(worst)})."])

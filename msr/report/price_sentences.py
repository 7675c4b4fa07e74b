"""The sentences of the price page, each made from the verdicts that it states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msr.report.metrics import Table
from msr.report.tables import difference, show, words
from msr.report.verdict import NOTE, ONE_SEED, Verdict, compared, lower, paired, say

Verdicts = Mapping[str, Mapping[str, Verdict]]  # {number: {setting or variation: verdict}}
OURS = "ours"  # the name of our method beside others
LITTLE = 0.05  # R² that counts as gone
WHAT = {
    "h": "content from h",
    "content": "content from its space",
    "style": "style from h",
    "leak": "style in the content space",
}


def price_sentences(prices: Verdicts) -> str:
    """Return one line per setting on ours minus plain self-supervision, as a Markdown list.

    prices: {number: {setting: verdict}} with the numbers in `WHAT`; empty without settings.
    """
    lines = []
    for setting in prices.get("h", {}):
        parts = [
            f"{what} {difference(prices[number][setting])} ({judged(number, prices, setting)})"
            for number, what in WHAT.items()
        ]
        lines.append(f"- **{setting}**: {', '.join(parts)}.")
    return "\n".join([*lines, "", NOTE]) if lines else ""


def length_sentence(prices: Verdicts, short: str = "default", long: str = "epochs × 4") -> str:
    """Say how ours minus plain self-supervision changes with the length of training, in content.

    prices: as in `price_sentences`. Empty if one of the two settings was not trained.
    """
    if not {short, long} <= set(prices.get("h", {})):
        return ""
    moves = ", and ".join(
        f"{difference(prices[n][long])} for {WHAT[n]} (before: {difference(prices[n][short])})"
        for n in ("h", "content")
    )
    return f"After four times the epochs the difference is {moves}."


def effect_sentences(effects: Verdicts) -> str:
    """Return what each single change did, by the numbers that it changed clearly.

    effects: {number: {variation: verdict}} of each variation minus the default; empty without any.
    """
    some = [verdict for row in effects.values() for verdict in row.values()]
    if some and max(verdict.seeds for verdict in some) < 2:
        return f"No effects of single changes: {ONE_SEED}."
    found = {}
    for variation in effects.get("h", {}):
        clear = [
            f"{what} {difference(effects[number][variation])}"
            for number, what in WHAT.items()
            if effects[number][variation].sign
        ]
        found[variation] = ", ".join(clear)
    lines = [f"- **{name}**: {text}." for name, text in found.items() if text]
    rest = [name for name, text in found.items() if not text]
    if rest:
        lines.append(f"- Nothing clear: {', '.join(rest)}.")
    return "\n".join(lines)


def epoch_sentences(
    lengths: Mapping[str, Mapping[int, Table]], space: str, targets: Sequence[str]
) -> str:
    """Say how well a space predicts each target after trainings of several lengths, as a list.

    lengths: {method: {epochs of ours: table}}, ours first. targets: of other spaces, each scored by
    R². The verdicts are on the longest training of ours against LITTLE, corrected over the targets.
    """
    if OURS not in lengths:
        return ""
    *_, longest = lengths[OURS].values()
    left = {t: [value - LITTLE for value in longest[space][t]["values"]] for t in targets}
    lines = []
    for target, verdict in paired(left).items():
        methods = [
            f"{method} " + ", ".join(f"{show(t[space][target])} after {n}" for n, t in some.items())
            for method, some in lengths.items()
        ]
        end = say(
            verdict,
            f"**more than {LITTLE} is left**",
            f"less than {LITTLE} is left",
            f"no clear difference from {LITTLE}",
        )
        lines.append(f"- {words(target)}: {'; '.join(methods)} epochs: {end}.")
    return "\n".join(lines)


def judged(number: str, verdicts: Verdicts, name: str) -> str:
    """Return a verdict in words; of leaks, less is better."""
    return (lower if number == "leak" else compared)(verdicts[number][name])


def spread_sentences(
    joint: Table,
    separate: Table,
    spaces: Sequence[str],
    labels: Sequence[str],
    styles: Sequence[str],
) -> str:
    """Say what spaces that are spread separately know more of, each by the target that rose most.

    joint, separate: {space: {target: cell}}. spaces: content first. labels: targets of content;
    styles: those of the style spaces. Of content the styles are named, of a style space the labels.
    """
    lines = []
    for space in spaces:
        targets = styles if space == spaces[0] else labels
        rise = {t: separate[space][t]["value"] - joint[space][t]["value"] for t in targets}
        rise = {target: value for target, value in rise.items() if value > 0}  # not nan
        if rise:
            most = max(rise, key=lambda target: rise[target])
            lines.append(
                f"- `{space}` predicts {words(most)} with {show(separate[space][most])} if the "
                f"spaces are spread separately, with {show(joint[space][most])} if jointly."
            )
    return "\n".join(lines)

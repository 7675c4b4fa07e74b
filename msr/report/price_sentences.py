"""The sentences of the price page, each made from the verdicts that it states."""

from __future__ import annotations

from collections.abc import Mapping

from msr.report.tables import difference
from msr.report.verdict import NOTE, ONE_SEED, Verdict, compared, lower

Verdicts = Mapping[str, Mapping[str, Verdict]]  # {number: {setting or variation: verdict}}
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


def judged(number: str, verdicts: Verdicts, name: str) -> str:
    """Return a verdict in words; of leaks, less is better."""
    return (lower if number == "leak" else compared)(verdicts[number][name])

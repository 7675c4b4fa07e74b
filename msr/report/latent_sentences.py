"""The sentences of the numerical page, each made from the numbers that it states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msr.report.metrics import Table
from msr.report.names import code
from msr.report.sentences import SHORT, counted
from msr.report.tables import difference, number, show
from msr.report.verdict import NOTE, between, compared, lower, paired, say


def numerical_by(
    profile: str,
    *,
    content: int,
    styles: Sequence[int],
    steps: int,
    batch_size: int,
    depth: int,
    width: int,
    seeds: int,
    device: str,
    probe_samples: int,
) -> str:
    """Return the first lines of the numerical page.

    profile: the profile that made the page. content, styles: numbers of latent dimensions. steps:
    of training. depth: residual blocks of the encoder; width: its width. probe_samples:
    number of latents to fit the probes on, and of others to score them on.
    """
    parts = [
        f"**This page drew its own latents**: {content} dimensions of content, "
        f"{' + '.join(map(str, styles))} of style.",
        f"Profile {code(profile)}: {steps:,} steps of {batch_size:,} fresh latents, an encoder "
        f"with {depth} residual blocks of width {width}, {counted(seeds, 'seed')}, on {device}; "
        f"probes fitted on {probe_samples:,} samples and scored on {probe_samples:,} others.",
        SHORT.get(profile, ""),
    ]
    return " ".join(part for part in parts if part)


def blocks_sentences(tables: Mapping[str, Table], spaces: Sequence[str]) -> str:
    """Say for each regime the lowest R² of a block from its own space, and the highest elsewhere.

    tables: {regime: table}. In the causal regime the exogenous noise of a style takes the place of
    the style itself. spaces: content first.
    """
    lines = []
    for regime, table in tables.items():
        kind = "exogenous" if regime == "causal" else "style"
        name = "exogenous noise" if regime == "causal" else "style"
        block = {space: space.replace("style", kind) for space in spaces}  # what each should hold
        own = f"content is predicted from `content` with R² {show(table['content']['content'])}"
        if len(spaces) < 2:
            lines.append(f"- *{regime}*: {own}; there are no styles.")
            continue
        worst = min(spaces[1:], key=lambda s: table[s][block[s]]["value"])
        wrong = max(table[a][block[b]]["value"] for a in spaces for b in spaces if a != b)
        lines.append(
            f"- *{regime}*: {own}; each {name} from its own space with at least "
            f"{show(table[worst][block[worst]])} (`{worst}`); each of these from any other space "
            f"with at most {number(wrong)}."
        )
    return "\n".join(lines)


def causal_sentences(table: Table) -> str:
    """Say how much of what content contributes to each style its space lets in.

    table: {style: `cap`, `style`, `caused`, `content`, `augmented`} (see `causal.parts`).
    """
    return "\n".join(
        f"- `{style}`: its noise alone predicts {show(row['cap'])} of the style, and its "
        f"space {show(row['style'])}. The space predicts what content contributes with "
        f"{show(row['caused'])}, and content itself with {show(row['content'])}, on augmented "
        f"observations with {show(row['augmented'])}."
        for style, row in table.items()
    )


def given_content(table: Table, styles: Sequence[str]) -> str:
    """Say how well each style is predicted from its space alone and together with content.

    table: its row `style_m` has the targets `style_m`, `style_m_given_content` and `content`.
    """
    return "\n".join(
        f"- `{s}`: R² {show(table[s][s])} from its space alone, "
        f"{show(table[s][s + '_given_content'])} from its space and content together; "
        f"content is predicted from its space with {show(table[s]['content'])}."
        for s in styles
    )


def turn_sentence(score: Mapping[str, float]) -> str:
    """State the numbers of the counterexample with the turned style.

    score: `loss_style` and `loss_turned`, the losses at the perfect embedding and at the turned
    one; `turned` and `turned_given_content`, the R² of the style without and with content.
    """
    return (
        f"The loss at the perfect embedding is {number(score['loss_style'], 4)}, with the style "
        f"turned it is {number(score['loss_turned'], 4)}. The R² of the style is "
        f"{number(score['turned'])} from the turned block alone, and "
        f"{number(score['turned_given_content'])} from the turned block and content together."
    )


def study_sentences(studies: Mapping[str, Table], dropped: Table, last: str) -> str:
    """State the results of four studies: weights, sizes, a key that shares nothing, narrow noise.

    studies: {"weights", "sizes", "augmentation": table}, with a row per setting. dropped: the
    table of the run in which the key of the space `last` shares no style with the query.
    """
    narrow = studies["augmentation"]
    first = next(iter(narrow))
    lines = [
        f"- *{study.capitalize()}.* With {name}: content {show(row['content'])}, styles "
        f"{show(row['style'])}, leak {show(row['leak'])}."
        for study in ("weights", "sizes")
        for name, row in studies[study].items()
    ]
    lines += [
        f"- *A key that shares nothing*: its space predicts its style with R² "
        f"{show(dropped[last][last])} and content with {show(dropped[last]['content'])}; the "
        f"content space predicts content with {show(dropped['content']['content'])}, and that "
        f"style with {show(dropped['content'][last])}.",
        f"- *Narrow augmentation* ({first}): content {show(narrow[first]['content'])}, "
        f"styles {show(narrow[first]['style'])}.",
    ]
    return "\n".join(lines)


def joint_sentences(sides: Mapping[str, Table]) -> str:
    """Say for each layout what a style space predicts with the joint and the separate spread.

    sides: {"joint": table, "separate": table} with a row per layout and the targets `style` and
    `leak`. The differences are joint minus separate, paired by seed; the verdicts of a layout are
    corrected over its two targets.
    """
    joint, separate = sides["joint"], sides["separate"]
    lines = []
    for name in joint:
        found = between(joint, name, separate, name, ["style", "leak"])
        a, b = joint[name], separate[name]
        lines.append(
            f"- *{name}*: a style space predicts its style with R² {show(a['style'])} (joint) and "
            f"{show(b['style'])} (separate), difference {difference(found['style'])}, "
            f"{compared(found['style'])}; content with at most {show(a['leak'])} and "
            f"{show(b['leak'])}, difference {difference(found['leak'])}, "
            f"{lower(found['leak'])}."
        )
    return "\n".join([*lines, "", NOTE])


def adaptive_sentences(tables: Mapping[str, Table], epsilon: float) -> str:
    """Say for each start of λ where the weights ended, and whether the constraint is met.

    tables: {start, in words: table}, with a row per space and the targets `misalignment` and
    `weight`. It is met where the mean over seeds is at most ε.
    """
    lines = []
    for start, table in tables.items():
        ends = ", ".join(f"{show(row['weight'])} (`{space}`)" for space, row in table.items())
        worst = max(table, key=lambda space: table[space]["misalignment"]["value"])
        found = table[worst]["misalignment"]["value"]
        lines.append(
            f"- *From {start}* the weights went to {ends}. The largest misalignment at the end is "
            f"{number(found, 4)} (`{worst}`): the constraint c ≤ {number(epsilon, 4)} is "
            f"{'met' if found <= epsilon else '**not met**'}."
        )
    return "\n".join(lines)


GOALS = {"content": 0.97, "lowest style": 0.95, "elsewhere": 0.02}  # of the harder latents


def height_sentences(table: Table) -> str:
    """Say which rows of a table reach all of `GOALS`, and for the others what they miss.

    table: a row per setting, with the targets of `GOALS` and `given content`, which takes the place
    of `lowest style` where it is higher, as for a style of several dimensions.
    """
    reached, lines = [], []
    for name, row in table.items():
        style = max(("lowest style", "given content"), key=lambda key: row[key]["value"])
        keys = {"content": "content", "lowest style": style, "elsewhere": "elsewhere"}
        missed = []
        for goal, limit in GOALS.items():
            cell = row[keys[goal]]
            good = cell["value"] <= limit if goal == "elsewhere" else cell["value"] >= limit
            if not good:
                missed.append(f"{keys[goal]} {show(cell, 3)} (goal {number(limit)})")
        if missed:
            lines.append(f"- *{name}* misses: {'; '.join(missed)}.")
        else:
            reached.append(f"*{name}*")
    goals = f"content ≥ {number(GOALS['content'])}, every style ≥ {number(GOALS['lowest style'])}, "
    goals += f"elsewhere ≤ {number(GOALS['elsewhere'])}"
    return "\n".join([f"Reached in full ({goals}): {', '.join(reached) or 'none'}.", "", *lines])


def minimum_sentences(table: Table, begun: Mapping[str, str]) -> str:
    """Say how far above the loss of the latents runs end that begin at random, and at the latents.

    table: a row per setting, with the columns `above` and `content`. begun: {the row of a setting:
    that of the same setting, begun at the latents}. All verdicts are corrected together.
    """
    ends = {row: table[row]["above"]["values"] for pair in begun.items() for row in pair}
    verdicts = paired(ends)
    lines = []
    for name, other in begun.items():
        parts = [
            f"{start} the loss ends at {difference(verdicts[row])} against that of the latents "
            f"({say(verdicts[row], '**above**', 'below', 'no clear difference')}), and content is "
            f"predicted with {show(table[row]['content'])}"
            for start, row in (("from a random start", name), ("begun at the latents", other))
        ]
        lines.append(f"- *{name}*: {'; '.join(parts)}.")
    return "\n".join(lines)


def ranks(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return how many singular values of each space count, by the sizes found, content first.

    Those of a style space are of the content space and it together.
    """
    content = next(iter(sizes.values()), 0)
    return {s: size + content * (i > 0) for i, (s, size) in enumerate(sizes.items())}


def spare_sentence(table: Table, sizes: Mapping[str, int]) -> str:
    """State what the sizes that were found change; table: rows `three spare` and `counted`."""
    before, after = table["three spare"]["leak"], table["counted"]["leak"]
    found = ", ".join(f"{size} (`{space}`)" for space, size in sizes.items())
    return (
        f"The sizes found are {found}. With three spare dimensions per space the leak is "
        f"{show(before)}; with the sizes found it is {show(after)}."
    )

"""Figures of training: misalignment, spread and weights over the steps of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msr.report.plots import color, figure

Logs = Sequence[Sequence[Mapping[str, float]]]  # one log per run, as `msr.fit` returns it


def curves(logs: Logs, spaces: Sequence[str]) -> Figure:
    """Draw the misalignment of each space and the spread over training, and both together.

    Where λ moves, its panel takes the place of the last. logs: one log per run, as `msr.fit`
    returns it, with `epoch`, `spread`, and `violation/<space>` and `lambda/<space>` for each space.
    A curve is the mean over runs, up to the end of the shortest, and its band ± 1 standard
    deviation (divided by n − 1, as in the tables).
    """
    fig, axes = figure(1, 3, width=3.3, height=2.7)
    misalignment, spread, last = axes[0]
    moves = _moved(logs, spaces)
    for space in spaces:
        tint = color(space, spaces)
        _curve(misalignment, logs, f"violation/{space}", tint, space)
        if moves:
            _curve(last, logs, f"lambda/{space}", tint, space)
        else:
            _path(last, logs, f"violation/{space}", tint)
    _curve(spread, logs, "spread", "black")
    misalignment.set_title("misalignment $c_m$ per space", loc="left")
    spread.set_title("spread (− joint entropy)", loc="left")
    last.set_title(r"weight $\lambda_m$" if moves else "one against the other", loc="left")
    for axis in axes[0]:
        axis.set_xlabel("epoch")
    if not moves:
        last.set(xlabel="joint entropy (−spread); dots: the end", ylabel="misalignment")
    for axis in (misalignment, last):
        axis.set_ylim(bottom=0)
    if misalignment.lines:
        misalignment.legend(fontsize=9)
    return fig


def _moved(logs: Logs, spaces: Sequence[str]) -> bool:
    """Return whether the weight of any space changes within a run."""
    keys = [f"lambda/{space}" for space in spaces]
    return any(line[key] != log[0][key] for log in logs for line in log for key in keys)


def _path(axis: Axes, logs: Logs, key: str, tint: str) -> None:
    """Draw one logged quantity against minus the spread, means over runs; a dot marks the end."""
    n = min(map(len, logs), default=0)
    if not n:
        return
    entropy, values = (
        np.mean([[sign * line[name] for line in log[:n]] for log in logs], axis=0)
        for sign, name in ((-1, "spread"), (1, key))
    )
    axis.plot(entropy, values, color=tint, lw=1.6)
    axis.plot(entropy[-1], values[-1], "o", color=tint, ms=6)


def _curve(
    axis: Axes,
    logs: Logs,
    key: str,
    tint: str,
    label: str | None = None,
) -> None:
    """Draw one logged quantity over epochs: its mean over runs, and a band of ± 1 deviation."""
    n = min(map(len, logs), default=0)
    if not n:
        return
    epochs = np.array([line["epoch"] for line in logs[0][:n]])
    values = np.array([[line[key] for line in log[:n]] for log in logs])  # [runs, lines]
    mean = values.mean(axis=0)
    std = values.std(axis=0, ddof=1) if len(logs) > 1 else np.zeros(n)
    marker = "o" if len(epochs) < 5 else None
    axis.plot(epochs, mean, color=tint, label=label, lw=1.8, marker=marker)
    axis.fill_between(epochs, mean - std, mean + std, color=tint, alpha=0.2, lw=0)

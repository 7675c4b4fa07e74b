"""Draws layout.svg, the map of the rooms of msr:  python book/images/layout.py

Each room has a place and a purpose here; the arrows are read from the imports. A test draws the map
again and compares it with the committed one.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

MSR = Path(__file__).resolve().parents[2] / "msr"
IDEA, MEASURES, MACHINERY, TOP, GROUND = "#1f6f9f", "#37804a", "#6b5b95", "#a0460f", "#6c757d"


class Room(NamedTuple):
    """Where a room is drawn (row 0 is the lowest), how, and what it is for in two short lines."""

    row: int
    column: float
    color: str
    purpose: tuple[str, str]


ROOMS = {
    "experiments": Room(4, 0, TOP, ("every experiment of the book:", "its parameters, its runs")),
    "report": Room(3, 0, MEASURES, ("figures, tables and", "sentences from metrics")),
    "evaluate": Room(3, 1.4, MEASURES, ("what a space predicts,", "and what moves it")),
    "weights": Room(3, 2.7, MACHINERY, ("trained networks,", "to disk and back")),
    "train": Room(3, 4, MACHINERY, ("one loop, checkpoints,", "log, optimisers")),
    "data": Room(1, 1, MACHINERY, ("images and latents,", "read or rendered")),
    "views": Room(2, 2, IDEA, ("query and keys: who", "shares which draw")),
    "models": Room(2, 3, IDEA, ("backbone, projector:", "image to h and z")),
    "objective": Room(2, 4, IDEA, ("Σ λ align + spread,", "one line, one place")),
    "augment": Room(1, 2, IDEA, ("transforms: draw the", "parameters, apply them")),
    "losses": Room(1, 4, IDEA, ("align and spread,", "a file for each family")),
    "config": Room(0, 0, GROUND, ("settings whose errors", "are one line")),
    "dist": Room(0, 1, GROUND, ("the one file that talks", "to other processes")),
    "safe": Room(0, 2, GROUND, ("files from strangers:", "no code, little memory")),
    "spaces": Room(0, 3.5, IDEA, ("the named slices of z:", "content, then styles")),
}
KEY = {
    IDEA: "the method",
    MEASURES: "measures and figures",
    MACHINERY: "machinery",
    GROUND: "for all: arrows left out",
}
WIDTH, HEIGHT, PITCH, STOREY, MARGIN, GAP = 190, 80, 226, 140, 24, 16  # pixels


# ------------------------------------------------------------------------------ reading the imports


def modules() -> dict[str, Path]:
    """Every module of msr without the prefix "msr.": {"augment.base": path}; msr itself is ""."""
    names = {}
    for path in sorted(MSR.rglob("*.py")):
        parts = path.relative_to(MSR).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(name: str) -> set[str]:
    """The modules of msr that a module imports. `from msr.data import images` is "data.images"."""
    known, found = modules(), set()
    for node in ast.walk(ast.parse(known[name].read_text())):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}."
            full = [module + alias.name for alias in node.names]
        else:
            continue
        for target in (f.removeprefix("msr.") for f in full if f.startswith("msr.")):
            found.add(target if target in known else target.rpartition(".")[0])
    return found


def room(module: str) -> str:
    """The room of a module: "augment" for "augment.base"."""
    return module.split(".")[0]


def arrows() -> dict[str, set[str]]:
    """The rooms that each room imports. The package itself and the command of train are no room."""
    graph: dict[str, set[str]] = {}
    for name in modules():
        if name not in ("", "train.__main__"):
            graph.setdefault(room(name), set()).update(room(other) for other in imported(name))
    return {name: others - {name} for name, others in graph.items()}


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that are drawn: none to the rooms for all, none where a longer way leads too."""

    def below(name: str) -> set[str]:
        return graph[name].union(*map(below, graph[name]))

    ground = {name for name, place in ROOMS.items() if place.color == GROUND}
    return {
        name: others - ground - set().union(*map(below, others)) for name, others in graph.items()
    }


# ------------------------------------------------------------------------------------- drawing them


def box(name: str) -> tuple[float, float, float]:
    """Left, top and width of a room. The highest row spans the map."""
    columns = [other.column for other in ROOMS.values()]
    place, top = ROOMS[name], max(other.row for other in ROOMS.values())
    y = MARGIN + (top - place.row) * STOREY
    if place.row == top:
        return MARGIN, y, max(columns) * PITCH + WIDTH
    return MARGIN + place.column * PITCH, y, WIDTH


def middle(name: str) -> float:
    """Where a room's middle is from left to right."""
    left, _, width = box(name)
    return left + width / 2


def port(name: str, others: list[str], other: str) -> float:
    """Where on a room's edge the arrow of `other` ends: side by side, in the order of the rooms."""
    left, _, width = box(name)
    if width > WIDTH:
        return middle(other)
    order = sorted(others, key=middle)
    return left + width * (order.index(other) + 1) / (len(order) + 1)


def gap(x: float, row: int) -> float | None:
    """Where an arrow near x passes a row: beside the box that is in its way, if there is one."""
    for name, place in ROOMS.items():
        left, _, width = box(name)
        if place.row == row and left - GAP < x < left + width + GAP:
            return left - GAP if x < left + width / 2 else left + width + GAP
    return None


def draw_arrow(upper: str, lower: str, graph: dict[str, set[str]]) -> str:
    """A curve from the lower edge of one room to the upper edge of the one that it imports."""
    x = start = port(upper, list(graph[upper]), lower)
    end = port(lower, [name for name in graph if lower in graph[name]], upper)
    y, rows = box(upper)[1] + HEIGHT, ROOMS[upper].row - ROOMS[lower].row
    path = f"M{x:.0f} {y:.0f}"
    for i in range(1, rows):
        passed = gap(start + (end - start) * i / rows, ROOMS[upper].row - i)
        if passed is not None:
            top = box(upper)[1] + i * STOREY
            path += f" {bend(x, y, passed, top)} V{top + HEIGHT:.0f}"
            x, y = passed, top + HEIGHT
    path += f" {bend(x, y, end, box(lower)[1] - 8)}"
    return f'<path d="{path}" stroke="{ROOMS[upper].color}" marker-end="url(#head)"/>'


def bend(x0: float, y0: float, x1: float, y1: float) -> str:
    """The rest of a path that leaves (x0, y0) and reaches (x1, y1) upright."""
    half = (y0 + y1) / 2
    return f"C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}"


def draw_room(name: str) -> str:
    """A box with the room's name and purpose."""
    left, top, width = box(name)
    color, lines = ROOMS[name].color, ROOMS[name].purpose
    if width > WIDTH:
        top, lines = top + 9, (" ".join(lines),)
    x = left + 13
    text = [f'<text x="{x}" y="{top + 27}" class="name" fill="{color}">{name}</text>']
    text += [f'<text x="{x}" y="{top + 49 + 19 * i}">{line}</text>' for i, line in enumerate(lines)]
    shape = f'<rect x="{left}" y="{box(name)[1]}" width="{width}" height="{HEIGHT}" rx="7"'
    return "\n".join([f'{shape} fill="{color}" fill-opacity="0.07" stroke="{color}"/>', *text])


def draw_key() -> list[str]:
    """What the colours and the arrows mean, in the free place on the left."""
    top = box("views")[1] + 4
    lines = [
        f'<rect x="{MARGIN}" y="{top + 24 * i}" width="14" height="14" rx="3" fill="{color}"/>'
        f'<text x="{MARGIN + 24}" y="{top + 24 * i + 12}">{words}</text>'
        for i, (color, words) in enumerate(KEY.items())
    ]
    y = top + 24 * len(lines)
    note = ("An arrow is an import.", "It is left out where other", "arrows lead there as well.")
    return lines + [
        f'<text x="{MARGIN}" y="{y + 22 + 19 * i}">{words}</text>' for i, words in enumerate(note)
    ]


def draw() -> str:
    """The whole map as SVG."""
    graph = reduced(arrows())
    width = 2 * MARGIN + max(place.column for place in ROOMS.values()) * PITCH + WIDTH
    height = MARGIN + max(box(name)[1] for name in ROOMS) + HEIGHT
    pairs = sorted((upper, lower) for upper in graph for lower in graph[upper])
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}">',
            "<style>text {font: 15px Helvetica, Arial, DejaVu Sans, sans-serif}",
            ".name {font-size: 20px; font-weight: bold} text:not(.name) {fill: #333}",
            "path {fill: none; stroke-width: 1.7} .head {fill: #444} rect {stroke-width: 1.5}",
            "</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="6" '
            'markerHeight="6" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker>',
            '<rect width="100%" height="100%" fill="white"/>',
            *(draw_arrow(upper, lower, graph) for upper, lower in pairs),
            *(draw_room(name) for name in ROOMS),
            *draw_key(),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw())

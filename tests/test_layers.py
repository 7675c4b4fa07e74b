"""The rooms of msr: imports go downwards only, and every file, function and line is short."""

import ast
import graphlib

import pytest

from images import layout

ROOT = layout.MSR.parent
# What each room may import, beside its own modules. "" is what `import msr` gives.
MAY_IMPORT = {
    "config": set(),
    "safe": set(),
    "dist": set(),
    "spaces": set(),
    "augment": {"config"},
    "views": {"config", "dist", "augment", "data"},
    "models": {"config", "spaces"},
    "losses": {"config", "dist", "spaces"},
    "objective": {"config", "dist", "spaces", "losses"},
    "data": {"config", "dist", "safe"},
    "weights": {"config", "safe", "spaces", "augment", "views", "models", "losses", "objective"}
    | {"data"},
    "train": {"config", "dist", "safe", "models", "objective"},
    "evaluate": {"config", "dist", "spaces", "augment", "views", "models", "data"},
    "report": {"config", "safe"},
}
EVERYTHING = set(MAY_IMPORT)
MAY_IMPORT |= {"experiments": EVERYTHING, "": EVERYTHING}
COMMAND = "train.__main__"  # what `python -m msr.train` runs, the one that may import experiments
MODULES = layout.modules()


def test_every_module_stands_in_a_room():
    rooms = {layout.room(name) for name in MODULES}
    assert rooms == set(MAY_IMPORT) and rooms - {""} == set(layout.ROOMS)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {COMMAND}))
def test_a_module_imports_only_what_its_room_may(name):
    room = layout.room(name)
    others = {layout.room(other) for other in layout.imported(name)} - {room}
    forbidden = others - MAY_IMPORT[room]
    assert not forbidden, f"{name} imports {', '.join(forbidden)}: see MAY_IMPORT"


def test_the_command_imports_experiments_alone():
    assert {layout.room(other) for other in layout.imported(COMMAND)} == {"experiments"}


def test_no_circles():
    tuple(graphlib.TopologicalSorter(MAY_IMPORT).static_order())
    modules = {name: layout.imported(name) for name in MODULES}
    tuple(graphlib.TopologicalSorter(modules).static_order())


def test_the_reader_sees_imports(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for name in ("__init__", "dist", "data/__init__", "data/images"):
        (tmp_path / f"{name}.py").write_text("")
    lines = ("import msr.dist", "from msr import data", "from msr.data import images, load")
    (tmp_path / "data" / "files.py").write_text("\n".join(lines) + "\nfrom torch import data\n")
    monkeypatch.setattr(layout, "MSR", tmp_path)
    assert layout.imported("data.files") == {"dist", "data", "data.images"}
    assert layout.arrows() == {"dist": set(), "data": {"dist"}}


def test_the_real_imports_are_seen():
    assert {"losses", "spaces", "dist"} <= layout.arrows()["objective"]
    assert "augment.base" in layout.imported("augment.spatial")


def test_an_arrow_that_a_longer_way_makes_needless_is_not_drawn():
    graph = {"objective": {"losses", "spaces"}, "losses": {"spaces", "dist"}}
    reduced = layout.reduced(graph | {"spaces": set(), "dist": set()})
    assert reduced["objective"] == {"losses"} and reduced["losses"] == {"spaces"}


def test_arrows_of_the_map_point_down():
    for upper, others in layout.arrows().items():
        level = [name for name in others if layout.ROOMS[name].row >= layout.ROOMS[upper].row]
        assert not level, f"the map draws {upper} no higher than {', '.join(level)}"


def test_the_map_is_that_of_the_imports():
    drawn = (ROOT / "book" / "images" / "layout.svg").read_text()
    assert drawn == layout.draw(), "run `make sync`"


def test_the_page_states_the_imports():
    lines = (ROOT / "book" / "layout.md").read_text().splitlines()
    rows = [line.replace("`", "").split("|")[1:-1] for line in lines if line.startswith("| `")]
    stated = {room.strip(): set(imports.replace(",", " ").split()) for room, _, imports in rows}
    assert stated == layout.arrows(), "run `make sync`"


# --------------------------------------------------------------------- one place, and short things


def test_distributed_is_in_one_file():
    for name, path in MODULES.items():
        assert name == "dist" or "torch.distributed" not in path.read_text(), name


def test_imports_are_absolute():
    for name, path in MODULES.items():
        nodes = ast.walk(ast.parse(path.read_text()))
        assert not any(getattr(node, "level", 0) for node in nodes), name


def test_lines_have_at_most_100_characters():
    files = [*MODULES.values(), *(ROOT / "book").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert not long, ", ".join(long)


def test_functions_have_at_most_50_lines_and_modules_300():
    long = []
    for name, path in MODULES.items():
        text = path.read_text()
        long += [name] * (len(text.splitlines()) > 300)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                long += [f"{name}.{node.name}"] * (node.end_lineno - node.lineno >= 50)
    assert not long, ", ".join(long)

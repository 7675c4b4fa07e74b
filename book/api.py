"""Writes the page "Library" from the packages: every room and module of msr, from the lowest up.

book/build.py puts the page into the site, so it cannot lag behind the code. Nothing of msr is
imported here: Sphinx reads the docstrings when it renders the page.
"""

from __future__ import annotations

import ast
from pathlib import Path

from images import layout

HEAD = """# Library

Every public function states shapes, units, errors and sources. From the bottom up: a room imports
only from those before it ([the map](layout.md)).
"""


def order() -> list[str]:
    """The modules, rooms from the lowest up, a package before its modules; msr itself first."""
    rooms = sorted(layout.ROOMS, key=lambda name: layout.ROOMS[name].row)
    return [""] + [name for room in rooms for name in layout.modules() if layout.room(name) == room]


def summary(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def contents() -> str:
    """A table of the modules, each with the first line of its docstring."""
    lines = ["| module | |", "|---|---|"]
    for name in order():
        path = layout.modules()[name]
        lines.append(f"| {{py:mod}}`{full(name)}` | {summary(path)} |")
    return "\n".join(lines) + "\n"


def full(name: str) -> str:
    """The name that Python imports: "msr.views" for "views"."""
    return f"msr.{name}".rstrip(".")


def records(path: Path) -> dict[str, list[str]]:
    """A module's records of settings by name, each with a row for every field."""
    rows = {
        part.name: [row for line in part.body if (row := field(line))]
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.ClassDef)
    }
    return {name: fields for name, fields in rows.items() if fields}


def field(line: ast.stmt) -> str:
    """The row of a record's field; empty for any other line.

    A field is `name: type = Field(default, description="…")` or `… = parameter(default, "…")`.
    """
    call = getattr(line, "value", None)
    if not (isinstance(line, ast.AnnAssign) and isinstance(call, ast.Call)):
        return ""
    given = {key.arg: key.value for key in call.keywords}
    given |= dict(zip(("default", "description"), call.args))
    if ast.unparse(call.func) not in ("Field", "parameter") or "description" not in given:
        return ""
    default = f"`{ast.unparse(given['default'])}`" if "default" in given else "required"
    meaning = ast.literal_eval(given["description"]).replace("|", "\\|")
    return f"| `{ast.unparse(line.target)}` | {default} | {meaning} |"


def exported(path: Path) -> str:
    """A sentence with the names in a package's `__all__`; empty where there is none."""
    for line in ast.parse(path.read_text()).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__":
            names = ", ".join(f"`{name}`" for name in ast.literal_eval(line.value))
            return f"It exports {names}.\n"
    return ""


def directive(kind: str, name: str, **options: str) -> str:
    """A directive of Sphinx's autodoc."""
    lines = [f".. {kind}:: {name}", *(f"   :{key}: {value}" for key, value in options.items())]
    return "\n".join(["```{eval-rst}", *(line.rstrip() for line in lines), "```\n"])


def section(name: str) -> str:
    """One module: its docstring, its public classes and functions, the fields of its settings.

    A package's `__init__` gives its docstring and the names that it exports, no more: these are
    documented where they are made.
    """
    path, title = layout.modules()[name], f"{'###' if '.' in name else '##'} {full(name)}\n"
    if path.name == "__init__.py":
        return "\n".join([title, directive("automodule", full(name)), exported(path)])
    fields = records(path)
    hidden = {"members": "", "exclude-members": ", ".join(["model_config", *fields])}
    parts = [title, directive("automodule", full(name), **hidden)]
    for record, rows in fields.items():
        shown = {"members": "", "show-inheritance": "", "exclude-members": "model_config"}
        parts.append(directive("autoclass", f"{full(name)}.{record}(**fields)", **shown))
        parts.append("\n".join(["| field | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, contents(), *map(section, order())])

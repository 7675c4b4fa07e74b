"""Make the page "Library" from the code: every room and module of msr, from the lowest up.

book/build.py puts the page into the site, so it always agrees with the code. Nothing of msr is
imported here: Sphinx reads the docstrings when it renders the page.
"""

from __future__ import annotations

import ast
from pathlib import Path

from images import layout

HEAD = """# Library

Every public function states shapes, units, errors and sources. The rooms are listed from the bottom
up: a room imports only from rooms before it ([the map](layout.md)).
"""


def order() -> list[str]:
    """Return the names of the modules: msr itself, then the rooms from the lowest up.

    A package comes before its modules.
    """
    rooms = sorted(layout.ROOMS, key=lambda name: layout.ROOMS[name].row)
    return [""] + [name for room in rooms for name in layout.modules() if layout.room(name) == room]


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def contents() -> str:
    """Return a table of the modules, each with the first line of its docstring."""
    lines = ["| module | |", "|---|---|"]
    for name in order():
        path = layout.modules()[name]
        lines.append(f"| {{py:mod}}`{full(name)}` | {summary(path)} |")
    return "\n".join(lines) + "\n"


def full(name: str) -> str:
    """Return the name that Python imports: "msr.views" for "views"."""
    return f"msr.{name}".rstrip(".")


def records(path: Path) -> dict[str, list[str]]:
    """Return {record of settings: the rows of its table, one for each field} of a module."""
    rows = {
        part.name: [row for line in part.body if (row := field(line))]
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.ClassDef)
    }
    return {name: fields for name, fields in rows.items() if fields}


def field(line: ast.stmt) -> str:
    """Return the row of a table for a record's field; "" for any other line of the code.

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
    """Return a sentence with the names in a package's `__all__`; "" if it has none."""
    for line in ast.parse(path.read_text()).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__":
            names = ", ".join(f"`{name}`" for name in ast.literal_eval(line.value))
            return f"It exports {names}.\n"
    return ""


def directive(kind: str, name: str, **options: str) -> str:
    """Return a directive of Sphinx's autodoc, as MyST."""
    lines = [f".. {kind}:: {name}", *(f"   :{key}: {value}" for key, value in options.items())]
    return "\n".join(["```{eval-rst}", *(line.rstrip() for line in lines), "```\n"])


def section(name: str) -> str:
    """Return the section of a module: docstring, public classes and functions, fields of settings.

    A package's `__init__` has only its docstring and the names that it exports; what these are is
    documented in the modules that define them.
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
    """Return the whole page, as Markdown."""
    return "\n".join([HEAD, contents(), *map(section, order())])

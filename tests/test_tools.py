"""Packages, versions and make targets: what is stated in several places is the same everywhere."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from images import layout

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()
BOUND = r"([a-z-]+)(>=[\d.a-z]+,<[\d.]+)"
# no notebook and no page needs these
CHECKS_ALONE = {"hypothesis", "lightly", "ruff", "mypy", "pre-commit", "pytest-xdist"}
IMPORTED_AS = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}


def test_requirements_are_the_projects():
    wanted = dict(re.findall(rf'^ +"{BOUND}",$', PROJECT, re.M))
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = dict(re.fullmatch(BOUND, line).groups() for line in lines[1:-1])
    assert lines[-1] == "-e ." and len(listed) == len(lines) - 2
    assert listed == {name: bound for name, bound in wanted.items() if name not in CHECKS_ALONE}
    assert CHECKS_ALONE < set(wanted)


def test_the_library_depends_on_what_it_imports():
    core = re.search(r"^dependencies = \[(.*?)^\]", PROJECT, re.M | re.S)[1]
    names = {IMPORTED_AS.get(name, name) for name, _ in re.findall(rf'"{BOUND}"', core)}
    found = set()
    for path in layout.modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    assert found - sys.stdlib_module_names - {"msr", "IPython"} == names  # a kernel has IPython


@pytest.mark.parametrize("target", ["book", "test", "reproduce", "bench", "bench-check", "lint"])
def test_make_knows_all_that_a_target_needs(target, tmp_path):
    """From nothing: no environment is there yet."""
    command = ["make", "-n", "-C", str(ROOT), target, f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "pip install" in done.stdout, done.stderr


def test_the_version_is_the_same_everywhere():
    version = re.search(r'^version = "(.+)"', PROJECT, re.M)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_make_help_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.findall(r"^  make ([a-z-]+) +\S", text, re.M) == targets


def test_python_sources_parse_on_the_oldest_python():
    for folder in ("msr", "book", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            ast.parse(path.read_text(), feature_version=(3, 10))


def test_files_named_on_pages_exist():
    made = {"book/api.md", "book/mine.md", "book/mine.py"}  # by `make book`, by the reader
    pattern = r"(?:msr|book|tests)/[\w/]+\.(?:py|md|yml)\b"
    for page in [*(ROOT / "book").glob("*.md"), *ROOT.glob("*.md")]:
        named = set(re.findall(pattern, page.read_text())) - made
        lost = [name for name in named if not (ROOT / name).exists()]
        assert not lost, f"{page.name} names {', '.join(lost)}"

"""The committed notebooks: no outputs, in step with their .py; profiles fit; a run is reused only when nothing changed."""
import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
spec = importlib.util.spec_from_file_location("build", ROOT / "book" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_outputs_and_in_step(path):
    notebook, script = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert "papermill" not in notebook.metadata
    cells = [[(c.cell_type, c.source, c.metadata.get("tags", [])) for c in book.cells] for book in (notebook, script)]
    assert cells[0] == cells[1], "run `make sync`"
    assert sum("parameters" in c.metadata.get("tags", []) for c in code) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_parameter_has_a_comment_and_no_cell_is_long(path):
    script = jupytext.read(path.with_suffix(".py"))
    parameters = next(c for c in script.cells if "parameters" in c.metadata.get("tags", []))
    assert all(re.match(r"\w+ = .+  # .+", line) for line in parameters.source.splitlines())
    assert all("class " not in c.source and len(c.source.splitlines()) <= 15 for c in script.cells
               if c.cell_type == "code" and c is not parameters)


def test_each_profile_names_itself_and_only_known_parameters():
    known = set().union(*(build.declared(path) for path in NOTEBOOKS))
    for profile in build.PROFILES:
        content = yaml.safe_load((ROOT / "book" / "profiles" / f"{profile}.yml").read_text())
        assert content["profile"] == profile and set(content) <= known


def test_a_profile_of_one_notebook_knows_its_parameters():
    paths = [p for p in (ROOT / "book" / "profiles").glob("*-*.yml")]
    assert paths
    for path in paths:
        profile, name = path.stem.split("-")
        content = yaml.safe_load(path.read_text())
        assert profile in build.PROFILES and set(content) <= build.declared(ROOT / "book" / f"{name}.ipynb")
        assert content.items() <= build.parameters(name, profile, {}).items()
        assert build.parameters(name, profile, {"seeds": 7})["seeds"] == 7


def test_notebook_parameters_are_the_librarys():
    from msr import experiment
    assert build.declared(ROOT / "book" / "imagenet.ipynb") == {*experiment.PARAMETERS, "profile"}
    declared = build.papermill.inspect_notebook(str(ROOT / "book" / "imagenet.ipynb"))
    assert {name: ast.literal_eval(declared[name]["default"]) for name in experiment.DEFAULTS} == experiment.DEFAULTS, "run.json has the notebook's defaults"


def test_the_numerical_notebooks_too():
    from msr import numerical
    assert build.declared(ROOT / "book" / "numerical.ipynb") == set(numerical.PARAMETERS)


def test_the_transfer_notebook_too():
    from msr import transfer
    assert build.declared(ROOT / "book" / "transfer.ipynb") == set(transfer.PARAMETERS)
    declared = build.papermill.inspect_notebook(str(ROOT / "book" / "transfer.ipynb"))
    assert {name: ast.literal_eval(declared[name]["default"]) for name in transfer.OWN} == transfer.OWN


def test_networks_of_other_code_are_not_used_again(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    runs, elsewhere = tmp_path / "_build" / "runs", tmp_path / "mine"
    for folder in (runs, elsewhere):
        build.clear(folder, "one")
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text("")
        build.clear(folder, "one")
        assert (folder / "weights").exists(), "an interrupted build goes on"
        build.clear(folder, "two")
        assert (folder / "weights").exists() == (folder == elsewhere), "only under _build"


def test_the_sprites_notebook_too():
    from msr import sprites
    assert build.declared(ROOT / "book" / "sprites.ipynb") == set(sprites.PARAMETERS)


def test_toc_lists_every_page():
    toc = (ROOT / "_toc.yml").read_text()
    pages = [p for p in (ROOT / "book").iterdir() if p.suffix in (".md", ".ipynb")]
    assert all(f"book/{p.stem}" in toc for p in pages)


@pytest.fixture
def tiny_book(tmp_path, monkeypatch):
    """A checkout in small: one library file, one notebook, one profile; papermill is real."""
    (tmp_path / "msr").mkdir()
    (tmp_path / "msr" / "a.py").write_text("x = 1\n")
    (tmp_path / "book" / "profiles").mkdir(parents=True)
    (tmp_path / "book" / "profiles" / "smoke.yml").write_text("profile: smoke\nepochs: 3\nunheard_of: 1\n")
    text = ('# %% tags=["parameters"]\nepochs = 1  # n\nfail = False  # f\nprofile = ""  # p\nout_dir = ""  # o\n\n# %%\nprint(epochs * 2, profile)\nassert not fail\n')
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    jupytext.write(notebook, tmp_path / "book" / "n.ipynb")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    return tmp_path


def test_figures_are_in_the_notebook_whatever_the_backend_outside(tiny_book, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = jupytext.read(tiny_book / "book" / "n.ipynb")
    notebook.cells.append(jupytext.reads("# %%\nimport matplotlib.pyplot as plt\nfig, _ = plt.subplots()\nplt.close(fig)\nfig\n", fmt="py:percent").cells[0])
    jupytext.write(notebook, tiny_book / "book" / "n.ipynb")
    out = json.loads(build.execute("n", "smoke", {}).read_text())
    assert any("image/png" in output.get("data", {}) for cell in out["cells"] for output in cell.get("outputs", []))


def test_runs_are_kept_until_something_changes(tiny_book, capsys):
    source = (tiny_book / "book" / "n.ipynb").read_bytes()

    def run(**extra):
        out = build.execute("n", "smoke", extra)
        return "reusing" not in capsys.readouterr().out, out
    fresh, out = run()
    book = json.loads(out.read_text())
    assert fresh and "6 smoke" in json.dumps(book) and "jupytext" not in book["metadata"]
    assert not run()[0]
    assert run(epochs=4)[0] and not run(epochs=4)[0]
    (tiny_book / "msr" / "a.py").write_text("x = 2\n")
    assert run(epochs=4)[0]
    with pytest.raises(Exception, match="AssertionError"):
        run(fail=True)
    assert "8 smoke" in out.read_text(), "a failed run must leave the last good one"
    assert (tiny_book / "book" / "n.ipynb").read_bytes() == source, "executed in place"


def test_unknown_names_say_so(tiny_book, monkeypatch):
    with pytest.raises(SystemExit, match="no parameter 'epoch'"):
        build.execute("n", "smoke", {"epoch": 1})
    monkeypatch.setattr(sys, "argv", ["build.py", "--profile", "fast"])
    with pytest.raises(SystemExit, match="unknown profile 'fast'; choose smoke, quick, standard, paper"):
        build.main()


def test_requirements_agree():
    def wanted(text):
        return set(re.findall(r"^\s*\"?([a-z-]+>=[\d.a-z]+,<\d+)", text, re.M))
    project = (ROOT / "pyproject.toml").read_text().split("[project.optional")[0]
    requirements = (ROOT / "requirements.txt").read_text()
    assert wanted(project) == wanted(requirements) and len(wanted(project)) > 8


def test_nothing_asks_another_server():
    text = [p.read_text() for p in [*(ROOT / "msr").rglob("*.py"), *(ROOT / "book").glob("*.*"), ROOT / "_config.yml"] if p.suffix != ".png"]
    assert not re.search(r"https?://(cdn|unpkg|cdnjs|fonts\.g)", "".join(text))


def test_python_sources_parse_on_the_oldest_python():
    for path in [*(ROOT / "msr").rglob("*.py"), *(ROOT / "book").glob("*.py")]:
        ast.parse(path.read_text(), feature_version=(3, 10))

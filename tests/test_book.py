"""The committed notebooks, the pages made from the code, and how a book is built from them."""

import ast
import json
import re
import shutil
import sys
from pathlib import Path

import jupytext
import pytest
import yaml

import api
import build
import code_of_pages
import new
import sync
from images import layout

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


# ---------------------------------------------------------------------------- committed notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_outputs_and_in_step(path):
    notebook = jupytext.read(path)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert "papermill" not in notebook.metadata
    assert code_of_pages.in_step(path), "run `make sync`"
    assert sum("parameters" in c.metadata.get("tags", []) for c in code) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_parameter_has_a_comment_and_no_cell_is_long(path):
    script = jupytext.read(path.with_suffix(".py"))
    parameters = next(c for c in script.cells if "parameters" in c.metadata.get("tags", []))
    assert all(re.match(r"(\w+ = .+  )?# .+", line) for line in parameters.source.splitlines())
    for cell in script.cells:
        if cell.cell_type == "code" and cell is not parameters:
            assert "class " not in cell.source
            assert len(cell.source.splitlines()) <= 15, f"15 lines are enough:\n{cell.source}"


def test_each_profile_names_itself_and_only_known_parameters():
    known = build.declared(ROOT / "book" / "imagenet.ipynb")  # which papermill runs with -f
    for profile in build.PROFILES:
        content = yaml.safe_load((ROOT / "book" / "profiles" / f"{profile}.yml").read_text())
        assert content["profile"] == profile and set(content) <= known


def test_a_profile_of_one_notebook_knows_its_parameters():
    paths = [p for p in (ROOT / "book" / "profiles").glob("*-*.yml")]
    assert paths
    for path in paths:
        profile, name = path.stem.split("-")
        content = yaml.safe_load(path.read_text())
        assert profile in build.PROFILES and set(content) <= build.declared(
            ROOT / "book" / f"{name}.ipynb"
        )
        runs = f"_build/runs/{profile}/"
        wanted = {
            k: v.replace("RUNS/", runs) if isinstance(v, str) else v for k, v in content.items()
        }
        assert wanted.items() <= build.parameters(name, profile, {}).items()
        assert build.parameters(name, profile, {"seeds": 7})["seeds"] == 7


def test_a_page_that_uses_networks_of_another_depends_on_them(tmp_path, monkeypatch):
    given = build.parameters("transfer", "quick", {"out_dir": str(tmp_path)})
    assert given["trained"] == f"{tmp_path}/imagenet"
    mine = build.parameters("transfer", "quick", {"trained": "RUNS/x", "data_dir": "/a/RUNS/b"})
    assert (mine["trained"], mine["data_dir"]) == ("RUNS/x", "/a/RUNS/b"), "as they were given"
    order = build.notebooks()
    assert order.index("imagenet") < order.index("transfer"), "they are trained by then"
    before = build.fingerprint("transfer", given)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "metrics.json").write_text("{}")
    assert build.fingerprint("transfer", given) != before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_parameters_cell_is_that_of_the_record(path):
    script = path.with_suffix(".py").read_text()
    assert script == sync.fresh(script, path.stem), "run `make sync`"
    record, declared = sync.record(script), build.papermill.inspect_notebook(str(path))
    assert set(declared) == set(record.model_fields)
    values = {name: ast.literal_eval(field["default"]) for name, field in declared.items()}
    if record.NAME == path.stem:  # any other notebook may have defaults of its own
        assert record(**values) == record()
    assert record(**values)


def test_toc_lists_every_page():
    toc = (ROOT / "_toc.yml").read_text()
    pages = [p for p in (ROOT / "book").iterdir() if p.suffix in (".md", ".ipynb")]
    assert all(f"book/{p.stem}" in toc for p in pages)


@pytest.fixture
def tiny_book(tmp_path, monkeypatch):
    """A checkout in small: one library file, one notebook, one profile; papermill is real."""
    (tmp_path / "msr").mkdir()
    (tmp_path / "msr" / "a.py").write_text("x = 1\n")
    (tmp_path / "msr" / "__init__.py").write_text("")
    (tmp_path / "book" / "profiles").mkdir(parents=True)
    (tmp_path / "book" / "profiles" / "smoke.yml").write_text(
        "profile: smoke\nepochs: 3\nunheard_of: 1\n"
    )
    text = (
        '# %% tags=["parameters"]\nepochs = 1  # n\nfail = False  # f\n'
        'profile = ""  # p\nout_dir = ""  # o\n\n'
        "# %%\nif epochs < 0:\n    import msr.a\nprint(epochs * 2, profile)\nassert not fail\n"
        "import os, time\nos.makedirs(out_dir, exist_ok=True)\n"
        'open(f"{out_dir}/metrics.json", "w").write(str(time.time()))\n'
    )
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    jupytext.write(notebook, tmp_path / "book" / "n.ipynb")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    return tmp_path


def test_figures_are_in_the_notebook_whatever_the_backend_outside(tiny_book, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = jupytext.read(tiny_book / "book" / "n.ipynb")
    figure = "# %%\nimport matplotlib.pyplot as plt\nfig, _ = plt.subplots()\nplt.close(fig)\nfig\n"
    notebook.cells += jupytext.reads(figure, fmt="py:percent").cells
    jupytext.write(notebook, tiny_book / "book" / "n.ipynb")
    out = json.loads(build.execute("n", "smoke", {}).read_text())
    assert any(
        "image/png" in output.get("data", {})
        for cell in out["cells"]
        for output in cell.get("outputs", [])
    )


def test_a_page_depends_on_the_numbers_that_are_kept_with_the_book(tiny_book):
    before = build.fingerprint("n", {})
    (tiny_book / "results").mkdir()
    (tiny_book / "results" / "a.json").write_text("{}")
    assert build.fingerprint("n", {}) == before, "of another page"
    (tiny_book / "results" / "n.json").write_text('{"params": {"epochs": 9}}')
    assert build.fingerprint("n", {}) != before


def test_a_changed_sentence_is_shown_and_executes_nothing(tiny_book, capsys):
    path = tiny_book / "book" / "n.ipynb"
    before = json.loads(build.execute("n", "smoke", {"epochs": 5}).read_text())
    book = json.loads(path.read_text())
    book["cells"].insert(1, {"cell_type": "markdown", "metadata": {}, "source": ["New words."]})
    path.write_text(json.dumps(book))
    capsys.readouterr()
    after = json.loads(build.execute("n", "smoke", {"epochs": 5}).read_text())
    assert "reusing" in capsys.readouterr().out
    texts = ["".join(cell["source"]) for cell in after["cells"]]
    assert "New words." in texts and "10 smoke" in json.dumps(after)
    code = [[c for c in page["cells"] if c["cell_type"] == "code"] for page in (before, after)]
    ran = [[(c["source"], c["outputs"]) for c in cells] for cells in code]
    assert ran[0] == ran[1] and len(ran[0]) == 3, "the parameters of papermill among them"


def test_a_page_without_parameters_keeps_all_of_its_cells():
    """papermill puts its cell before all others there."""
    cells = [{"cell_type": "code", "source": x, "metadata": {}} for x in ("%time 1", "2")]
    ran = [cell | {"outputs": [i], "execution_count": i} for i, cell in enumerate(cells, start=1)]
    papermill = {
        "cell_type": "code",
        "source": "p = 1",
        "metadata": {"tags": ["injected-parameters"]},
    }
    cells[1] = cells[1] | {"metadata": {"tags": ["hide-input"]}}
    text = {"cell_type": "markdown", "source": "New.", "metadata": {}}
    for _ in range(2):  # a page that is used again twice
        page = code_of_pages.with_text_of({"cells": [text, *cells]}, {"cells": [papermill, *ran]})
        ran = page["cells"][1:]
        assert page["cells"][0] == papermill
        found = [(c["source"], c.get("outputs")) for c in page["cells"][1:]]
        assert found == [("New.", None), ("%time 1", [1]), ("2", [2])]
        assert page["cells"][3]["metadata"] == {"tags": ["hide-input"]}
        ran = [c for c in page["cells"] if c["cell_type"] == "code" and c != papermill]


def test_what_a_page_depends_on():
    """Magics are no Python; a command of another process and a file that is named count."""
    book = {"cells": [{"cell_type": "code", "source": "%matplotlib inline\nimport msr.config"}]}
    (source,) = code_of_pages.sources(book)
    assert code_of_pages.needed(source, ROOT)
    found = code_of_pages.needed("from msr.experiments import processes", ROOT)
    assert {Path("msr/train/__main__.py"), Path("msr/experiments/launch.py")} <= set(found)
    named = code_of_pages.files('x = "results/photographs.json"; y = "no/file.json"; z = 3', ROOT)
    assert named == [ROOT / "results" / "photographs.json"]


def test_only_pages_of_shorter_runs_depend_on_what_is_kept(tiny_book):
    """Or keeping what a book has made, as `make reproduce` does, would make its pages again."""
    (tiny_book / "results").mkdir()
    kept, digests = tiny_book / "results" / "n.json", []
    for commit in ("a", "b"):
        kept.write_text(json.dumps({"params": {"epochs": 3}, "commit": commit}))
        digests.append([build.fingerprint("n", {"epochs": n}) for n in (2, 3)])
    assert digests[0][0] != digests[1][0] and digests[0][1] == digests[1][1]


def test_a_cell_that_is_no_python_is_named(tiny_book):
    path = tiny_book / "book" / "n.ipynb"
    book = json.loads(path.read_text())
    book["cells"][-1]["source"] = ["for x in:\n"]
    path.write_text(json.dumps(book))
    with pytest.raises(SystemExit, match=r"book/n.ipynb, code cell 2: invalid syntax: for x in:"):
        build.fingerprint("n", {})


def test_only_pages_that_import_changed_code_are_executed_again(tiny_book):
    before = build.fingerprint("n", {})
    (tiny_book / "msr" / "other.py").write_text("y = 1\n")
    assert build.fingerprint("n", {}) == before, "nobody imports it"
    (tiny_book / "msr" / "a.py").write_text("def f():\n    from msr import other\n")
    first = build.fingerprint("n", {})
    (tiny_book / "msr" / "other.py").write_text("y = 2  # more\n")
    assert before != first != build.fingerprint("n", {}), "imported in a function"
    some, more = (
        set(code_of_pages.needed(f"from msr.experiments import {name}", ROOT))
        for name in ("imagenet", "price")
    )
    assert some < more, "price imports imagenet"


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
    page = out.read_bytes()
    assert not run(epochs=4)[0] and out.read_bytes() == page, "or the site would be rendered again"
    with pytest.raises(Exception, match="AssertionError"):
        run(fail=True)
    assert "8 smoke" in out.read_text(), "a failed run must leave the last good one"
    assert (tiny_book / "book" / "n.ipynb").read_bytes() == source, "executed in place"


def test_unknown_names_say_so(tiny_book, monkeypatch):
    monkeypatch.setattr(build, "notebooks", lambda: ["n"])
    with pytest.raises(SystemExit, match="no notebook has a parameter 'epoch'; there are: epochs,"):
        build.check({"epoch": 1})
    build.check({"epochs": 1})
    monkeypatch.setattr(sys, "argv", ["build.py", "--profile", "fast"])
    with pytest.raises(
        SystemExit, match="unknown profile 'fast'; choose smoke, quick, standard, paper"
    ):
        build.main()


def test_an_edited_script_is_not_passed_over(tiny_book, monkeypatch):
    """Its notebook is what is executed; without a line the edit would silently do nothing."""
    monkeypatch.setattr(build, "notebooks", lambda: ["n"])
    path = tiny_book / "book" / "n.ipynb"
    jupytext.write(jupytext.read(path), path.with_suffix(".py"), fmt="py:percent")
    build.check({})
    script = path.with_suffix(".py").read_text()
    path.with_suffix(".py").write_text(script + "\n# %% [markdown]\n# A new sentence.\n")
    with pytest.raises(SystemExit, match="n.py and book/n.ipynb differ; run `make sync`"):
        build.check({})


def test_nothing_asks_another_server():
    text = [
        p.read_text()
        for p in [*(ROOT / "msr").rglob("*.py"), *(ROOT / "book").glob("*.*"), ROOT / "_config.yml"]
        if p.suffix != ".png"
    ]
    assert not re.search(r"https?://(cdn|unpkg|cdnjs|fonts\.g)", "".join(text))


# ------------------------------------------------------------------------- pages made from the code


def test_the_recipes_on_the_site_link_to_no_file_of_the_repository():
    text = build.facts.recipes()
    assert "A loss family." in text and "a page" in text
    assert not re.search(r"\]\((?!http)", text)


def test_every_module_stands_on_the_library_page_once():
    page = api.page()
    names = re.findall(r"^\.\. automodule:: ([\w.]+)$", page, re.M)
    assert sorted(names) == sorted(api.full(name) for name in layout.modules())
    assert [name for name in names if name in ("msr.spaces", "msr.views", "msr.experiments")] == [
        "msr.spaces",
        "msr.views",
        "msr.experiments",
    ], "from the lowest room up"


def test_what_a_package_exports_is_documented_where_it_is_made():
    import msr.augment

    assert "Place" in msr.augment.__all__
    block = api.page().split(f".. automodule:: {msr.augment.Place.__module__}\n")[1].split("```")[0]
    assert ":members:" in block and "Place" not in block


def test_the_library_page_states_every_field_of_the_settings():
    from msr.train import Training

    rows = api.records(layout.modules()["train.settings"])["Training"]
    assert len(rows) == len(Training.model_fields)
    for row, (name, field) in zip(rows, Training.model_fields.items()):
        _, shown, default, meaning, _ = (part.strip(" `") for part in row.split("|"))
        assert (shown, meaning) == (name, field.description)
        assert ast.literal_eval(default) == field.default


def test_the_site_has_the_library_page(tiny_book):
    (tiny_book / "book" / "_static").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        (tiny_book / name).write_text("")
    site = build.stage([])
    assert "automodule:: msr.views" in (site / "book" / "api.md").read_text()


# --------------------------------------------------------------------------------- a new notebook


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the book, in which new.py works."""
    shutil.copytree(ROOT / "book", tmp_path / "book")
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    monkeypatch.setattr(new, "ROOT", tmp_path)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path


def start(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["new.py", *arguments])
    new.main()


def test_a_new_notebook_is_like_the_others(copy, monkeypatch):
    before = build.notebooks()
    start(monkeypatch, "spare_page", "--data", "sprites")
    path = copy / "book" / "spare_page.ipynb"
    test_no_outputs_and_in_step(path)
    test_every_parameter_has_a_comment_and_no_cell_is_long(path)
    script = path.with_suffix(".py").read_text()
    assert script == sync.fresh(script, "spare_page"), "the cell is that of the record"
    assert 'data_dir = "sprites"  #' in script and 'out_dir = "runs/spare_page"  #' in script
    assert sync.record(script) is new.imagenet.Parameters
    assert yaml.safe_load((copy / "_toc.yml").read_text())
    assert build.notebooks() == [*before[:-1], "spare_page", "reproduction"]
    assert build.parameters("spare_page", "quick", {})["epochs"] == 25, "the profiles hold for it"


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "names no notebook"),
        ("my-own", "names no notebook"),
        ("imagenet", "book/imagenet.ipynb exists"),
        ("theory", "book/theory.md exists"),
        ("json", "is a name in Python"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(copy, monkeypatch, name, message):
    with pytest.raises(SystemExit, match=message) as refused:
        start(monkeypatch, name)
    assert "\n" not in str(refused.value)
    assert (copy / "_toc.yml").read_text() == (ROOT / "_toc.yml").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_cell_overwrites_a_parameter(path):
    """Else a set-up cell that is run again would read what a later cell left under that name."""
    declared = build.declared(path)
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            nodes = list(ast.walk(ast.parse(cell.source)))
            own = (ast.FunctionDef, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
            scopes = [node for node in nodes if isinstance(node, own)]
            inner = {id(node) for scope in scopes for node in ast.walk(scope)}
            names = [n for n in nodes if isinstance(n, ast.Name) and id(n) not in inner]
            stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
            assert not stored & declared, cell.source


def test_an_unchanged_site_is_not_rendered_again(tmp_path, monkeypatch):
    """Its sources, the docstrings of the library and the tools decide."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    site = tmp_path / "_build" / "site"
    (tmp_path / "msr").mkdir()
    (tmp_path / "msr" / "a.py").write_text('"""One."""\n')
    site.mkdir(parents=True)
    (site / "page.md").write_text("# A page\n")
    rendered = []

    def tool(command, **_):
        rendered.append(command)
        (site / "out" / "_build" / "html").mkdir(parents=True)
        (site / "out" / "_build" / "html" / "index.html").write_text("")

    monkeypatch.setattr(build.subprocess, "run", tool)

    def once_more():
        shutil.rmtree(site / "out", ignore_errors=True)
        build.render(site)
        return len(rendered)

    assert [once_more(), once_more()] == [1, 1]
    (tmp_path / "msr" / "__pycache__").mkdir()
    (tmp_path / "msr" / "__pycache__" / "a.nbc").write_text("machine code, by numba")
    assert once_more() == 1
    (site / "page.md").write_text("# Another page\n")
    assert [once_more(), once_more()] == [2, 2]
    (tmp_path / "msr" / "a.py").write_text('"""Two."""\n')
    assert [once_more(), once_more()] == [3, 3]
    shutil.rmtree(tmp_path / "_build" / "html")
    assert once_more() == 4

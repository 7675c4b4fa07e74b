"""Build the book: papermill runs the notebooks, jupyter-book renders them, warnings are errors.

    python book/build.py [--profile quick] [-p NAME VALUE] [--reuse]

Notebooks are never run in place: what papermill writes goes to _build/. A page is used again as
long as its code, what that imports, and its parameters mean the same; its text may change. Networks
are used again as long as the code that trains means the same; others are set aside (see `keep`).
The profiles smoke and quick use the rendered images, whatever $IMAGENET_DIR is; -p data_dir FOLDER
overrides this. With -p out_dir FOLDER each notebook has a folder of its name in FOLDER, which is
left to `msr.fit`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import papermill
import yaml

import api
import clean
import code_of_pages as code
import facts
from clock import Clock
from msr.experiments import reproduction
from msr.report import kept
from plain import plain
from reading import for_reading

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
PROFILES = ("smoke", "quick", "standard", "paper")
MEASURING = ("evaluate", "report")  # packages of msr that no training depends on
JUDGING = Path("msr/experiments/reproduction.py")  # reads the metrics of all notebooks


# ------------------------------------------------------------------- notebooks and their parameters


def notebooks() -> list[str]:
    """Return the names of the notebooks, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = [toc, *toc.get("parts", [])]
    files = [chapter["file"] for part in parts for chapter in part.get("chapters", [])]
    return [Path(f).name for f in files if (ROOT / f).with_suffix(".ipynb").exists()]


def declared(notebook: Path) -> set[str]:
    """Return the names of the parameters in a notebook's `parameters` cell."""
    return set(papermill.inspect_notebook(str(notebook)))


def parameters(name: str, profile: str, extra: dict) -> dict:
    """Return the parameters, by name, with which a notebook is run.

    They are those of <profile>.yml that the notebook declares, those of <profile>-<name>.yml, its
    folder in _build, and those of `extra`, the command line, that it declares; of equal names the
    last one counts. A text of a profile that begins with RUNS/ is a path in the folder that holds
    the runs of all notebooks, so that one can use the networks of another.
    """
    known = declared(ROOT / "book" / f"{name}.ipynb")
    folder = ROOT / "book" / "profiles"
    chosen = plain((folder / f"{profile}.yml").read_text(), f"{profile}.yml")
    own = folder / f"{profile}-{name}.yml"
    if own.exists():
        chosen |= plain(own.read_text(), own.name)
    runs = extra.get("out_dir", f"_build/runs/{profile}")
    named = {k: v for k, v in chosen.items() if str(v).startswith("RUNS/")}
    chosen |= {key: f"{runs}/{value.removeprefix('RUNS/')}" for key, value in named.items()}
    chosen = {key: value for key, value in (chosen | extra).items() if key in known}
    return chosen | {"out_dir": f"{runs}/{name}"}


def check(extra: dict) -> None:
    """End the program with a line if no notebook has one of these parameters.

    Likewise if a notebook and its .py differ, one of which was edited.
    """
    for name in notebooks():
        if not code.in_step(ROOT / "book" / f"{name}.ipynb"):
            sys.exit(f"book/{name}.py and book/{name}.ipynb differ; run `make sync`")
    known = set().union(*(declared(ROOT / "book" / f"{name}.ipynb") for name in notebooks()))
    for name in sorted(extra.keys() - known):
        choices = ", ".join(sorted(known))
        sys.exit(f"no notebook has a parameter '{name}'; there are: {choices}")


# ---------------------------------------------------------------------------- running the notebooks


def fingerprint(name: str, params: dict) -> str:
    """Return a digest of what an executed page depends on.

    These are the code of the notebook and all that it imports from this checkout, its parameters,
    $IMAGENET_DIR, the files that it names, and the results that are kept of it, where these are of
    a longer run, which the page may show. A page that uses the networks of another notebook depends
    on its metrics, and one that judges all results on those of every notebook, kept or made in this
    build.
    """
    cells = sources(name)
    source, values = "\n".join(cells), [params, os.environ.get("IMAGENET_DIR", ""), cells]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    needed = code.needed(source, ROOT)
    digest.update(code.meaning_of(needed, ROOT).encode())
    texts = [v for key, v in params.items() if key != "out_dir" and isinstance(v, str) and v]
    given = [ROOT / text for text in texts if len(text) < 200]
    results = [path / "metrics.json" for path in given]
    results += [ROOT / "results" / f"{name}.json"] if longer(name, params) else []
    if JUDGING in needed:
        made = (ROOT / params["out_dir"]).parent.glob("*/metrics.json")
        results = [*(ROOT / "results").iterdir(), *made]
    for path in sorted({*code.files(source, ROOT), *given, *results}):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def longer(name: str, params: dict) -> bool:
    """Return whether a longer run of a notebook is kept than that by these parameters."""
    found = kept.content(ROOT / "results" / f"{name}.json").get("params", {})
    if not found:
        return False
    known = papermill.inspect_notebook(str(ROOT / "book" / f"{name}.ipynb"))
    own = {n: params.get(n, plain(known[n]["default"], n)) for n in kept.LENGTH if n in known}
    return kept.longer(found, own)


def notebook(name: str) -> dict:
    """Return a notebook as it is written, by name."""
    return json.loads((ROOT / "book" / f"{name}.ipynb").read_text())


def sources(name: str) -> list[str]:
    """Return the code cells of a notebook as Python; what is none ends the program with a line."""
    found = code.sources(notebook(name))
    for i, source in enumerate(found, start=1):
        try:
            ast.parse(source)
        except SyntaxError as error:
            sys.exit(f"book/{name}.ipynb, code cell {i}: {error.msg}: {(error.text or '').strip()}")
    return found


def page_of(name: str, profile: str) -> tuple[Path, Path]:
    """Return where the executed notebook is, and the digest of what it depends on."""
    folder = BUILD / "executed" / profile
    return folder / f"{name}.ipynb", folder / f"{name}.sha256"


def unchanged(name: str, profile: str, digest: str) -> bool:
    """Return whether a notebook of this digest was executed already."""
    out, stamp = page_of(name, profile)
    return out.exists() and stamp.exists() and stamp.read_text() == digest


def execute(
    name: str, profile: str, extra: dict, reuse: bool = False, clock: Clock | None = None
) -> Path:
    """Run one notebook, unless an equal page exists; return the path of the executed notebook.

    If the run fails, the last good file stays as it was. reuse: as in `keep`. clock: says how much
    time is left.
    """
    out, stamp = page_of(name, profile)
    out.parent.mkdir(parents=True, exist_ok=True)
    params, clock = parameters(name, profile, extra), clock or Clock({}, [])
    digest = fingerprint(name, params)
    if unchanged(name, profile, digest):
        print(f"{name}: unchanged, reusing {out.relative_to(ROOT)}", flush=True)
        return texted(notebook(name), json.loads(out.read_text()), out)
    trained = "seeds" in declared(ROOT / "book" / f"{name}.ipynb")
    if trained and "out_dir" not in extra:
        made = {"profile": profile, "given": extra, "code": trains(name)}
        keep(ROOT / params["out_dir"], out, made, reuse)
    start, fresh = time.perf_counter(), out.with_suffix(".running.ipynb")
    book = notebook(name)  # as it is now: it may be edited while it runs
    print(f"{name}: executing with profile {profile}{clock.begins(name)} …", flush=True)
    run(ROOT / "book" / f"{name}.ipynb", fresh, params)
    texted(book, code.tidied(json.loads(fresh.read_text())), out)
    fresh.unlink()
    stamp.write_text(digest)
    took = time.perf_counter() - start
    clock.ended(name, took)
    print(f"{name}: {took:.0f} s", flush=True)
    return out


def texted(book: dict, executed: dict, out: Path) -> Path:
    """Write an executed notebook with the text of `book`, the notebook that it was."""
    out.write_text(json.dumps(code.with_text_of(book, executed), indent=1))
    return out


def keep(runs: Path, page: Path, made: dict, reuse: bool = False) -> None:
    """Keep the networks in a folder that this build made, or set them aside if they are stale.

    They are stale if the code that trains has changed in more than comments: `msr.fit` sees the
    settings of a run, not the code, and would take networks of another method for its own. To use
    them would be silently wrong; to remove them may cost days, and to refuse would stop a build
    that nobody watches. So the folder is renamed, a copy of its page with it, and one line says so
    and how to use it after all. What msr only measures and draws with does not count, and the
    parameters are left to `msr.fit`, which compares them for each network. Only what the smoke or
    quick profile trains again in minutes is removed (see `clean.removable`).

    page: the executed notebook, if there is one. made: what is written about the folder, "code"
    being what `trains` returns. reuse: whether to take stale networks for this code's own.
    """
    found = clean.stamp(runs)
    if runs.exists() and not reuse and found.get("code") != made["code"]:
        if clean.removable(runs):
            clean.remove(runs)
        elif any(runs.iterdir()):
            aside = clean.set_aside(runs)
            if page.exists():
                shutil.copy(page, aside)
            print(
                f"{runs.name}: other code trained what {runs.relative_to(ROOT)} held; set aside "
                f"as {aside.name} (to use it all the same: move it back, then REUSE=1)",
                flush=True,
            )
    if runs.exists() and any(runs.iterdir()):  # what took long once is kept from then on
        made = made | {"given": found.get("given", "unknown") or made["given"]}
    runs.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made, indent=1, default=str)
    (runs / clean.STAMP).write_text(text)


def trains(name: str) -> str:
    """Return a digest of the code that trains the networks of a notebook, by name."""
    needed = code.needed("\n".join(sources(name)), ROOT)
    library = [path for path in needed if path.parts[0] == "msr"]
    return code.meaning_of([path for path in library if path.parts[1] not in MEASURING], ROOT)


def run(notebook: Path, out: Path, params: dict) -> None:
    """Let papermill run a notebook with these parameters, from the root, into another file."""
    os.environ.pop("MPLBACKEND", None)  # only the kernel's own backend puts figures into the page
    papermill.execute_notebook(
        str(notebook),
        str(out),
        parameters=params,
        cwd=str(ROOT),
        progress_bar=False,
        kernel_name="python3",
        # else it warns that it speaks to this process unencrypted
        extra_arguments=["--log-level=ERROR"],
    )


# ------------------------------------------------------------------------------- making the site


def stage(executed: list[Path]) -> Path:
    """Collect the sources of the site, and return their folder.

    They are the pages, with tables that are measured here, the executed notebooks, and the page of
    the library.
    """
    site = BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    left_out = shutil.ignore_patterns("*.ipynb", "*.py", "profiles", "__pycache__", "_static")
    shutil.copytree(ROOT / "book", site / "book", ignore=left_out)
    shutil.copytree(ROOT / "book" / "_static", site / "_static")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, site)
    for path in executed:
        page = for_reading(json.loads(path.read_text()), reproduction.headline(path.stem))
        (site / "book" / path.name).write_text(json.dumps(page, indent=1))
    (site / "book" / "api.md").write_text(api.page())
    for page in sorted((site / "book").glob("*.md")):
        if facts.MARK in page.read_text():
            page.write_text(facts.filled(page.read_text()))
    return site


def render(site: Path) -> None:
    """Render the site to _build/html; any warning is an error.

    The new site replaces the old one only when it is complete. Nothing is done where the old one is
    of the same pages, and of the same library, whose docstrings are a page.
    """
    stamp, digest = BUILD / "html.sha256", of_site(site)
    if (BUILD / "html" / "index.html").exists() and stamp.exists() and stamp.read_text() == digest:
        print("The site is unchanged.")
        return
    stamp.unlink(missing_ok=True)
    tool = Path(sys.executable).with_name("jupyter-book")
    strict = ["-W", "-n", "--keep-going", "--all"]
    command = [str(tool), "build", str(site), "--path-output", str(site / "out"), *strict]
    subprocess.run(command, check=True, cwd=ROOT)
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    shutil.move(str(site / "out" / "_build" / "html"), BUILD / "html")
    stamp.write_text(digest)


def of_site(site: Path) -> str:
    """Return a digest of what the site is made of: its sources, the library, and the tools."""
    digest = hashlib.sha256(f"{version('jupyter-book')} {version('sphinx')}".encode())
    for root in (site, ROOT / "msr", ROOT / "benchmarks"):
        files = [p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        for path in sorted(files):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Run the command: execute the notebooks that changed, then render the site."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", help=", ".join(PROFILES))
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the notebooks",
    )
    parser.add_argument(
        "--reuse", action="store_true", help="use networks that other code trained (REUSE=1)"
    )
    options = parser.parse_args()
    if options.profile not in PROFILES:
        sys.exit(f"unknown profile '{options.profile}'; choose {', '.join(PROFILES)}")
    extra = {name: plain(value, f"-p {name}") for name, value in options.p}
    if options.profile in ("smoke", "quick"):
        os.environ.pop("IMAGENET_DIR", None)
    if options.profile == "paper" and not (extra.get("data_dir") or os.environ.get("IMAGENET_DIR")):
        sys.exit("profile paper needs images: set IMAGENET_DIR, or give -p data_dir FOLDER")
    check(extra)
    names, profile = notebooks(), options.profile
    digests = {name: fingerprint(name, parameters(name, profile, extra)) for name in names}
    waiting = [name for name in names if not unchanged(name, profile, digests[name])]
    times = plain((ROOT / "book" / "profiles" / "times.yml").read_text(), "times.yml")
    clock = Clock({} if extra else times.get(profile, {}), waiting)
    render(stage([execute(name, profile, extra, options.reuse, clock) for name in names]))
    print(f"\nThe book is in {BUILD / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()

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
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import papermill
import yaml

import api
import clean
import code_of_pages as code
import footprint
from clock import Clock

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
PROFILES = ("smoke", "quick", "standard", "paper")
MEASURING = ("evaluate", "report")  # packages of msr that no training depends on


# ------------------------------------------------------------------- notebooks and their parameters


class Plain(yaml.SafeLoader):
    """YAML of plain data without aliases, of which a few lines can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node. Raises YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the value out")
        return super().compose_node(parent, index)


def plain(text: str, where: str) -> Any:
    """Return the value of a YAML text; what cannot be read ends the program with one line."""
    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sys.exit(f"{where} cannot be read as YAML: {' '.join(str(error).split())[:200]}")


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
    folder in _build, and `extra`, those of the command line; of equal names the last one counts. An
    unknown name in `extra` ends the program.
    """
    known = declared(ROOT / "book" / f"{name}.ipynb")
    folder = ROOT / "book" / "profiles"
    chosen = plain((folder / f"{profile}.yml").read_text(), f"{profile}.yml")
    own = folder / f"{profile}-{name}.yml"
    if own.exists():
        chosen |= plain(own.read_text(), own.name)
    unknown = [key for key in extra if key not in known]
    if unknown:
        choices = ", ".join(sorted(known))
        sys.exit(f"{name} has no parameter '{unknown[0]}'; it has: {choices}")
    chosen = {key: value for key, value in chosen.items() if key in known}
    runs = extra.get("out_dir", f"_build/runs/{profile}")
    return chosen | extra | {"out_dir": f"{runs}/{name}"}


# ---------------------------------------------------------------------------- running the notebooks


def fingerprint(name: str, params: dict) -> str:
    """Return a digest of what an executed page depends on.

    These are the code of the notebook and all that it imports from this checkout, its parameters,
    $IMAGENET_DIR, and the numbers of an earlier run that are kept with the book.
    """
    values = [params, os.environ.get("IMAGENET_DIR", ""), code.sources(notebook(name))]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    digest.update(code.meaning_of(needs(name), ROOT).encode())
    for kept in (ROOT / "results" / f"{name}.json", ROOT / "benchmarks" / "results.json"):
        if kept.exists() and (kept.stem == name or name == "performance"):
            digest.update(kept.read_bytes())
    return digest.hexdigest()


def notebook(name: str) -> dict:
    """Return a notebook as it is written, by name."""
    return json.loads((ROOT / "book" / f"{name}.ipynb").read_text())


def needs(name: str) -> list[Path]:
    """Return the modules that a notebook imports from this checkout, and those that they import."""
    return code.needed("\n".join(code.sources(notebook(name))), ROOT)


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
        page = code.with_text_of(notebook(name), json.loads(out.read_text()))
        out.write_text(json.dumps(page, indent=1))
        return out
    if "out_dir" not in extra:
        made = {"profile": profile, "given": extra, "code": trains(name)}
        keep(ROOT / params["out_dir"], out, made, reuse)
    start, fresh = time.perf_counter(), out.with_suffix(".running.ipynb")
    print(f"{name}: executing with profile {profile}{clock.begins(name)} …", flush=True)
    run(ROOT / "book" / f"{name}.ipynb", fresh, params)
    out.write_text(json.dumps(code.tidied(json.loads(fresh.read_text())), indent=1))
    fresh.unlink()
    stamp.write_text(digest)
    took = time.perf_counter() - start
    clock.ended(name, took)
    print(f"{name}: {took:.0f} s", flush=True)
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
    library = [path for path in needs(name) if path.parts[0] == "msr"]
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
        shutil.copy(path, site / "book" / path.name)
    (site / "book" / "api.md").write_text(api.page())
    for page in sorted((site / "book").glob("*.md")):
        if footprint.MARK in page.read_text():
            page.write_text(footprint.filled(page.read_text()))
    return site


def render(site: Path) -> None:
    """Render the site to _build/html; any warning is an error.

    The new site replaces the old one only when it is complete.
    """
    tool = Path(sys.executable).with_name("jupyter-book")
    strict = ["-W", "-n", "--keep-going", "--all"]
    command = [str(tool), "build", str(site), "--path-output", str(site / "out"), *strict]
    subprocess.run(command, check=True, cwd=ROOT)
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    shutil.move(str(site / "out" / "_build" / "html"), BUILD / "html")


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
    names, profile = notebooks(), options.profile
    digests = {name: fingerprint(name, parameters(name, profile, extra)) for name in names}
    waiting = [name for name in names if not unchanged(name, profile, digests[name])]
    times = plain((ROOT / "book" / "profiles" / "times.yml").read_text(), "times.yml")
    clock = Clock(times.get(profile, {}), waiting)
    render(stage([execute(name, profile, extra, options.reuse, clock) for name in names]))
    print(f"\nThe book is in {BUILD / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()

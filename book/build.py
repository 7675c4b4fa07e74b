"""Build the book: papermill executes the notebooks into _build/, jupyter-book renders what it wrote, warnings are errors.

    python book/build.py [--profile quick] [-p NAME VALUE]

Notebooks are never run in place. A run is kept and used again while msr/, the notebook and its parameters are unchanged.
The profiles smoke and quick use the embedded images whatever $IMAGENET_DIR says; -p data_dir FOLDER overrides.
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

import papermill
import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
PROFILES = ("smoke", "quick", "standard", "paper")


def notebooks() -> list[str]:
    """Names of the notebooks, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for chapter in toc.get("chapters", [])] + [c["file"] for part in toc.get("parts", []) for c in part["chapters"]]
    return [Path(f).name for f in files if (ROOT / f).with_suffix(".ipynb").exists()]


def declared(notebook: Path) -> set[str]:
    """The parameters that a notebook's `parameters` cell declares."""
    return set(papermill.inspect_notebook(str(notebook)))


def parameters(name: str, profile: str, extra: dict) -> dict:
    """The profile's parameters that this notebook declares, then those of <profile>-<name>.yml, then its out_dir, then the command line's."""
    known = declared(ROOT / "book" / f"{name}.ipynb")
    folder = ROOT / "book" / "profiles"
    chosen = yaml.safe_load((folder / f"{profile}.yml").read_text())
    if (folder / f"{profile}-{name}.yml").exists():
        chosen |= yaml.safe_load((folder / f"{profile}-{name}.yml").read_text())
    unknown = [key for key in extra if key not in known]
    if unknown:
        sys.exit(f"{name} has no parameter '{unknown[0]}'; it has: {', '.join(sorted(known))}")
    return {k: v for k, v in chosen.items() if k in known} | {"out_dir": f"_build/runs/{profile}/{name}"} | extra


def fingerprint(name: str, params: dict) -> str:
    """A digest of all that a run depends on: the library, the notebook, the parameters, the data folder's name."""
    digest = hashlib.sha256(json.dumps([params, os.environ.get("IMAGENET_DIR", "")], sort_keys=True, default=str).encode())
    for path in [*sorted((ROOT / "msr").rglob("*.py")), ROOT / "book" / f"{name}.ipynb"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def execute(name: str, profile: str, extra: dict) -> Path:
    """Run one notebook unless an equal run is there; returns the executed file. A failed run leaves the last good one."""
    folder = BUILD / "executed" / profile
    folder.mkdir(parents=True, exist_ok=True)
    out, stamp, params = folder / f"{name}.ipynb", folder / f"{name}.sha256", parameters(name, profile, extra)
    digest = fingerprint(name, params)
    if out.exists() and stamp.exists() and stamp.read_text() == digest:
        print(f"{name}: unchanged, reusing {out.relative_to(ROOT)}", flush=True)
        return out
    clear(ROOT / params["out_dir"], digest)
    start, fresh = time.perf_counter(), folder / f"{name}.running.ipynb"
    print(f"{name}: executing with profile {profile} …", flush=True)
    os.environ.pop("MPLBACKEND", None)                        # any but the kernel's own leaves no figure in the page
    papermill.execute_notebook(str(ROOT / "book" / f"{name}.ipynb"), str(fresh), parameters=params, cwd=str(ROOT),
                               progress_bar=False, kernel_name="python3")
    book = json.loads(fresh.read_text())
    book["metadata"].pop("jupytext", None)
    book["metadata"].pop("papermill", None)
    for cell in book["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"].append("hide-input")     # folded, so that a page begins with what it says
    out.write_text(json.dumps(book, indent=1))
    fresh.unlink()
    stamp.write_text(digest)
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return out


def clear(runs: Path, digest: str) -> None:
    """Remove what another version of the code trained; what an interrupted build of this one trained is gone on with."""
    stamp = runs / "fingerprint.sha256"
    if runs.is_relative_to(BUILD) and not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
        stamp.write_text(digest)


def stage(executed: list[Path]) -> Path:
    """The sources of the site: pages and configuration as they are, notebooks as executed."""
    site = BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "book", site / "book", ignore=shutil.ignore_patterns("*.ipynb", "*.py", "profiles", "__pycache__", "_static"))
    shutil.copytree(ROOT / "book" / "_static", site / "_static")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, site)
    for path in executed:
        shutil.copy(path, site / "book" / path.name)
    return site


def render(site: Path) -> None:
    """Render to _build/html; any warning is an error. The new site replaces the old one only when it is whole."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(site), "--path-output", str(site / "out"), "-W", "-n", "--keep-going", "--all"]
    subprocess.run(command, check=True, cwd=ROOT)
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    shutil.move(str(site / "out" / "_build" / "html"), BUILD / "html")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", help=", ".join(PROFILES))
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter of the notebooks")
    options = parser.parse_args()
    if options.profile not in PROFILES:
        sys.exit(f"unknown profile '{options.profile}'; choose {', '.join(PROFILES)}")
    extra = {name: yaml.safe_load(value) for name, value in options.p}
    if options.profile in ("smoke", "quick"):
        os.environ.pop("IMAGENET_DIR", None)
    if options.profile == "paper" and not (extra.get("data_dir") or os.environ.get("IMAGENET_DIR")):
        sys.exit("profile paper needs images: set IMAGENET_DIR, or give -p data_dir FOLDER")
    render(stage([execute(name, options.profile, extra) for name in notebooks()]))
    print(f"\nThe book is in {BUILD / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()

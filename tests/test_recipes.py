"""The recipes of CONTRIBUTING.md, applied to a copy of the repository, and their files counted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "tests" / "recipes"
PARTS = ("msr", "book", "tests", "_toc.yml", "_config.yml", "pyproject.toml", "Makefile")
TRY = """
from msr.experiments import imagenet
imagenet.N_VAL = 60
config = imagenet.Parameters(image_size=16, epochs=1, seeds=1, batch_size=16, max_images=64,
    probe_images=60, num_workers=0, device="cpu", precision="float32", out_dir="runs", {given})
setup = imagenet.prepare(config)
run = setup.fit(0, progress=False)
table = setup.probe(run)
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository, and the content of its files before the recipe."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "recipes")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
        else:
            shutil.copy(ROOT / part, tmp_path)
    return tmp_path, contents(tmp_path)


def contents(root):
    """{path: bytes} of the files that git would track."""
    files = [p for p in root.rglob("*") if p.is_file() and "runs" not in p.relative_to(root).parts]
    tracked = [p for p in files if not {"__pycache__", ".pytest_cache"} & set(p.parts)]
    return {str(p.relative_to(root)): p.read_bytes() for p in tracked}


def changed(root, before):
    """The files that the recipe touched or made."""
    after = contents(root)
    return sorted(path for path in after if after[path] != before.get(path))


def insert(path, after, text):
    """Put a text behind the one place where another stands."""
    source = path.read_text()
    assert source.count(after) == 1, f"{after!r} stands {source.count(after)} times in {path}"
    path.write_text(source.replace(after, after + text))


def python(root, *arguments):
    """Run Python in the copy, which it imports; return what it printed."""
    command = [sys.executable, *arguments]
    environment = {
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "PATH": str(Path(sys.executable).parent),
    }
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def stated(recipe):
    """How many files CONTRIBUTING.md says that the recipe touches."""
    row = re.search(rf"^\| {recipe} .*\| (\d+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    return int(row[1])


def test_a_new_group_with_one_new_transform(copy):
    root, before = copy
    shutil.copy(RECIPES / "erase.py", root / "msr" / "augment")
    presets = root / "msr" / "augment" / "presets.py"
    insert(
        presets, "from msr.augment.base import Transform\n", "from msr.augment.erase import Erase\n"
    )
    insert(presets, "def shapes(size: int)", "")
    insert(
        presets,
        "\nPRESETS: dict[str, Preset] = {\n",
        '    "occluded": lambda size: [*shapes(size)[:-1], Erase(), Normalise()],\n',
    )
    shutil.copy(RECIPES / "test_erase.py", root / "tests")
    given = 'groups=["appearance", "occlusion"], augmentation="occluded", vanilla=False'
    check = 'assert {"erase_x", "erase_y"} <= set(table["occlusion"])\n'
    check += 'assert setup.views.homes()["erase_x"] == "occlusion"\n'
    check += 'assert set(setup.sensitivity(run)["content"]) == {"appearance", "occlusion"}\n'
    python(root, "-c", TRY.format(given=given) + check)
    assert "1 passed" in python(root, "-m", "pytest", "tests/test_erase.py")
    assert len(changed(root, before)) == stated("an augmentation group") <= 3


def test_a_new_family(copy):
    root, before = copy
    shutil.copy(RECIPES / "wmse.py", root / "msr" / "losses")
    losses = root / "msr" / "losses" / "__init__.py"
    insert(losses, "from msr.losses import ", "wmse, ")
    insert(losses, "for family in (", "wmse.FAMILY, ")
    shutil.copy(RECIPES / "test_wmse.py", root / "tests")
    given = 'family="wmse", loss_settings="epsilon=0.01"'
    check = 'assert setup.build(0)[1].record.normalise.keywords == {"epsilon": 0.01}\n'
    check += 'assert run.objective.scale_free and setup.sensitivity(run)["content"]\n'
    python(root, "-c", TRY.format(given=given) + check)
    assert "2 passed" in python(root, "-m", "pytest", "tests/test_wmse.py")
    assert len(changed(root, before)) == stated("a loss family") <= 3


def test_a_new_dataset_with_its_notebook(copy):
    root, before = copy
    shutil.copy(RECIPES / "bars.py", root / "msr" / "data")
    data = root / "msr" / "data" / "__init__.py"
    insert(data, "from msr.data import ", "bars, ")
    insert(data, '"sprites": dsprites.load', ', "bars": bars.load')
    python(root, "book/new.py", "bars", "--data", "bars")
    check = 'assert set(table["content"]) >= {"way_linear", "way_knn", "place", "crop_x"}\n'
    python(root, "-c", TRY.format(given='data_dir="bars"') + check)
    arguments = "--no-progress-bar --log-level ERROR -p epochs 1 -p seeds 1 -p image_size 32"
    arguments += " -p max_images 128 -p probe_images 60 -p num_workers 0"
    python(root, "-m", "papermill", "book/bars.ipynb", "runs.ipynb", *arguments.split())
    (root / "runs.ipynb").unlink()
    contract = python(root, "-m", "pytest", "tests/test_images.py", "-k", "bars")
    assert re.search(r"\d+ passed", contract), contract
    kept = python(root, "-m", "pytest", "tests/test_book.py", "-k", "bars or toc")
    assert re.search(r"[3-9] passed", kept), kept
    assert len(changed(root, before)) == stated("a dataset") <= 5

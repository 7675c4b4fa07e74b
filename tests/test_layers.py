"""Imports go downwards only, and one file alone talks to torch.distributed."""
import ast
from pathlib import Path

import pytest

MSR = Path(__file__).resolve().parent.parent / "msr"
LAYERS = {
    0: ("spaces", "dist", "augment.base", "optim", "progress", "metrics", "plots", "dci", "data.trifeature", "data.files", "checkpoint"),
    1: ("augment.spatial", "augment.appearance", "pairwise", "models", "data.shards", "data.latents"),
    2: ("augment", "data.images", "simclr", "vicreg", "barlow", "entropy", "duals"),
    3: ("views", "objective", "data.sprites"),
    4: ("config", "log", "presets", "probes", "weights"),
    5: ("train",),
    6: ("experiment", "report", "numerical"),
    7: ("sprites", "transfer", "__init__"),
}
LEVEL = {name: level for level, names in LAYERS.items() for name in names}
FILES = {".".join(p.relative_to(MSR).with_suffix("").parts).removesuffix(".__init__"): p for p in MSR.rglob("*.py") if p.read_text().strip()}


def imported(name: str) -> set[str]:
    """The msr modules that a module imports."""
    package = ["msr", *name.split(".")] if FILES[name].name == "__init__.py" else ["msr", *name.split(".")[:-1]]
    found = set()
    tree = ast.parse(FILES[name].read_text())
    command = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]   # what only `python -m` runs
    for node in (node for part in tree.body if part not in command for node in ast.walk(part)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            if full.split(".")[0] == "msr":
                found |= {f"{full}.{alias.name}" for alias in node.names} | {full}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {f.removeprefix("msr.") for f in found} & set(FILES)


def test_every_module_has_its_place():
    assert set(FILES) == set(LEVEL)


@pytest.mark.parametrize("name", sorted(LEVEL))
def test_imports_go_down(name):
    up = {other for other in imported(name) if LEVEL[other] >= LEVEL[name]}
    assert not up, f"{name} (layer {LEVEL[name]}) imports {', '.join(up)}"


def test_the_reader_sees_imports():
    assert {"simclr", "spaces", "dist"} <= imported("objective") and "data.trifeature" in imported("data.images")
    assert "augment" in imported("views") and "augment.base" in imported("augment")


def test_distributed_is_in_one_file():
    for name, path in FILES.items():
        if name != "dist":
            assert "torch.distributed" not in path.read_text(), name

"""The notebooks as a reader runs them, by papermill."""

from pathlib import Path

import papermill
import pytest

ROOT = Path(__file__).resolve().parent.parent
WRONG = {
    "imagenet": ({"epoch": 3}, "unknown parameter 'epoch' (did you mean 'epochs'?)"),
    "sprites": ({"strengh": "weak"}, "unknown parameter 'strengh' (did you mean 'strength'?)"),
    "numerical": ({"step": 3}, "unknown parameter 'step' (did you mean 'steps'?)"),
    "transfer": ({"task": "content:a"}, "unknown parameter 'task' (did you mean 'tasks'?)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_unknown_parameter_stops_a_notebook_before_any_work(name, tmp_path):
    given, says = WRONG[name]
    with pytest.raises(papermill.PapermillExecutionError) as error:
        papermill.execute_notebook(
            ROOT / "book" / f"{name}.ipynb",
            tmp_path / "out.ipynb",
            parameters=given | {"out_dir": str(tmp_path / "runs")},
            cwd=ROOT,
            progress_bar=False,
            kernel_name="python3",
        )
    assert error.value.ename == "ValueError" and error.value.evalue == says
    assert not (tmp_path / "runs").exists()


def test_the_readmes_program(photographs, tmp_path, monkeypatch):
    """The program of the README, with small numbers in place of its own."""
    program = (ROOT / "README.md").read_text().split("```python\n")[-1].split("```")[0]
    for before, after in (
        ('"FOLDER"', repr(str(photographs))),
        ("size=64", "size=16"),
        ("(64, 32, 32)", "(4, 2, 2)"),
        ('"medium", 64', '"medium", 16'),
        ('"resnet18", 64', '"resnet18", 16'),
        ("Batches(data, 128)", "Batches(data, 8)"),
        ("epochs=10", "epochs=1, batch_size=8"),
        ("3, 64, 64", "3, 16, 16"),
    ):
        assert before in program, before
        program = program.replace(before, after)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(program, names)
    assert names["spaces"].split(names["z"])["appearance"].shape == (2, 2)
    assert (tmp_path / "runs" / "mine" / "model.safetensors").exists() and names["log"]
    assert program.count("import ") == 2

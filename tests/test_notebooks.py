"""The notebooks as a reader runs them, by papermill."""

from pathlib import Path

import papermill
import pytest
import torch

from msr import evaluate

ROOT = Path(__file__).resolve().parent.parent
WRONG = {
    "imagenet": ({"epoch": 3}, "unknown parameter 'epoch' (did you mean 'epochs'?)"),
    "sprites": ({"strengh": "weak"}, "unknown parameter 'strengh' (did you mean 'strength'?)"),
    "numerical": ({"step": 3}, "unknown parameter 'step' (did you mean 'steps'?)"),
    "price": ({"studys": []}, "unknown parameter 'studys' (did you mean 'studies'?)"),
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


@pytest.mark.parametrize("on_files", [False, True])
def test_the_readmes_program(on_files, photographs, tmp_path, monkeypatch):
    """The program of the README, with smaller numbers; also with its line for a user's images."""
    program = (ROOT / "README.md").read_text().split("```python\n")[-1].split("```")[0]
    changes = [
        ("n_train=1000", "n_train=48"),
        ("(64, 32, 32)", "(4, 2, 2)"),
        ("32)", "16)"),
        ('"cnn", 32, width=16', '"cnn", 16, width=4'),
        ("Batches(data, 128)", "Batches(data, 8)"),
        ("epochs=10", "epochs=1, batch_size=8"),
        ("arange(100)", "arange(20)"),
    ]
    if on_files:
        changes += [("# data, held_out", "data, held_out"), ('"FOLDER"', repr(str(photographs)))]
    for before, after in changes:
        assert before in program, before
        program = program.replace(before, after)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(program, names)
    assert names["features"]["appearance"].shape == (20, 2) and names["log"]
    assert (tmp_path / "runs" / "mine" / "model.safetensors").exists()
    images = names["held_out"].loaded[:20]
    expected = evaluate.embed(names["model"], images, names["views"].query)["h"]
    torch.testing.assert_close(names["features"]["h"], torch.from_numpy(expected))
    assert program.count("import ") == 2

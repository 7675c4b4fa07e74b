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

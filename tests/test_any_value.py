"""Any value of any parameter gives a record or one line; so does a notebook (a long test)."""

import json
import math
from pathlib import Path

import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msr.config import Config
from msr.experiments import imagenet, numerical, sprites, transfer
from msr.train import Training

ROOT = Path(__file__).resolve().parent.parent
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RECORDS = [Training, *(module.Parameters for module in (imagenet, sprites, transfer, numerical))]


@given(st.sampled_from(RECORDS), st.data())
def test_any_value_gives_the_record_or_one_line(kind, drawn):
    names = st.sampled_from(list(kind.model_fields)) | st.text() | st.just("self")
    values = drawn.draw(st.dictionaries(names, plain, max_size=3))
    try:
        record = kind(**values)
    except ValueError as error:
        assert "\n" not in str(error) and 0 < len(str(error)) < 3000
    else:
        assert isinstance(record, Config) and kind(**record.model_dump()) == record
        json.dumps(record.model_dump(), default=str)


def test_values_nested_deeply_or_of_many_digits_are_answered_in_one_line():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000, "x" * 10**6, [0] * 10**5):
        with pytest.raises(ValueError) as error:
            Training(epochs=value)
        assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


# --------------------------------------------------------------------------- through the notebooks

THROUGH = {
    "imagenet": [
        {"lr": "fast"},
        {"data_dir": "/nonexistent"},
        {"hidden": [10**12]},
        {"out_dir": "/dev/null"},
    ],
    "sprites": [{"strength": "/nonexistent"}, {"batch_size": 10**12}, {"npz": "/nonexistent"}],
    "numerical": [{"noise": math.nan}, {"depth": 10**9}, {"styles": []}],
    "transfer": [{"tasks": "colour:x"}, {"n_l2": 10**9}, {"val_dir": "/nonexistent"}],
}


@pytest.mark.long
@pytest.mark.parametrize("name", THROUGH)
def test_a_wrong_value_stops_a_notebook_before_any_work(name, tmp_path):
    for values in THROUGH[name]:
        given_ = {"out_dir": str(tmp_path / "runs"), "device": "cpu"} | values
        with pytest.raises(papermill.PapermillExecutionError) as error:
            papermill.execute_notebook(
                ROOT / "book" / f"{name}.ipynb",
                tmp_path / "out.ipynb",
                parameters=given_,
                cwd=ROOT,
                progress_bar=False,
                kernel_name="python3",
            )
        assert error.value.ename == "ValueError" and "\n" not in error.value.evalue, values
        name_, value = next(iter(values.items()))
        assert name_ in error.value.evalue or str(value).split(":")[0] in error.value.evalue
        assert not (tmp_path / "runs").exists()

"""The benchmarks: their ratios say what they claim, and every suite runs."""

import json
import time

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import losses, memory, steps, views
from benchmarks.pairs import Case, compare, hardware

CPU = torch.device("cpu")


def nap(seconds):
    return lambda: time.sleep(seconds)


def test_a_ratio_says_how_many_times_faster_ours_is():
    found = compare(Case("naps", nap(0.01), nap(0.05), 10, "naps"), 5, CPU)
    assert 3 < found["low"] <= found["ratio"] <= found["high"] < 5.5
    assert found["ours"] == pytest.approx(1000, rel=0.3) and found["unit"] == "naps/s"


def test_another_measure_is_written_down_as_it_is():
    case = Case("sizes", lambda: 2.0, lambda: 8.0, 1, "MiB", lambda work, device: work())
    found = compare(case, 3, CPU)
    assert (found["ratio"], found["ours"], found["theirs"], found["unit"]) == (4, 2, 8, "MiB")


def test_a_check_fails_only_where_a_ratio_fell(capsys):
    stored = {"views": {"a": {"ratio": 2.0}, "b": {"ratio": 2.0}, "gone": {"ratio": 9.0}}}
    found = {"views": {"a": {"ratio": 1.72}, "b": {"ratio": 3.0}, "new": {"ratio": 0.1}}}
    assert command.check(stored, found) == 0
    found["views"]["a"]["ratio"] = 1.6
    assert command.check(stored, found) == 1
    assert "views: a: 2.00 before, 1.60 now" in capsys.readouterr().out


def test_results_of_other_suites_stay(tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.json"
    out.write_text(json.dumps({"results": {"losses": {"old": {"ratio": 1}}}}))
    one = Case("naps", nap(0.001), nap(0.002))
    monkeypatch.setitem(command.SUITES, "views", lambda device: iter([one]))
    assert command.main(["views", "--rounds", "2", "--out", str(out), "--device", "cpu"]) == 0
    results = json.loads(out.read_text())
    assert set(results["results"]) == {"losses", "views"}
    assert results["hardware"]["torch"] == torch.__version__ and hardware(CPU)["cores"] >= 1
    with pytest.raises(SystemExit):
        command.main(["vews"])


def test_the_whole_matrix_is_what_blocks_compute():
    z = torch.randn(3, 20, 6, dtype=torch.float64)
    ours = losses.FAMILIES["simclr"].spread(z, temperature=losses.TAU)
    torch.testing.assert_close(ours, losses.by_matrix(z))


@pytest.mark.parametrize("suite", ["views", "losses"])
def test_every_case_of_a_suite_runs(suite, monkeypatch):
    monkeypatch.setattr(views, "SIZES", {16: 4})
    monkeypatch.setattr(losses, "B", 8)
    cases = list(command.SUITES[suite](CPU))
    for case in cases:
        assert compare(case, 1, CPU)["ratio"] > 0
    assert len({case.name for case in cases}) == len(cases) > 0


def test_a_step_and_its_parts():
    step = steps.Step({"max_images": 40, "image_size": 16, "batch_size": 20, "width": 4}, CPU)
    before = next(step.state.model.parameters()).clone()
    step.whole()
    assert not torch.equal(before, next(step.state.model.parameters()))
    step.network_alone()
    assert step.views_alone().shape[:2] == (4, 20)


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux says what the peak was")
def test_peak_memory_of_a_known_size():
    found = memory.peak(lambda: torch.ones(2**20, 20), CPU)
    assert 75 < found < 100  # 80 MiB

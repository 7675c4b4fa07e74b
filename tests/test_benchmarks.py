"""The benchmarks: their ratios say what they claim, and what is compared does the same."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import families, losses, memory, ranks, steps, views
from benchmarks.pairs import Case, compare, hardware, told
from msr.experiments import performance
from msr.report import speed_plots

CPU = torch.device("cpu")


def nap(seconds):
    return lambda: time.sleep(seconds)


def test_a_ratio_says_how_many_times_faster_ours_is():
    found = compare(Case("naps", nap(0.02), nap(0.1), 10, "naps"), 5, CPU)
    assert 2.5 < found["low"] <= found["ratio"] <= found["high"] < 5.5
    assert 250 < found["ours"] < 510 and found["unit"] == "naps/s"


def test_another_measure_is_written_down_as_it_is():
    case = Case("sizes", lambda: 2.0, lambda: 8.0, 1, "MiB", lambda work, device: work())
    found = compare(case, 3, CPU)
    assert (found["ratio"], found["ours"], found["theirs"], found["unit"]) == (4, 2, 8, "MiB")


def suite(**rows):
    """A suite as it is written: {case: (low, ratio, high)}."""
    cells = {k: dict(zip(("low", "ratio", "high"), v)) for k, v in rows.items()}
    return {"hardware": hardware(CPU), "commit": "", "rounds": 3, "rows": cells}


@pytest.mark.parametrize(
    "now, status, said",
    [
        ({"a": (1.6, 1.7, 1.9)}, 0, "1 compared, 0 slower"),  # within what it varied by
        ({"a": (1.0, 1.2, 1.5)}, 1, "views: a: 2.00 before, 1.20 now"),
        ({"a": (math.nan, math.nan, math.nan)}, 1, "1 slower"),
        ({"other": (1.0, 1.0, 1.0)}, 1, "views: other: not compared"),
    ],
)
def test_a_check_fails_where_a_ratio_fell_or_nothing_was_compared(now, status, said, capsys):
    before = {"views": suite(a=(1.9, 2.0, 2.1))}
    assert command.check(before, {"views": suite(**now)}) == status
    assert said in capsys.readouterr().out


def test_results_of_other_suites_stay(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "results.json"
    monkeypatch.setitem(command.SUITES, "views", lambda device: iter([case]))
    case = Case("sizes", lambda: 1.0, lambda: 2.0, 1, "MiB", lambda work, device: work())
    arguments = ["views", "--rounds", "2", "--out", str(out), "--device", "cpu"]
    assert command.main(arguments) == 0
    out.write_text(json.dumps(json.loads(out.read_text()) | {"losses": suite(a=(1, 1, 1))}))
    assert command.main([*arguments, "--check", str(out)]) == 0
    results = command.read(out)
    assert set(results) == {"losses", "views"}
    assert results["views"]["hardware"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["vews"], "unknown suite 'vews'; choose views"),
        (["--rounds", "0"], "--rounds 0; give 1 or more"),
        (["--device", "foo"], "foo"),
        (["views", "--check", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_arguments_are_one_line(wrong, said, capsys):
    with pytest.raises(SystemExit):
        command.main(wrong)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_measurements_of_the_book_are_of_todays_cases():
    found = performance.stored(performance.Parameters())
    assert set(found) == set(performance.SUITES) == set(command.SUITES)
    assert [f"{size} px, all: PIL" in found["views"]["rows"] for size in views.SIZES] == [True] * 2
    for title in steps.NETWORKS:
        assert f"{title}: the views alone" in found["steps"]["rows"]
    assert steps.LATENTS in performance.part(found, "steps", end=": matrix products")
    assert performance.measured_on(found).count("PyTorch") >= 1
    assert list(performance.part(found, "steps", "paired, ", ": plain SSL")) == [
        f"M = {m}" for m in range(1, steps.MOST + 1)
    ]
    with pytest.raises(ValueError, match="results 'none.json' cannot be read"):
        performance.stored(performance.Parameters(results="none.json"))


def test_figures_of_measurements(tmp_path):
    rows = {
        "a": {"ratio": 2.0, "low": 1.5, "high": 3.0},
        "b": {"ratio": 0.5, "low": 0.4, "high": 1},
    }
    speed_plots.ratios({"x": rows, "empty": {}}).savefig(tmp_path / "a.png")
    fig = speed_plots.shares({"one": {"network": 0.7, "views": 0.2}})
    assert [bar.get_width() for bar in fig.axes[0].patches] == pytest.approx([0.7, 0.2, 0.1])
    assert (speed_plots.times(127.4), speed_plots.times(0.456)) == ("127 ×", "0.46 ×")


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


def test_a_step_of_latents_and_its_products():
    step = steps.LatentStep(CPU)
    before = step.state.model.backbone[1].weight.clone()
    step.whole()
    assert not torch.equal(before, step.state.model.backbone[1].weight)
    # forward, and backward for weights and inputs, of six square layers of 128 for 640 rows
    _, gflop = step.dense(side=64)
    assert gflop == pytest.approx(3 * 6 * 2 * 640 * 128**2 / 1e9, rel=0.1)


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux says what the peak was")
def test_peak_memory_of_a_known_size():
    found = memory.peak(lambda: torch.ones(2**20, 20), CPU)
    assert 75 < found < 100  # 80 MiB


@pytest.mark.parametrize("needed, seconds", [(100, 10.0), (400, 40.0), (10**6, 160.0)])
def test_a_learner_takes_the_shortest_run_that_reaches_it(needed, seconds, monkeypatch):
    seeds = []

    def trained(setting, seed, progress):
        seeds.append(seed)
        names, score = setting.latents.names, 0.9 if setting.steps >= needed else 0.5
        table = {name: {other: score * (name == other) for other in names} for name in names}
        return SimpleNamespace(latents=setting.latents, seconds=setting.steps / 10, table=table)

    monkeypatch.setattr(families, "run", trained)
    case = next(families.cases(CPU))
    assert told(case.theirs, CPU) == told(case.ours, CPU) == seconds
    assert len(set(seeds)) == 1 and told(case.ours, CPU) == seconds
    assert len(set(seeds)) == 2  # another seed each time


def test_two_ranks_take_steps_and_what_fails_is_said():
    assert 0 < ranks.by(2, 1, "cpu") < 60
    with pytest.raises(RuntimeError, match="(?s)1 ranks failed.*nowhere"):
        ranks.by(1, 1, "nowhere")


def test_passes_and_the_budget_of_a_view():
    """A view of 20 passes takes half a step; all else costs 20, so a tenth is 20 / 9 passes."""

    def row(**numbers):
        return {"ratio": 1.0, "low": 1.0, "high": 1.0} | numbers

    found = {
        "views": {
            "rows": {
                "64 px, all: one pass": row(ratio=1 / 20, ours=50.0, theirs=1000.0),
                "64 px, crop: one pass": row(ratio=1 / 5, ours=200.0, theirs=1000.0),
            }
        },
        "steps": {"rows": {"a step: the views alone": row(ours=25.0, theirs=50.0)}},
    }
    assert performance.passes(found, 64) == pytest.approx({"all": 20, "crop": 5})
    said = performance.budget(found, "a step", 64)
    assert said.startswith("a step: a view costs 20 passes; 2 would be 10% of a step")
    assert said.endswith("all else costs 20.")
    assert performance.budget(found, "another", 64) == performance.budget(found, "a step", 48) == ""
    assert performance.passes(found, 224) == {}


def test_the_page_finds_the_parts_of_every_step_that_is_kept():
    found = performance.stored(performance.Parameters())
    for title in steps.NETWORKS:
        rows = performance.part(found, "steps", f"{title}: ")
        assert set(rows) == {"the network alone", "the views alone", "matrix products"}


def test_the_steps_whose_views_have_passes_are_measured():
    assert set(steps.SIZES) <= set(steps.NETWORKS)
    assert set(steps.SIZES.values()) <= set(views.SIZES)

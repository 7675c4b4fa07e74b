"""metrics.json keeps every seed; the verdict is right by hand and agrees with its interval."""

import json
import math
import subprocess

import numpy as np
import pytest

from msr.report import metrics
from msr.report.verdict import (
    NO_SCORE,
    ONE_SEED,
    Verdict,
    between,
    compared,
    leads,
    located,
    paired,
    promised,
)

# Two-sided t quantiles with 2 degrees of freedom at 0.05 / n: p = 1 − t / √(2 + t²), solved for t.
T2 = {n: (2 * (1 - 0.05 / n) ** 2 / (1 - (1 - 0.05 / n) ** 2)) ** 0.5 for n in (1, 2, 3)}


def table_of(rows):
    """{row: {column: values per seed}} as a table; a number stands for one seed."""
    seeds = max(len(v) if isinstance(v, list) else 1 for row in rows.values() for v in row.values())
    return metrics.over_seeds(
        [
            {
                name: {c: v[seed] if isinstance(v, list) else v for c, v in row.items()}
                for name, row in rows.items()
            }
            for seed in range(seeds)
        ]
    )


def around(mean):
    """Three seeds with this mean, standard deviation 1, hence standard error 1/√3."""
    return [mean - 1, mean, mean + 1]


# ---------------------------------------------------------------------------------- metrics.json


def test_mean_and_spread_over_seeds():
    table = metrics.over_seeds([{"h": {"a": v}} for v in (1.0, 2.0, 6.0)])
    assert table["h"]["a"] == {
        "value": 3.0,
        "std": pytest.approx(np.std([1, 2, 6], ddof=1)),
        "n": 3,
        "values": [1.0, 2.0, 6.0],
    }
    one = metrics.over_seeds([{"h": {"a": 1.0}}])["h"]["a"]
    assert one == {"value": 1.0, "std": None, "n": 1, "values": [1.0]}


def test_the_file_is_written_at_once_and_whole(tmp_path):
    unsaved = metrics.Metrics("sprites", {}, "cpu", tmp_path / "out", saved=False)
    assert unsaved.add("a", [{"h": {"x": 1.0}}]) and not unsaved.write().exists()
    record = metrics.Metrics("sprites", {"seed": 3}, "cpu", tmp_path / "out")
    record.add("strong", [{"h": {"x": np.float32(0.5)}}, {"h": {"x": 0.75}}])
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["tables"]["strong"]["h"]["x"]["values"] == [0.5, 0.75]
    assert (written["notebook"], written["params"], written["device"]) == (
        "sprites",
        {"seed": 3},
        "cpu",
    )
    assert set(written["versions"]) >= {"python", "torch", "numpy"}
    record.add("vanilla", [{"h": {"x": 0.1}}])
    assert set(json.loads(record.write().read_text())["tables"]) == {"strong", "vanilla"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metrics.json"]


def test_the_commit_is_marked_where_files_differ(monkeypatch):
    def answer(head, changed, status=0):
        texts = iter([head, changed])
        monkeypatch.setattr(
            metrics, "_git", lambda *_: subprocess.CompletedProcess([], status, next(texts), "")
        )

    answer("abc\n", " M file\n")
    assert metrics.commit() == "abc+"
    answer("abc\n", "")
    assert metrics.commit() == "abc"
    answer("", "", status=128)
    assert metrics.commit() == "", "outside a checkout"


# ----------------------------------------------------------------------------------- the verdict


def test_one_target_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/√3, t(2) at 97.5 % = 4.3027."""
    assert T2[1] == pytest.approx(4.3027, abs=1e-4)
    verdict = paired({"a": [1, 2, 3]})["a"]
    assert verdict == Verdict(2.0, pytest.approx(T2[1] / 3**0.5), 3)
    assert verdict.sign == 0 and compared(verdict) == "no clear difference"
    up, down = (paired({"a": [sign * v for v in around(3)]})["a"] for sign in (1, -1))
    assert (up.sign, down.sign, up.half) == (1, -1, verdict.half)
    assert (compared(up), compared(down)) == ("better", "worse")
    assert (promised(up), promised(down)) == ("as promised", "**not as promised**")
    assert promised(verdict) == "**undecided**"


def test_holm_steps_down():
    """Critical means, t/√3: 4.416, then 3.583, then 2.484; the order of the targets is kept."""
    found = paired({"c": around(2.6), "a": around(5), "b": around(-4)})
    assert list(found) == ["c", "a", "b"]
    assert {name: v.sign for name, v in found.items()} == {"a": 1, "b": -1, "c": 1}
    halves = {"a": T2[3] / 3**0.5, "b": T2[2] / 3**0.5, "c": T2[1] / 3**0.5}
    assert {name: v.half for name, v in found.items()} == pytest.approx(halves)


def test_holm_stops_at_the_first_failure():
    """`b` fails at its level, so `c` is undecided at that level too, though alone it would pass."""
    found = paired({"a": around(5), "b": around(3), "c": around(2.6)})
    assert [v.sign for v in found.values()] == [1, 0, 0]
    assert found["b"].half == found["c"].half == pytest.approx(T2[2] / 3**0.5)
    assert paired({"c": around(2.6)})["c"].sign == 1


def test_one_seed_has_no_verdict():
    found = paired({"a": [5.0], "b": [0.0]})
    assert found["a"] == Verdict(5.0, math.inf, 1) and found["a"].sign == 0
    assert {word(v) for v in found.values() for word in (compared, promised)} == {ONE_SEED}


def test_no_spread_over_seeds():
    """Equal differences decide, unless they are all zero; they count as targets all the same."""
    found = paired({"equal": [0.5, 0.5, 0.5], "zero": [0, 0, 0], "other": around(4)})
    assert (found["equal"].half, found["equal"].sign) == (0, 1)
    assert (found["zero"].half, found["zero"].sign) == (0, 0)
    assert found["other"].half == pytest.approx(T2[2] / 3**0.5)


def test_no_targets_and_missing_scores():
    """A target without a score has no verdict, and the others are corrected as without it."""
    assert paired({}) == {}
    clear = {"b": [0.5, 0.51, 0.52]}
    found = paired({"a": [0.1, math.nan, 0.1]} | clear)
    assert math.isnan(found["a"].mean) and found["a"].sign == 0 and found["a"].seeds == 3
    assert found["b"] == paired(clear)["b"]
    assert compared(found["a"]) == promised(found["a"]) == NO_SCORE


def holm(p_values, level):
    """Holm's procedure by adjusted p-values: the largest of (k − i) p over all up to the i-th."""
    order, most, clear = np.argsort(p_values), 0.0, {}
    for i, k in enumerate(order):
        most = max(most, (len(order) - i) * p_values[k])
        clear[k] = most < level
    return [clear[k] for k in range(len(order))]


def test_interval_and_verdict_always_agree():
    """Random tables: a verdict is given exactly where Holm rejects, and where zero is outside."""
    from scipy.stats import ttest_1samp

    rng, decided = np.random.default_rng(0), 0
    for _ in range(300):
        targets, seeds = rng.integers(1, 7), rng.integers(2, 6)
        x = rng.normal(rng.normal(0, 3, (targets, 1)), rng.uniform(0.2, 3), (targets, seeds))
        found = list(paired({str(k): row.tolist() for k, row in enumerate(x)}).values())
        expected = holm(ttest_1samp(x, 0, axis=1).pvalue, 0.05)
        assert [v.sign != 0 for v in found] == expected
        for verdict, row in zip(found, x):
            outside = abs(row.mean()) > verdict.half
            assert verdict.sign == (np.sign(row.mean()) if outside else 0)
        decided += sum(expected)
    assert 100 < decided < 900


def test_false_verdicts_are_rare():
    """Without any difference, a table of four targets holds a verdict in one case of twenty."""
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(1000, 4, 3))
    wrong = [any(v.sign for v in paired(dict(enumerate(x))).values()) for x in samples]
    assert 0.03 < np.mean(wrong) < 0.07


def test_differences_are_paired_seed_by_seed():
    ours = table_of({"joined": {"a": [0.9, 0.5, 0.7], "b": [1.0, 2.0, 3.0]}})
    theirs = table_of({"content": {"a": [0.8, 0.4, 0.6], "b": [1.0, 2.0, 3.0]}})
    found = between(ours, "joined", theirs, "content", ["a", "b"])
    assert found["a"].mean == pytest.approx(0.1) and found["a"].half < 1e-12
    assert (found["a"].sign, found["b"].sign) == (1, 0)
    with pytest.raises(ValueError, match="'a' has 3 seeds against 2; both sides need the same"):
        between(ours, "joined", table_of({"h": {"a": [1.0, 2.0]}}), "h", ["a"])


SPACES = ["content", "appearance", "spatial"]
HOMES = {"shape": "content", "hue": "appearance", "crop_x": "crop", "angle": "spatial"}


def test_the_lead_of_a_home_is_over_the_best_rival_of_each_seed():
    table = table_of(
        {
            "content": {"shape_linear": [0.9, 0.8, 0.9], "shape_knn": 0.5, "hue": 0.0, "crop_x": 0},
            "appearance": {"shape_linear": [0.5, 0.1, 0.1], "shape_knn": 0, "hue": 1, "crop_x": 0},
            "spatial": {"shape_linear": [0.1, 0.5, 0.4], "shape_knn": 0, "hue": 0, "crop_x": 1},
        }
    )
    assert located(table, SPACES, HOMES) == {"shape_linear": "content", "hue": "appearance"}
    found = leads(table, SPACES, HOMES)
    assert found["shape_linear"].mean == pytest.approx(np.mean([0.4, 0.3, 0.5]))
    assert list(found) == ["shape_linear", "hue"] and found["hue"].sign == 1
    assert leads(table, ["content"], HOMES) == {}, "one space has no rival"

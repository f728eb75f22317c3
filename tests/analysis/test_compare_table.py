"""From runs to the table: arms paired by seed, strengths chosen without the test set."""

import pytest

from augwise.analysis.compare_plan import CompareConfig, Run, cells, plan, run_of
from augwise.analysis.compare_table import as_text, baseline, best_strengths, difference, percent, table
from augwise.analysis.compare_words import ARMS

CONFIG = CompareConfig(strengths=(8, 16), estimators=("occlusion",), seeds=3)


def outcome(test, validation=None):
    return {"last_accuracy": test, "median_last_ten": test - 0.01, "validation_accuracy": validation}


def results(values):
    """values: (arm, strength, seed) -> (test, validation)."""
    by_strength = {cell.strength: cell for cell in cells(CONFIG)}
    return {run_of(CONFIG, by_strength[s], arm, seed): outcome(*v) for (arm, s, seed), v in values.items()}


TOUCHED = {
    (cell, arm): {"area_touched": 0.1 * i, "importance_touched": 0.2 * j}
    for i, cell in enumerate(cells(CONFIG))
    for j, arm in enumerate(CONFIG.arms)
}


def test_rows_pair_arms_by_seed_and_leave_out_what_is_not_run():
    found = results(
        {
            ("plain", 8, 0): (0.80, None),
            ("plain", 8, 1): (0.90, None),
            ("guarded", 8, 1): (0.91, None),
            ("guarded", 8, 2): (0.10, None),  # no partner: counts for its own mean alone
        }
    )
    (row,) = table(CONFIG, found, TOUCHED)
    assert row["strength"] == 8
    assert row["arms"]["plain"]["mean"] == pytest.approx(0.85)
    assert row["arms"]["guarded"] == {"n": 2, "mean": pytest.approx(0.505), "std": pytest.approx(0.57276, abs=1e-5)}
    assert "control" not in row["arms"]
    assert row["differences"]["guarded-plain"]["mean"] == pytest.approx(0.01)
    assert row["differences"]["guarded-plain"]["n"] == 1
    assert row["importance_touched"] == {"plain": 0.0, "guarded": 0.2, "control": 0.4}


def test_one_centre_for_all_stands_beside_the_map_of_the_same_cell():
    config = CompareConfig(strengths=(8,), estimators=("occlusion", "centre"), quantiles=(0.4, 0.6), seeds=3)
    own, results = cells(config), {}
    scores = {("occlusion", 0.4): (0.80, 0.84), ("occlusion", 0.6): (0.70, 0.70),
              ("centre", 0.4): (0.79, 0.81, 0.5), ("centre", 0.6): (0.75, 0.73)}  # fmt: skip
    for cell in own:
        for seed, score in enumerate(scores[cell.estimator, cell.quantile]):
            results[run_of(config, cell, "guarded", seed)] = outcome(score)
    touched = {(c, arm): {"area_touched": 0.1, "importance_touched": 0.1} for c in own for arm in config.arms}
    found = {(r["estimator"], r["quantile"]): r["differences"] for r in table(config, results, touched)}
    assert found["occlusion", 0.4]["guarded-centre"]["mean"] == pytest.approx(0.02)
    assert found["occlusion", 0.4]["guarded-centre"]["n"] == 2
    assert found["occlusion", 0.6]["guarded-centre"]["mean"] == pytest.approx(-0.04)
    assert all("guarded-centre" not in found["centre", quantile] for quantile in (0.4, 0.6))
    assert all(list(row["arms"]) == ["guarded"] for row in table(config, results, touched) if "occ" in row["estimator"])
    without = CompareConfig(strengths=(8,), estimators=("occlusion",), quantiles=(0.4, 0.6), seeds=3)
    assert all("guarded-centre" not in row["differences"] for row in table(without, results, touched))


def test_the_other_measure_is_the_median_of_the_last_ten():
    (row,) = table(CONFIG, results({("plain", 16, 0): (0.5, None)}), TOUCHED, "median_last_ten")
    assert row["arms"]["plain"]["mean"] == pytest.approx(0.49)


def test_best_strength_is_chosen_by_validation_and_reported_on_test():
    values = {}
    for seed in range(3):
        for arm, better in (("plain", 8), ("guarded", 16), ("control", 8)):
            for s in (8, 16):
                # validation prefers `better`; the test set prefers the other and must not be listened to
                values[arm, s, seed] = (0.5 if s == better else 0.9, 0.8 if s == better else 0.7)
    (row,) = best_strengths(CONFIG, results(values))
    assert {arm: v["strength"] for arm, v in row["arms"].items()} == {"plain": 8, "guarded": 16, "control": 8}
    assert all(v["mean"] == pytest.approx(0.5) for v in row["arms"].values())


def test_no_validation_no_best_strength():
    values = {(arm, s, 0): (0.5, None) for arm in CONFIG.arms for s in (8, 16)}
    assert best_strengths(CONFIG, results(values)) == []


def test_baseline_counts_finished_seeds():
    assert baseline(CONFIG, {}) is None
    runs = {Run("baseline", 0): outcome(0.6), Run("baseline", 2): outcome(0.8)}
    assert baseline(CONFIG, runs) == {"n": 2, "mean": pytest.approx(0.7), "std": pytest.approx(0.1414, abs=1e-4)}


def test_text_marks_intervals_that_exclude_zero():
    assert difference({"n": 3, "mean": 0.01, "low": 0.002, "high": 0.018}) == "+1.0 [+0.2, +1.8] *"
    assert difference({"n": 3, "mean": -0.01, "low": -0.03, "high": 0.01}) == "-1.0 [-3.0, +1.0]"
    assert difference({"n": 1, "mean": 0.01, "low": None, "high": None}) == "+1.0 (n = 1)"
    assert percent({"n": 2, "mean": 0.9123, "std": 0.0045}) == "91.2 ± 0.4"
    found = results({("plain", 8, 0): (0.8, None), ("guarded", 8, 0): (0.9, None), ("control", 8, 0): (0.7, None)})
    text = as_text(table(CONFIG, found, TOUCHED), None)
    assert "+10.0 (n = 1)" in text
    assert "+20.0 (n = 1)" in text


def planned(config, value):
    """The table of a comparison whose every run is finished; value: (run) -> accuracy."""
    found = {run: outcome(value(run)) for run in plan(config)}
    there = {(c, arm): dict.fromkeys(("area_touched", "importance_touched")) for c in cells(config) for arm in ARMS}
    return table(config, found, there)


def test_a_method_with_a_plain_arm_alone_is_set_against_training_without_it():
    config = CompareConfig(methods=("crop", "cutout"), estimators=("occlusion",), seeds=3)
    crop, cutout = planned(config, lambda run: 0.6 + 0.1 * (run.method == "crop") + 0.01 * run.seed)
    assert list(crop["differences"]) == ["plain-baseline"]
    assert crop["differences"]["plain-baseline"]["mean"] == pytest.approx(0.1)
    assert "plain-baseline" not in cutout["differences"]


def test_arms_that_are_the_same_runs_have_no_difference():
    config = CompareConfig(estimators=("occlusion", "centre"), seeds=2)
    occlusion, centre = planned(config, lambda run: 0.6 + 0.05 * (run.arm == "guarded"))
    assert "guarded-control" in occlusion["differences"]
    assert "guarded-control" not in centre["differences"]
    assert centre["differences"]["guarded-plain"]["mean"] == pytest.approx(0.05)


def test_strengths_are_chosen_apart_for_every_way_of_guarding():
    config = CompareConfig(
        methods=("trivialaugment",), strengths=(8, 16), follows=("image", "map"), estimators=("occlusion",), seeds=2
    )
    found = {}
    for run in plan(config):
        given = dict(run.options)
        better = 16 if given.get("follow") == "map" else 8
        found[run] = outcome(0.5, 0.8 if given.get("length") == better else 0.7)
    rows = best_strengths(config, found)
    assert [(row["follow"], row["arms"]["guarded"]["strength"]) for row in rows] == [("image", 8), ("map", 16)]

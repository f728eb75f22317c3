"""What rows say together: pooled differences against a loop by hand, complete seeds only, and from results alone."""

import json

import pytest

from augwise.analysis.compare_plan import CompareConfig, Run, arms_of, cells, plan, run_of
from augwise.analysis.compare_pooled import by_rule, class_changes, completed, listed, overall, restored
from augwise.analysis.statistics import paired
from report.samples import compare_config, compare_results, outcomes

CONFIG = CompareConfig(methods=("cutout",), strengths=(8, 16), estimators=("occlusion",), seeds=3)


def by_hand(config, results, first, second, value):
    """Mean over cells of each arm for each seed, then the paired interval."""
    means = {}
    for arm in (first, second):
        means[arm] = {}
        for seed in range(config.seeds):
            values = []
            for cell in cells(config):
                run = Run("baseline", seed) if arm == "baseline" else run_of(config, cell, arm, seed)
                values.append(value(results[run]))
            means[arm][seed] = sum(values) / len(values)
    return paired(means[first], means[second])


def test_overall_is_the_mean_over_rows_seed_by_seed():
    results = outcomes(CONFIG, {"guarded": 0.01, "control": 0.003}, noise=0.01)
    found = overall(CONFIG, results)
    assert set(found) == {"guarded-plain", "guarded-control", "control-plain", "plain-baseline", "guarded-baseline"}
    for name, interval in found.items():
        first, second = name.split("-")
        expected = by_hand(CONFIG, results, first, second, lambda r: r["last_accuracy"])
        assert interval == pytest.approx({**expected, "cells": 2})


def test_one_centre_for_all_is_pooled_over_the_rows_of_other_maps():
    config = CompareConfig(methods=("cutout",), strengths=(8, 16), estimators=("cdiea", "occlusion", "centre"), seeds=3)
    results = outcomes(config, {"guarded": 0.01}, noise=0.01)
    found = overall(config, results)["guarded-centre"]
    means = {"own": {}, "centre": {}}
    for seed in range(3):
        for name, maps in (("own", ("cdiea", "occlusion")), ("centre", ("centre", "centre"))):
            runs = [run_of(config, c, "guarded", seed) for e in maps for c in cells(config) if c.estimator == e]
            means[name][seed] = sum(results[run]["last_accuracy"] for run in runs) / 4
    assert found == pytest.approx({**paired(means["own"], means["centre"]), "cells": 4})
    assert "guarded-centre" not in overall(CONFIG, outcomes(CONFIG, {}))


def test_a_seed_counts_only_if_all_its_rows_are_there():
    results = outcomes(CONFIG, {}, noise=0.01)
    last = cells(CONFIG)[1]
    del results[run_of(CONFIG, last, "guarded", 2)]
    found = overall(CONFIG, results)
    assert found["guarded-plain"]["n"] == 2
    assert found["control-plain"]["n"] == 3
    for seed in range(3):
        results.pop(run_of(CONFIG, last, "plain", seed))
    assert overall(CONFIG, results)["guarded-plain"] is None


def test_a_prior_that_is_its_own_control_is_left_out():
    config = CompareConfig(methods=("cutout",), strengths=(16,), estimators=("occlusion", "centre"), seeds=2)
    found = overall(config, outcomes(config, {}, 0.01))
    assert found["guarded-control"]["cells"] == 1
    assert found["guarded-plain"]["cells"] == 2


def test_class_changes_are_the_same_of_each_class():
    results = outcomes(CONFIG, {"guarded": 0.02}, noise=0.01)
    (entry,) = class_changes(CONFIG, results, ["a", "b", "c"])
    assert entry["method"] == "cutout"
    for i, row in enumerate(entry["classes"]):
        expected = by_hand(CONFIG, results, "guarded", "plain", lambda r, i=i: r["per_class"][i])
        assert row["differences"]["guarded-plain"] == pytest.approx({**expected, "cells": 2})


def test_class_changes_of_a_method_are_those_of_its_own_rows():
    config = CompareConfig(methods=("cutout", "cutmix"), strengths=(16,), estimators=("occlusion",), seeds=2)
    results = outcomes(config, {}, noise=0.01)
    for run, outcome in results.items():
        if run.method == "cutmix" and run.arm == "guarded":
            outcome["per_class"] = [value + 0.1 for value in outcome["per_class"]]
    found = {
        e["method"]: e["classes"][0]["differences"]["guarded-plain"] for e in class_changes(config, results, ["a"])
    }
    assert found["cutmix"]["mean"] > found["cutout"]["mean"] + 0.05
    assert (found["cutout"]["cells"], found["cutmix"]["cells"]) == (1, 1)


def test_runs_of_an_older_version_have_no_classes():
    results = outcomes(CONFIG, {})
    older = {run: {k: v for k, v in r.items() if k != "per_class"} for run, r in results.items()}
    assert class_changes(CONFIG, older, ["a", "b", "c"]) == []
    mixed = {run: (r if run.seed else older[run]) for run, r in results.items()}
    (entry,) = class_changes(CONFIG, mixed, ["a", "b", "c"])
    assert entry["classes"][0]["differences"]["guarded-plain"]["n"] == 2


def test_results_json_alone_gives_the_runs_back():
    config = compare_config(seeds=2)
    report = json.loads(json.dumps(compare_results(config=config)))
    again, results = restored(report)
    assert set(results) == set(outcomes(config, {}))
    assert overall(again, results) == report["overall"]
    older = {k: v for k, v in report.items() if k not in ("overall", "class_changes")}
    assert completed(older)["overall"] == report["overall"]
    assert completed(older)["class_changes"] == report["class_changes"]
    assert completed(report) is report


def test_runs_are_listed_as_planned_in_whatever_order_they_ended():
    config = compare_config(seeds=2)
    runs = plan(config)
    keys = {run: f"key-{i}" for i, run in enumerate(runs)}
    ended = {run: outcome for run, outcome in reversed(outcomes(config, {}).items()) if run != runs[1]}
    assert [entry["key"] for entry in listed(ended, keys)] == [k for k in keys.values() if k != "key-1"]


EVERYTHING = CompareConfig(
    methods=("trivialaugment", "cutmix"), rules=("guard", "soften", "labels"), follows=("image", "map"),
    labels=("importance", "half"), shapes=("rectangle", "points"), quantiles=(0.4, 0.6), soften_strength=0.5,
    soften_power=3.0, estimators=("occlusion",), seeds=2,
)  # fmt: skip


def test_results_json_alone_gives_every_kind_of_run_back():
    report = json.loads(json.dumps(compare_results(config=EVERYTHING)))
    again, results = restored(report)
    assert plan(again) == plan(EVERYTHING)
    assert set(results) == set(plan(EVERYTHING))
    assert by_rule(again, results) == report["overall_by_rule"]


def test_rules_are_never_pooled_together():
    """Each rule's guarded arm gains another amount; what one rule says holds nothing of the others'."""
    results = outcomes(EVERYTHING, {}, noise=0.0)
    gains = {"guard": 0.01, "soften": -0.02, "labels": 0.03}
    for cell in cells(EVERYTHING):
        if "guarded" in arms_of(EVERYTHING, cell):
            for seed in range(2):
                found = results[run_of(EVERYTHING, cell, "guarded", seed)]
                found["last_accuracy"] = 0.7 + 0.01 * seed + gains[cell.rule]
                found["per_class"] = [found["last_accuracy"]] * 3
    pooled = by_rule(EVERYTHING, results)
    assert {rule: d["guarded-plain"]["mean"] for rule, d in pooled.items()} == pytest.approx(gains)
    assert {rule: d["guarded-plain"]["cells"] for rule, d in pooled.items()} == {"guard": 12, "soften": 2, "labels": 2}
    assert overall(EVERYTHING, results) == pooled["guard"]
    assert set(pooled["soften"]) - set(pooled["guard"]) == {"guarded-smoothing"}
    changes = {
        (e["method"], e["rule"]): e["classes"][0]["differences"].get("guarded-plain")
        for e in class_changes(EVERYTHING, results, ["a"])
    }
    assert {key: d["mean"] for key, d in changes.items() if d} == pytest.approx(
        {(m, r): g for m in EVERYTHING.methods for r, g in gains.items() if (m, r) != ("trivialaugment", "labels")}
    )

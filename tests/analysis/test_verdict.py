"""The words follow the numbers: every headline from the case that earns it, every count against a loop."""

import pytest
from scipy import stats

from augwise.analysis.verdict import SHOWN, corrected, points, verdict
from report.samples import compare_config, compare_results


def headline(**gain):
    return verdict(compare_results(gain)).headline


def test_headlines():
    assert headline(guarded=0.03, control=0.01).startswith("Guarded beats plain, and it beats its control")
    assert "the control gains about as much" in headline(guarded=0.02, control=0.02)
    assert "does better still" in headline(guarded=0.02, control=0.04)
    assert headline(guarded=-0.02, control=0).startswith("Guarded does worse than plain.")
    assert headline().startswith("No difference between guarded and plain")


def test_what_the_method_costs_is_part_of_the_finding():
    words = "Yet training without the method does better than either."
    assert words in headline(plain=-0.05, guarded=-0.03, control=-0.05)
    assert words not in headline(plain=-0.02, guarded=0.03)


def test_without_control_or_seeds_nobody_can_say():
    config = compare_config()
    two = compare_results({"guarded": 0.02}, config=type(config)(**{**vars(config), "arms": ("plain", "guarded")}))
    assert "without a control" in verdict(two).headline
    one = verdict(compare_results({"guarded": 0.02}, config=compare_config(seeds=1)))
    assert one.headline == "One run per arm is finished: no difference can be told from chance."
    assert not any("interval" in point for point in one.points)
    plain = compare_results({}, config=type(config)(**{**vars(config), "arms": ("plain",)}))
    assert "nothing to compare" in verdict(plain).headline


def test_rows_decide_where_nothing_is_pooled():
    report = compare_results({"guarded": 0.05, "control": 0.05})
    report["overall"] = None
    assert "the control gains about as much" in verdict(report).headline
    report = compare_results({"guarded": 0.0001})
    report["overall"] = None
    assert "No difference" in verdict(report).headline


def rows(*means):
    """Rows whose guarded − plain has the given mean and a half width of 0.01, with 4 seeds."""
    return [
        {"differences": {"guarded-plain": {"n": 4, "mean": m, "low": m - 0.01, "high": m + 0.01}}, "arms": {}}
        for m in means
    ]


def test_chance_is_counted_and_corrected():
    report = {"table": rows(0.011, -0.012, 0.004, 0.1), "done": 1, "planned": 1}
    text = " ".join(verdict(report).points)
    assert "3 of 4 intervals exclude zero (1 below it); chance alone gives about 0.2." in text
    half = 0.01 / stats.t.ppf(0.975, 3)
    ps = sorted(2 * stats.t.sf(abs(m) / half, 3) for m in (0.011, -0.012, 0.004, 0.1))
    kept = sum(all(p * (4 - j) < 0.05 for j, p in enumerate(ps[: i + 1])) for i in range(4))
    assert kept == 1
    assert "After Holm’s correction for 4 comparisons 1 remains." in text
    assert "half its interval is 1.0 points in the median" in text
    assert "above plain in 3 of 4 rows" in text


def test_the_family_is_all_shown_differences():
    report = compare_results({"guarded": 0.02})
    found = corrected(report["table"])
    assert [(t.row, t.name) for t in found] == [(i, name) for i in range(4) for name in SHOWN[:2]]
    assert all(t.adjusted >= t.p for t in found)
    assert min(t.adjusted for t in found) == pytest.approx(8 * min(t.p for t in found))


def test_points_tell_what_is_unfinished_spared_and_weaker():
    text = " ".join(verdict(compare_results(keep=30)).points)
    assert "Unfinished: 30 of 52 runs are in" in text
    assert "30 % of an image’s importance plain, 12 % guarded, 28 % under the control" in text
    assert "touches less area (23 % against 25 %): part of a gain may be mere weakness" in text


def test_where_rows_decide_they_do_so_after_correction_and_with_one_voice():
    def said(*means):
        return verdict({"table": rows(*means), "done": 1, "planned": 1}).headline

    assert said(0.1, 0.1).startswith("Guarded beats plain")
    assert said(-0.1, 0.004).startswith("Guarded does worse")
    # p of 0.011 alone is below 0.05; among three rows Holm's is not.
    assert corrected(rows(0.011, 0.004, 0.003))[0].p < 0.05 < corrected(rows(0.011, 0.004, 0.003))[0].adjusted
    assert said(0.011, 0.004, 0.003).startswith("No difference")
    assert said(0.1, -0.1).startswith("No difference")


def test_that_the_baseline_is_better_is_said_only_where_the_interval_says_so():
    report = {"table": rows(0.1), "done": 1, "planned": 1}
    for low, high, said in ((-0.03, 0.01, False), (-0.03, -0.01, True), (0.01, 0.03, False)):
        interval = {"n": 4, "mean": (low + high) / 2, "low": low, "high": high, "cells": 1}
        found = verdict(report | {"overall": {"guarded-baseline": interval}})
        assert ("training without the method" in found.headline) == said


def test_one_row_is_not_pooled_twice():
    interval = {"n": 4, "mean": 0.006, "low": 0.0014, "high": 0.0105, "cells": 1}
    report = {"table": rows(0.006), "done": 1, "planned": 1}
    assert not any("together" in point for point in verdict(report | {"overall": {"guarded-plain": interval}}).points)
    both = verdict(report | {"overall": {"guarded-plain": interval | {"cells": 2}}}).points
    assert "Over all 2 rows together, by seed: guarded − plain +0.60 [+0.14, +1.05]" in both[0]


def test_intervals_in_points_go_from_low_to_high():
    assert points({"n": 4, "mean": -0.006, "low": -0.0175, "high": 0.0055}) == "−0.60 [−1.75, +0.55]"
    assert points({"n": 1, "mean": 0.02, "low": None, "high": None}) == "+2.00 (n = 1)"
    assert points(None) == "–"


def test_rows_above_the_baseline_are_counted_and_rows_without_maps_left_out_of_means():
    found = rows(0.1, 0.1, 0.1)
    for row, plain, guarded, touched in zip(found, (0.6, 0.75, 0.5), (0.8, 0.9, 0.65), (0.4, None, 0.2), strict=True):
        row["arms"] = {"plain": {"mean": plain}, "guarded": {"mean": guarded}}
        row["importance_touched"] = {"plain": touched, "guarded": touched and touched / 2}
    text = " ".join(verdict({"table": found, "done": 1, "planned": 1, "baseline": {"mean": 0.7}}).points)
    assert "accuracy is 70.0 %: 1 of 3 plain and 2 of 3 guarded rows are above it." in text
    assert "Overwritten on average: 30 % of an image’s importance plain, 15 % guarded." in text


def test_the_median_of_what_rows_resolve_is_told():
    found = rows(0.1, 0.1, 0.1)
    for row, half in zip(found, (0.02, 0.05, 0.01), strict=True):
        row["differences"]["guarded-plain"] |= {"low": 0.1 - half, "high": 0.1 + half}
    assert any(
        "half its interval is 2.0 points" in text for text in verdict({"table": found, "done": 1, "planned": 1}).points
    )

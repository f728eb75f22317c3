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
    assert verdict(plain).headline.startswith("No row differs from training without the method")
    guarded = compare_results({}, config=type(config)(**{**vars(config), "arms": ("guarded",)}))
    assert "nothing to compare" in verdict(guarded).headline


def test_a_map_of_the_image_must_beat_one_centre_for_all():
    def said(control, centre):
        pooled = {"guarded-plain": 0.03, "guarded-control": control, "guarded-centre": centre}
        given = {k: {"n": 4, "mean": m, "low": m - 0.01, "high": m + 0.01, "cells": 2} for k, m in pooled.items()}
        return verdict({"table": rows(0.03, 0.03), "overall": given, "done": 1, "planned": 1})

    assert said(0.02, 0.02).headline == (
        "Guarded beats plain, its control and one centre for all: each image’s own map makes a difference."
    )
    for centre in (0.0, -0.02):
        assert said(0.02, centre).headline.startswith("Guarded beats plain and its control, but not one centre for all")
    assert "the control gains about as much" in said(0.0, 0.02).headline
    assert "guarded − centre +0.00 [−1.00, +1.00]" in " ".join(said(0.02, 0.0).points)


def test_methods_alone_are_held_against_training_without_them():
    def said(*means):
        named = [{"plain-baseline": row["differences"]["guarded-plain"]} for row in rows(*means)]
        table = [{"differences": found, "arms": {}} for found in named]
        return verdict({"table": table, "done": 1, "planned": 1}).headline

    assert said(0.0, 0.005) == (
        "No row differs from training without the method by more than the seeds alone could have made."
    )
    assert said(-0.05, -0.06) == "2 of 2 rows do worse than training without the method, none better."
    assert said(-0.05, 0.0, 0.0) == "1 of 3 rows does worse than training without the method, none better."
    assert said(0.05, 0.06) == "2 of 2 rows beat training without the method."
    assert said(0.05, 0.0) == "1 of 2 rows beats training without the method, the rest by no more than chance."
    assert said(0.05, -0.05, -0.06) == "1 of 3 rows beats training without the method, 2 do worse."
    # The first alone would count; after Holm's correction for six it does not.
    assert said(0.011).startswith("1 of 1 row beats")
    assert said(0.011, *[0.0] * 5).startswith("No row differs")


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
    two = {f"{a}-{b}": interval | {"cells": 2} for a, b in (("guarded", "plain"), ("control", "plain"))}
    assert "control − plain +0.60 [+0.14, +1.05]" in verdict(report | {"overall": two}).points[0]


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


def of_rules(*rules, arms=("plain", "guarded", "control", "smoothing"), **gain):
    config = compare_config(methods=("cutmix",))
    return verdict(compare_results(gain, config=type(config)(**{**vars(config), "rules": rules, "arms": arms})))


def test_labels_by_importance_have_their_own_words():
    weighed = of_rules("labels", guarded=0.03, control=0.01).headline
    assert weighed == (
        "Labels by importance beat labels by area, and labels by other images’ maps: knowing whose evidence shows "
        "makes a difference."
    )
    level = (
        "Labels by importance beat labels by area, but not labels by other images’ maps: that is not knowing whose "
        "evidence shows."
    )
    for control in (0.03, 0.05):  # as much, and more
        assert of_rules("labels", guarded=0.03, control=control).headline == level
    alone = of_rules("labels", arms=("plain", "guarded"), guarded=0.03).headline
    assert alone.startswith("Labels by importance beat labels by area; without a control, nobody can say")
    assert of_rules("labels", guarded=-0.03).headline.startswith("Labels by importance do worse than labels by area.")
    assert of_rules("labels").headline.startswith("No difference between reweighted and plain")
    lone = of_rules("labels", arms=("guarded",)).headline
    assert lone == "Reweighted and plain arms were not both run, so there is nothing to compare."


def test_softened_labels_have_two_rivals():
    won = of_rules("soften", guarded=0.03, control=0.01, smoothing=0.01).headline
    assert won == (
        "Softened labels beat hard ones, and labels softened by other images’ maps and smoothing all labels alike: "
        "knowing what was taken makes a difference."
    )
    level = of_rules("soften", guarded=0.03, control=0.01, smoothing=0.03).headline
    assert level.endswith("hard ones, but not smoothing all labels alike: that is not knowing what was taken.")
    both = of_rules("soften", guarded=0.03, control=0.05, smoothing=0.03).headline
    assert "but not labels softened by other images’ maps or smoothing all labels alike" in both
    assert of_rules("soften", guarded=-0.03).headline.startswith("Softened labels do worse than hard ones.")


def test_every_rule_is_judged_by_its_own_rows():
    """One rule's rows all gain, the other's all lose; p is corrected over both together."""
    report = {"table": [*rows(0.1, 0.1), *rows(-0.1, -0.1)], "done": 1, "planned": 1}
    for row, rule in zip(report["table"], ("guard", "guard", "labels", "labels"), strict=True):
        row["rule"] = rule
    found = verdict(report)
    assert "Guarded beats plain" in found.headline
    assert "Labels by importance do worse than labels by area." in found.headline
    text = " ".join(found.points)
    assert "Guarded is above plain in 2 of 2 rows" in text
    assert "Reweighted is above plain in 0 of 2 rows" in text
    assert "4 of 4 intervals exclude zero (2 below it)" in text
    # What is pooled belongs to the first rule, unless each has its own.
    high = {"n": 4, "mean": 0.1, "low": 0.09, "high": 0.11, "cells": 2}
    low = {"n": 4, "mean": -0.1, "low": -0.11, "high": -0.09, "cells": 2}
    first = verdict(report | {"overall": {"guarded-plain": high}})
    assert first.headline == found.headline
    assert [p.split(":")[0] for p in first.points].count("Over all 2 rows together, by seed") == 1
    each = {"guard": {"guarded-plain": low}, "labels": {"guarded-plain": high}}
    said = verdict(report | {"overall": {"guarded-plain": high}, "overall_by_rule": each}).headline
    assert said.startswith("Guarded does worse than plain. Labels by importance beat labels by area")


def test_what_is_overwritten_is_told_of_guards_alone_and_weakness_from_three_per_cent_on():
    found = rows(0.1, 0.1)
    for row in found:
        row["importance_touched"] = {"plain": 0.4, "guarded": 0.2}

    def said(rule, guarded):
        for row in found:
            row |= {"rule": rule, "area_touched": {"plain": 0.5, "guarded": guarded}}
        return " ".join(verdict({"table": found, "done": 1, "planned": 1}).points)

    assert "Overwritten on average: 40 %" in said("guard", 0.49)
    assert "less area" not in said("guard", 0.49)
    assert "less area (48 % against 50 %)" in said("guard", 0.48)
    for rule in ("soften", "labels"):
        assert "Overwritten" not in said(rule, 0.4)


def test_a_row_that_is_level_is_not_above():
    text = " ".join(verdict({"table": rows(0.1, 0.0, -0.1), "done": 1, "planned": 1}).points)
    assert "Guarded is above plain in 1 of 3 rows" in text

"""Means and intervals against scipy, and against what can be computed by hand."""

import numpy as np
import pytest
from scipy import stats

from augwise.analysis.statistics import paired, student_t, summarise


@pytest.mark.parametrize("freedom", [1, 2, 4, 11, 60])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.975, 0.9995])
def test_student_t_is_scipys(probability, freedom):
    assert student_t(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-4, abs=1e-9)


def test_summary_uses_bessels_correction():
    values = [0.5, 0.75, 0.8, 0.1]
    summary = summarise(values)
    assert summary == {"n": 4, "mean": pytest.approx(np.mean(values)), "std": pytest.approx(np.std(values, ddof=1))}
    assert summarise([0.3])["std"] is None


def test_paired_interval_is_scipys_t_test_on_the_seeds_both_have():
    first = {0: 0.91, 1: 0.93, 2: 0.90, 5: 0.94, 7: 0.2}
    second = {0: 0.90, 1: 0.935, 2: 0.88, 5: 0.91, 9: 0.7}
    shared = [0, 1, 2, 5]
    expected = stats.ttest_rel([first[s] for s in shared], [second[s] for s in shared]).confidence_interval(0.95)
    interval = paired(first, second)
    assert interval is not None
    assert interval["n"] == 4
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high), rel=1e-4)
    assert interval["mean"] == pytest.approx((0.01 - 0.005 + 0.02 + 0.03) / 4)


def test_three_seeds_give_two_and_a_half_deviations():
    interval = paired({0: 1.0, 1: 2.0, 2: 4.5}, {0: 0.0, 1: 0.0, 2: 0.0})
    assert interval is not None
    assert (interval["high"] - interval["mean"]) / np.std([1, 2, 4.5], ddof=1) == pytest.approx(2.484, abs=1e-3)


def test_a_single_pair_has_no_interval_and_no_pair_none():
    assert paired({3: 0.5}, {3: 0.25}) == {"n": 1, "mean": 0.25, "low": None, "high": None}
    assert paired({0: 1.0}, {1: 1.0}) is None

"""Means and intervals against scipy, and against what can be computed by hand."""

import numpy as np
import pytest
from scipy import stats

from augwise.analysis.statistics import holm, p_value, paired, student_t, summarise, tails, wilson


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


@pytest.mark.parametrize("freedom", [1, 2, 4, 11, 60])
@pytest.mark.parametrize("t", [0.0, 0.3, 2.0, 6.0])
def test_tails_are_scipys(t, freedom):
    assert tails(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), abs=1e-7)


def test_p_value_is_scipys_paired_test_read_off_the_interval():
    first, second = [0.91, 0.93, 0.90, 0.96], [0.90, 0.935, 0.88, 0.91]
    interval = paired(dict(enumerate(first)), dict(enumerate(second)))
    assert p_value(interval) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-4)
    backwards = paired(dict(enumerate(second)), dict(enumerate(first)))
    assert p_value(backwards) == pytest.approx(p_value(interval))


def test_p_value_without_spread_or_without_pairs():
    same = paired({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0})  # two equal differences prove nothing
    assert same == {"n": 2, "mean": 1.0, "low": None, "high": None}
    first, second = {0: 100 * (1 - 0.9712), 1: 100 * (1 - 0.9634)}, {0: 100 * (1 - 0.9549), 1: 100 * (1 - 0.9471)}
    assert len({first[s] - second[s] for s in (0, 1)}) == 2  # equal but for the last digits
    nearly = paired(first, second)
    assert nearly is not None
    assert (nearly["low"], nearly["high"]) == (None, None)
    assert p_value(same) is None
    assert p_value(paired({0: 2.0, 1: 3.0}, {0: 2.0, 1: 3.0})) == 1
    assert p_value(paired({0: 2.0}, {0: 1.0})) is None
    assert p_value(None) is None


def _holm_by_hand(p_values):
    """Reject the smallest while p ≤ α / (tests left); adjusted p is the smallest α at which a test is rejected."""

    def rejected(alpha):
        found, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
        while left and p_values[left[0]] <= alpha / len(left) * (1 + 1e-12):
            found.add(left.pop(0))
        return found

    alphas = sorted({min(1.0, p * k) for p in p_values for k in range(1, len(p_values) + 1)} | {1.0})
    return [next((a for a in alphas if i in rejected(a)), 1.0) for i in range(len(p_values))]


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_holm_is_the_smallest_level_at_which_each_is_rejected(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        values = rng.random(n) ** 3
        assert holm(values.tolist()) == pytest.approx(_holm_by_hand(values.tolist()))


def test_holm_in_figures():
    assert holm([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm([]) == []


@pytest.mark.parametrize(("right", "of"), [(0, 7), (7, 7), (3, 11), (874, 1000)])
def test_wilson_is_scipys(right, of):
    expected = stats.binomtest(right, of).proportion_ci(method="wilson")
    assert wilson(right, of) == pytest.approx((expected.low, expected.high))
    assert wilson(0, 0) is None


def test_wilson_stays_between_none_and_all_whatever_is_rounded():
    for of in range(1, 300):
        for right in (0, of):
            low, high = wilson(right, of)
            assert 0 <= low < high <= 1

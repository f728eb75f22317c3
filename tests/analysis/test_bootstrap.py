"""Bootstrap intervals: they cover the truth as often as they say, and columns stay paired."""

import numpy as np
import pytest

from augwise.analysis.bootstrap import bootstrap


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    """Of skewed values too: 600 data sets of 50 draws each, in columns, so that all share their resamples' rows."""
    rng = np.random.default_rng(0)
    for values, truth in ((rng.standard_normal((50, 600)), 0.0), (rng.exponential(size=(50, 600)), 1.0)):
        found = bootstrap(values, 1000, seed=3)
        covered = np.mean([entry["low"] < truth < entry["high"] for entry in found])
        assert 0.9 < covered < 0.97
    half = np.mean([entry["low"] < 1 < entry["high"] for entry in bootstrap(values, 1000, level=0.5)])
    assert 0.42 < half < 0.56


def test_width_is_that_of_the_normal_law_for_many_values():
    values = np.random.default_rng(1).standard_normal((4000, 3)) * [1, 2, 0]
    narrow, wide, none = bootstrap(values, 4000)
    for entry, deviation in ((narrow, values[:, 0].std(ddof=1)), (wide, values[:, 1].std(ddof=1))):
        assert entry["std"] == pytest.approx(deviation)
        assert entry["high"] - entry["low"] == pytest.approx(2 * 1.96 * deviation / 4000**0.5, rel=0.05)
    assert (none["low"], none["mean"], none["high"]) == (0, 0, 0)


def test_columns_are_paired_and_seeds_repeat():
    rng = np.random.default_rng(2)
    common, own = rng.standard_normal(200), rng.standard_normal((2, 200)) / 100
    a, b = common + own[0], common + own[1]
    first, second, apart = bootstrap(np.stack([a, b, a - b], 1), 500, seed=4)
    assert apart["high"] - apart["low"] < (first["high"] - first["low"]) / 20
    for values, entry in ((a, first), (b, second)):
        assert bootstrap(values[:, None], 500, seed=4)[0] == pytest.approx(entry, rel=1e-9)
    assert bootstrap(a[:, None], 500, seed=5)[0] != pytest.approx(first, rel=1e-9)


def test_few_values():
    assert bootstrap(np.array([[2.0]])) == [{"n": 1, "mean": 2.0, "std": None, "low": None, "high": None}]
    (none,) = bootstrap(np.zeros((0, 1)))
    assert none["n"] == 0
    (two,) = bootstrap(np.array([[0.0], [1.0]]), 400)
    assert (two["low"], two["high"]) == (0, 1)

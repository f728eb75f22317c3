"""AUPR, AUROC and FPR95 against slow references, with ties and weights; scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from augwise.analysis.analyse_ood import rows_of
from augwise.analysis.detection import SCORES, detect, strangeness
from reference.scores import auroc, average_precision, fpr95


@pytest.mark.parametrize(("n", "m", "levels"), [(1, 1, 2), (7, 3, 3), (20, 11, 4), (40, 60, 1000), (19, 5, 2)])
def test_measures_are_those_of_the_slow_reference(n, m, levels):
    rng = np.random.default_rng(n)
    for _ in range(20):
        known, foreign = rng.integers(levels, size=n) * 1.0, rng.integers(levels, size=m) + rng.integers(2)
        found = detect(known, foreign * 1.0)
        assert found.auroc[0] == pytest.approx(auroc(known.tolist(), foreign.tolist()))
        assert found.aupr[0] == pytest.approx(average_precision(known.tolist(), foreign.tolist()))
        swapped = average_precision((-foreign).tolist(), (-known).tolist())
        assert found.aupr_known[0] == pytest.approx(swapped)
        assert found.fpr95[0] == pytest.approx(fpr95(known.tolist(), foreign.tolist()))


def test_the_ends_are_known():
    low, high = np.arange(20.0), np.arange(100.0, 108.0)
    apart, turned, same = detect(low, high), detect(high, low), detect(np.zeros(15), np.zeros(5))
    assert [float(v[0]) for v in apart] == [1, 1, 1, 0]
    assert turned.auroc[0] == 0
    assert turned.fpr95[0] == 1
    assert [float(v[0]) for v in same] == [0.25, 0.75, 0.5, 1]  # chance: the share of positives


def test_a_weight_of_two_is_an_image_seen_twice():
    rng = np.random.default_rng(3)
    known, foreign = rng.normal(size=9), rng.normal(0.7, size=6)
    twice = rng.integers(0, 3, size=(4, 9)), rng.integers(0, 3, size=(4, 6))
    found = detect(known, foreign, (twice[0] * 1.0, twice[1] * 1.0))
    for b in range(4):
        expected = detect(np.repeat(known, twice[0][b]), np.repeat(foreign, twice[1][b]))
        for measure, wanted in expected._asdict().items():
            assert getattr(found, measure)[b] == pytest.approx(wanted[0]), measure


def test_scores_by_hand():
    logits = np.array([[0.0, np.log(3)], [100.0, 0.0]], np.float32)
    found = strangeness(logits)
    assert tuple(found) == SCORES
    assert found["max_softmax"][0] == pytest.approx(0.25, rel=1e-6)
    assert found["max_softmax"][1] == pytest.approx(np.exp(-100), rel=1e-6)  # not lost in 1 − 1
    assert found["max_logit"].tolist() == pytest.approx([-np.log(3), -100], rel=1e-6)
    assert found["energy"][0] == pytest.approx(-np.log(4), rel=1e-6)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found["entropy"].tolist() == pytest.approx([entropy, 0], rel=1e-6, abs=1e-12)


def test_the_interval_lies_around_the_value_whatever_the_share_of_foreign_images():
    rng = np.random.default_rng(0)
    known, foreign = rng.normal(size=(300, 4)), rng.normal(size=(40, 4)) * 0.8
    rows = rows_of("a", known, foreign, 500, 0)
    assert [row["score"] for row in rows] == list(SCORES)
    for row in rows:
        assert row["chance"] == pytest.approx(40 / 340)
        for measure in ("aupr", "aupr_known", "auroc", "fpr95"):
            found = row[measure]
            assert found["low"] <= found["mean"] <= found["high"], measure
        # The resamples of an average precision lie around it as its own spread says, not elsewhere.
        assert row["aupr"]["high"] < 2.5 * row["aupr"]["mean"]
    assert rows_of("a", known, foreign, 500, 0) == rows

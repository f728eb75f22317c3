"""Calibration errors by hand and against slow references; what a temperature is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augwise.analysis.analyse_calibration import interval
from augwise.analysis.calibration_errors import (
    equal_mass,
    equal_width,
    errors,
    expected,
    largest,
    probabilities,
    scaled_crosswise,
    temperature,
)
from augwise.training.evaluate import calibration_bins
from reference.scores import binned_error


def test_expected_error_by_hand():
    """Two bins: (0.25, 0.5] holds 0.3 wrong and 0.5 right; (0.75, 1] holds 0.8 right, 0.9 wrong, 1.0 right."""
    sure = np.array([0.3, 0.5, 0.8, 0.9, 1.0])
    right = np.array([False, True, True, False, True])
    bins = equal_width(sure, right, 4)
    np.testing.assert_allclose(bins[0], [2, 3])
    np.testing.assert_allclose(bins[1], [0.4, 0.9])
    np.testing.assert_allclose(bins[2], [0.5, 2 / 3])
    assert expected(bins) == pytest.approx(2 / 5 * 0.1 + 3 / 5 * (0.9 - 2 / 3))
    assert largest(bins) == pytest.approx(0.9 - 2 / 3)


@pytest.mark.parametrize(("n", "bins"), [(1, 15), (50, 4), (101, 15)])
def test_bins_are_those_of_the_slow_reference(n, bins):
    rng = np.random.default_rng(n)
    sure, right = rng.random(n).round(2), rng.random(n) < 0.6
    groups = [
        [i for i in range(n) if b / bins < sure[i] <= (b + 1) / bins or (b == 0 and sure[i] == 0)] for b in range(bins)
    ]
    assert expected(equal_width(sure, right, bins)) == pytest.approx(
        binned_error(sure.tolist(), right.tolist(), groups)
    )
    order = sorted(range(n), key=lambda i: sure[i])
    cut = [order[-(-b * n // bins) : -(-(b + 1) * n // bins)] for b in range(bins)]
    found = equal_mass(sure, right, bins)
    assert found[0].sum() == n
    assert found[0].max() - found[0].min() <= 1
    assert expected(found) == pytest.approx(binned_error(sure.tolist(), right.tolist(), cut))


def test_all_errors_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.35, 0.25]])
    labels = np.array([0, 2, 1])
    found = errors(p, labels, bins=2)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["confidence"] == pytest.approx(1.7 / 3)
    assert found["overconfidence"] == pytest.approx(0.7 / 3)
    assert found["brier"] == pytest.approx((0.09 + 0.04 + 0.01 + 0.01 + 0.36 + 0.49 + 0.16 + 0.4225 + 0.0625) / 3)
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.35]).mean())
    assert found["ece"] == pytest.approx(1 / 3 * 0.4 + 2 / 3 * abs(0.65 - 0.5))
    by_class = [
        (2 * abs(0.25 - 0) + 1 * abs(0.7 - 1)) / 3,
        (2 * abs(0.275 - 0.5) + 1 * abs(0.6 - 0)) / 3,
        3 * abs(0.65 / 3 - 1 / 3) / 3,
    ]
    assert found["classwise"] == pytest.approx(np.mean(by_class))


def test_bins_are_those_that_evaluate_draws():
    rng = np.random.default_rng(0)
    p, labels = probabilities(rng.normal(size=(200, 4)) * 2), rng.integers(4, size=200)
    sure, right = p.max(1), p.argmax(1) == labels
    drawn = calibration_bins(torch.from_numpy(sure).float(), torch.from_numpy(right), 15)
    counts, confidence, accuracy = equal_width(sure, right, 15)
    np.testing.assert_array_equal(counts, [b["images"] for b in drawn])
    np.testing.assert_allclose(confidence, [b["confidence"] for b in drawn], rtol=1e-6)
    np.testing.assert_allclose(accuracy, [b["accuracy"] for b in drawn])


def calibrated(scale, n=4000, seed=0):
    """Logits times ``scale`` of labels drawn from the softmax of the logits themselves: T = scale undoes it."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)) * 2
    p = probabilities(z)
    labels = (rng.random(n)[:, None] > p.cumsum(1)).sum(1)
    return z * scale, labels


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(scale):
    logits, labels = calibrated(scale)
    assert temperature(logits, labels) == pytest.approx(scale, rel=0.08)
    p, found = scaled_crosswise(logits, labels)
    assert errors(p, labels)["ece"] < 0.03
    assert found[0] == pytest.approx(temperature(logits[::2], labels[::2]))
    np.testing.assert_allclose(p[1::2], probabilities(logits[1::2], found[0]))
    np.testing.assert_allclose(p[::2], probabilities(logits[::2], found[1]))
    np.testing.assert_allclose(p.sum(1), 1)


def test_the_interval_of_an_overconfident_classifier_holds_its_error():
    logits, labels = calibrated(3.0, 500)
    p = probabilities(logits)
    sure, right = p.max(1), p.argmax(1) == labels
    low, high = interval(sure, right, 15, 500, 0)
    assert low < errors(p, labels)["ece"] < high
    # All weight on every image once is the error itself: what is resampled is the same sum.
    exact = expected(equal_width(sure, right, 15))
    place = np.clip(np.ceil(sure * 15 - 1e-12).astype(int) - 1, 0, 14)
    assert sum(abs((right - sure)[place == b].sum()) for b in range(15)) / 500 == pytest.approx(exact)

"""Means, deviations and paired intervals of repeated runs. Plain Python and NumPy; knows nothing of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TypedDict

import numpy as np


class Summary(TypedDict):
    """n values, their mean and sample standard deviation (None for a single value)."""

    n: int
    mean: float
    std: float | None


class Interval(TypedDict):
    """Mean of n paired differences with the 95 % interval of Student's t; None for a single pair, or without spread."""

    n: int
    mean: float
    low: float | None
    high: float | None


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation with Bessel's correction; units are those of the values."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise ValueError("nothing to summarise")
    return {"n": len(array), "mean": float(array.mean()), "std": float(array.std(ddof=1)) if len(array) > 1 else None}


def paired(first: dict[int, float], second: dict[int, float], level: float = 0.95) -> Interval | None:
    """Interval of the mean of first − second over the seeds that both have; None if there is none.

    mean ± t_{(1+level)/2, n−1} · std/√n, std over the differences: with 3 seeds ± 2.5 standard deviations, with 5
    ± 1.2, with 8 ± 0.84. Nothing is corrected for the number of comparisons made; see `p_value` and `holm`.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    differences = [first[s] - second[s] for s in seeds]
    summary, largest = summarise(differences), max(map(abs, differences))
    # Equal differences, as of few test images, have no spread to estimate from: that is not certainty. Equal but for
    # their last digits is equal.
    if summary["std"] is None or (summary["std"] <= 1e-9 * largest and largest > 0):
        return {"n": summary["n"], "mean": summary["mean"], "low": None, "high": None}
    half = student_t(0.5 + level / 2, summary["n"] - 1) * summary["std"] / math.sqrt(summary["n"])
    return {"n": summary["n"], "mean": summary["mean"], "low": summary["mean"] - half, "high": summary["mean"] + half}


def p_value(interval: Interval | None, level: float = 0.95) -> float | None:
    """Two-sided p of the paired t test behind an interval of `paired`; None where there is no interval.

    t = mean / standard error, and the standard error is the half width over t_{(1+level)/2, n−1}. Differences that are
    all zero have p = 1.
    """
    if interval is None or interval["low"] is None or interval["high"] is None:
        return None
    half, freedom = (interval["high"] - interval["low"]) / 2, interval["n"] - 1
    if half <= 0:
        return float(interval["mean"] == 0)
    return tails(abs(interval["mean"]) / half * student_t(0.5 + level / 2, freedom), freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: adjusted p of each, in the order given.

    With p₍₁₎ ≤ … ≤ p₍ₘ₎: p̃₍ᵢ₎ = max_{j ≤ i} min(1, (m − j + 1) · p₍ⱼ₎). Calling those below 0.05 real keeps the chance
    of even one false call below 5 %, however the tests depend on each other.
    """
    m = len(p_values)
    adjusted, highest = [0.0] * m, 0.0
    for j, at in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (m - j) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def wilson(right: int, of: int, level: float = 0.95) -> tuple[float, float] | None:
    """Wilson's (1927) interval of a share of ``right`` among ``of`` independent images, in [0, 1]; None of none.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), p = right/of: sound for few images, and at 0 and 1.
    """
    if not of:
        return None
    z, share = NormalDist().inv_cdf(0.5 + level / 2), right / of
    centre = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((centre + side * half) / (1 + z * z / of) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t for a probability in [0.5, 1), to about six digits.

    The distribution function is integrated by Simpson's rule over atan(t/√ν), where the density becomes cos^(ν−1)
    and tails need no cut, and inverted by interpolation.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"student_t needs a probability in [0.5, 1) and freedom >= 1, not {probability}, {freedom}")
    angles, mass = _by_angle(freedom)
    return math.sqrt(freedom) * math.tan(np.interp(2 * probability - 1, mass, angles))


def tails(t: float, freedom: int) -> float:
    """P(|T| ≥ t) of Student's t, for t ≥ 0: the two-sided p; absolute error below 1e-7."""
    angles, mass = _by_angle(freedom)
    return max(0.0, 1 - float(np.interp(math.atan(t / math.sqrt(freedom)), angles, mass)))


@lru_cache(maxsize=32)
def _by_angle(freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles atan(t/√ν) from 0 to π/2, and P(|T| ≤ t) at each."""
    grid = np.linspace(0, math.pi / 2, 20001)
    density = np.cos(grid) ** (freedom - 1)
    pairs = density[:-2:2] + 4 * density[1:-1:2] + density[2::2]
    mass = np.concatenate([[0.0], np.cumsum(pairs)])
    return grid[::2], mass / mass[-1]

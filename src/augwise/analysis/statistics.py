"""Means, deviations and paired intervals of repeated runs. Plain Python and NumPy; knows nothing of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np


class Summary(TypedDict):
    """n values, their mean and sample standard deviation (None for a single value)."""

    n: int
    mean: float
    std: float | None


class Interval(TypedDict):
    """Mean of n paired differences with the 95 % interval of Student's t (None for a single pair)."""

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
    ± 1.2, with 8 ± 0.84. Nothing is corrected for the number of comparisons made.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    summary = summarise([first[s] - second[s] for s in seeds])
    if summary["std"] is None:
        return {"n": summary["n"], "mean": summary["mean"], "low": None, "high": None}
    half = student_t(0.5 + level / 2, summary["n"] - 1) * summary["std"] / math.sqrt(summary["n"])
    return {"n": summary["n"], "mean": summary["mean"], "low": summary["mean"] - half, "high": summary["mean"] + half}


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t for a probability in [0.5, 1), to about six digits.

    The distribution function is integrated by Simpson's rule over atan(t/√ν), where the density becomes cos^(ν−1)
    and tails need no cut, and inverted by bisection.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"student_t needs a probability in [0.5, 1) and freedom >= 1, not {probability}, {freedom}")
    grid = np.linspace(0, math.pi / 2, 20001)
    density = np.cos(grid) ** (freedom - 1)
    pairs = (density[:-2:2] + 4 * density[1:-1:2] + density[2::2]) * (grid[1] - grid[0]) / 3
    mass = np.concatenate([[0.0], np.cumsum(pairs)])
    angle = np.interp(probability - 0.5, 0.5 * mass / mass[-1], grid[::2])
    return math.sqrt(freedom) * math.tan(angle)

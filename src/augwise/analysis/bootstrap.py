"""Intervals by resampling, of means over images whose distribution no formula knows. Draws keyed numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypedDict

import numpy as np
import torch

from .. import randomness

_CACHED = 1 << 22  # weights held at once


class Bootstrapped(TypedDict):
    """n values, their mean and sample deviation, and the interval of the mean; None where a single value has none."""

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None


def bootstrap(values: np.ndarray, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> list[Bootstrapped]:
    """Percentile intervals (Efron 1979) of the mean of each column of ``values``, (n, columns), all known.

    Every resample draws n rows with replacement, the same ones for all columns: columns are paired, so that the
    interval of a difference is that of the column of differences. The same n and seed draw the same rows. With few
    rows it is a little too narrow, by about a factor √((n − 1)/n) and the tails of Student's t.
    """
    values = np.asarray(values, np.float64)
    n, columns = values.shape
    if not n:
        return [{"n": 0, "mean": math.nan, "std": None, "low": None, "high": None} for _ in range(columns)]
    means = np.concatenate([weights @ values for weights in resampled(n, resamples, seed)]) if n > 1 else None
    if means is None:
        return [{"n": 1, "mean": float(mean), "std": None, "low": None, "high": None} for mean in values[0]]
    tail = (1 - level) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    centre, deviation = values.mean(0), values.std(0, ddof=1)
    return [
        {"n": n, "mean": float(m), "std": float(s), "low": float(low), "high": float(high)}
        for m, s, low, high in zip(centre, deviation, lows, highs, strict=True)
    ]


def resampled(n: int, resamples: int, seed: int, largest: int | None = None) -> Iterator[np.ndarray]:
    """Blocks (b, n) of the weight of every row in each resample; rows sum to 1.

    largest: where two sets are resampled side by side, the size of the larger, so that blocks are of equal height.
    """
    generator, block = randomness.generator("bootstrap", seed), max(1, _CACHED // (largest or n))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = torch.randint(n, (count, n), generator=generator) + torch.arange(count)[:, None] * n
        yield torch.bincount(drawn.flatten(), minlength=count * n).view(count, n).double().numpy() / n

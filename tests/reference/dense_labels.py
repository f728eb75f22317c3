"""Mixed labels as dense targets, class by class in Python floats (float64)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def target(
    classes: Sequence[int], weights: Sequence[float], doubt: float, num_classes: int, smoothing: float = 0.0
) -> list[float]:
    """(1 - doubt) Σ_k w_k [c = k] + doubt / C, then (1 - ε) t + ε / C."""
    dense = []
    for c in range(num_classes):
        shown = sum(w for k, w in zip(classes, weights, strict=True) if k == c)
        t = (1 - doubt) * shown + doubt / num_classes
        dense.append((1 - smoothing) * t + smoothing / num_classes)
    return dense


def cross_entropy(dense: Sequence[float], logits: Sequence[float]) -> float:
    """-Σ t log p, p the softmax."""
    top = max(logits)
    log_sum = top + math.log(sum(math.exp(x - top) for x in logits))
    return -sum(t * (x - log_sum) for t, x in zip(dense, logits, strict=True))


def binary_cross_entropy(dense: Sequence[float], logits: Sequence[float]) -> list[float]:
    """-(t log σ(x) + (1 - t) log(1 - σ(x))) of every class."""
    return [
        t * math.log1p(math.exp(-x)) + (1 - t) * math.log1p(math.exp(x)) for t, x in zip(dense, logits, strict=True)
    ]

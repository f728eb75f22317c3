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


def focal(dense: Sequence[float], logits: Sequence[float], gamma: float, weights: Sequence[float]) -> float:
    """-Σ t w (1 - p)^γ log p, p the softmax."""
    total = sum(math.exp(x) for x in logits)
    p = [math.exp(x) / total for x in logits]
    return -sum(t * w * (1 - q) ** gamma * math.log(q) for t, w, q in zip(dense, weights, p, strict=True))


def binary_focal(
    dense: Sequence[float], logits: Sequence[float], gamma: float, alpha: float, weights: Sequence[float]
) -> list[float]:
    """-[v t α (1 - p)^γ log p + (1 - t)(1 - α) p^γ log(1 - p)] of every class, p = σ(x)."""
    losses = []
    for t, x, v in zip(dense, logits, weights, strict=True):
        p = 1 / (1 + math.exp(-x))
        there = -v * alpha * (1 - p) ** gamma * math.log(p)
        losses.append(t * there - (1 - t) * (1 - alpha) * p**gamma * math.log(1 - p))
    return losses

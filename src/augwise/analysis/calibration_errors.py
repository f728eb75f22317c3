"""How far a classifier's confidence can be believed: errors over bins of several kinds, and what one temperature mends.

Pure functions of logits (N, classes) or probabilities, and labels (N,); all errors are in [0, 1].
"""

from __future__ import annotations

import numpy as np

Bins = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(images, mean confidence, accuracy) of each bin that holds images."""


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(z / T) in float64."""
    z = logits.astype(np.float64) / temperature
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def equal_width(confidence: np.ndarray, right: np.ndarray, bins: int) -> Bins:
    """Bins (b/B, (b + 1)/B] of confidence; their right edges belong to them."""
    place = np.clip(np.ceil(confidence * bins - 1e-12).astype(np.int64) - 1, 0, bins - 1)
    return _bins(confidence, right, place)


def equal_mass(confidence: np.ndarray, right: np.ndarray, bins: int) -> Bins:
    """Bins of equally many images, in the order of confidence: those of the adaptive error (Nguyen and O'Connor
    2015)."""
    order, place = np.argsort(confidence, kind="stable"), np.empty(len(confidence), np.int64)
    place[order] = np.arange(len(order)) * bins // len(order)
    return _bins(confidence, right, place)


def _bins(confidence: np.ndarray, right: np.ndarray, place: np.ndarray) -> Bins:
    counts = np.bincount(place)
    held = counts > 0
    sums = (np.bincount(place, np.asarray(v, np.float64))[held] for v in (confidence, right))
    mean, accuracy = (s / counts[held] for s in sums)
    return counts[held], mean, accuracy


def expected(bins: Bins) -> float:
    """Σ_b n_b / n · |accuracy_b − confidence_b| (Guo et al. 2017, equation 3)."""
    counts, confidence, accuracy = bins
    return float((counts * abs(accuracy - confidence)).sum() / counts.sum())


def largest(bins: Bins) -> float:
    """max_b |accuracy_b − confidence_b| (Guo et al. 2017, equation 4)."""
    return float(abs(bins[2] - bins[1]).max())


def errors(p: np.ndarray, labels: np.ndarray, bins: int = 15) -> dict[str, float]:
    """All errors of probabilities (N, classes).

    ece, mce: expected and maximum error of the highest probability over bins of equal width. adaptive: expected error
    over bins of equal mass. classwise: the mean over classes c of the expected error of p_c against "the label is c"
    (Kull et al. 2019, equation 3). overconfidence: mean confidence − accuracy, with its sign. brier: mean Σ_c (p_c −
    [y = c])², in [0, 2]. loss: cross-entropy in nats.
    """
    n, classes = p.shape
    confidence, right = p.max(1), p.argmax(1) == labels
    hot = np.arange(classes)[None] == labels[:, None]
    wide = equal_width(confidence, right, bins)
    return {
        "accuracy": float(right.mean()),
        "confidence": float(confidence.mean()),
        "ece": expected(wide),
        "mce": largest(wide),
        "adaptive": expected(equal_mass(confidence, right, bins)),
        "classwise": float(np.mean([expected(equal_width(p[:, c], hot[:, c], bins)) for c in range(classes)])),
        "overconfidence": float(confidence.mean() - right.mean()),
        "brier": float(((p - hot) ** 2).sum(1).mean()),
        "loss": float(-np.log(np.maximum(p[np.arange(n), labels], 1e-45)).mean()),
    }


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [0.05, 20] whose softmax(z / T) has the least cross-entropy (Guo et al. 2017, section 4.2), by golden
    section over log T, where the loss has a single minimum."""
    low, high, ratio = np.log(0.05), np.log(20.0), (5**0.5 - 1) / 2

    def loss(log_t: float) -> float:
        z = logits.astype(np.float64) / np.exp(log_t)
        top = z.max(1)
        return float((top + np.log(np.exp(z - top[:, None]).sum(1)) - z[np.arange(len(z)), labels]).mean())

    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = loss(a), loss(b)
    for _ in range(40):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = loss(b)
    return float(np.exp((low + high) / 2))


def scaled_crosswise(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Probabilities after temperature scaling, each half of the images (even and odd places) with the temperature of
    the other half: no image judges a temperature that it helped to choose. Returns both temperatures too."""
    p, halves = np.empty(logits.shape, np.float64), (slice(0, None, 2), slice(1, None, 2))
    found = tuple(temperature(logits[half], labels[half]) for half in halves)
    for half, t in zip(halves, reversed(found), strict=True):
        p[half] = probabilities(logits[half], t)
    return p, found  # pyright: ignore[reportReturnType]

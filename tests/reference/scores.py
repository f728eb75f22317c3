"""AUPR, AUROC, FPR95 and calibration errors in the slowest way that is obviously right."""

from __future__ import annotations


def auroc(known: list[float], foreign: list[float]) -> float:
    """P(foreign > known) + ½ P(equal), over all pairs."""
    pairs = [(f > k) + 0.5 * (f == k) for f in foreign for k in known]
    return sum(pairs) / len(pairs)


def average_precision(negatives: list[float], positives: list[float]) -> float:
    """Σ over thresholds, from the highest score down, of the recall gained there times the precision there."""
    total, before = 0.0, 0.0
    for threshold in sorted({*negatives, *positives}, reverse=True):
        right = sum(p >= threshold for p in positives)
        wrong = sum(n >= threshold for n in negatives)
        recall = right / len(positives)
        total += (recall - before) * right / (right + wrong)
        before = recall
    return total


def fpr95(known: list[float], foreign: list[float]) -> float:
    """Of all thresholds below which at least 95 % of the known lie (or on it), the fewest foreign ones that do too."""
    found = []
    for threshold in {*known, *foreign}:
        if 20 * sum(k <= threshold for k in known) >= 19 * len(known):
            found.append(sum(f <= threshold for f in foreign) / len(foreign))
    return min(found)


def binned_error(confidence: list[float], right: list[bool], groups: list[list[int]]) -> float:
    """Σ over groups of their share times the gap of mean confidence and accuracy."""
    n, total = len(confidence), 0.0
    for members in groups:
        if members:
            sure = sum(confidence[i] for i in members) / len(members)
            accuracy = sum(right[i] for i in members) / len(members)
            total += len(members) / n * abs(sure - accuracy)
    return total

"""Re-identification in the slowest way that is obviously right: one query at a time, sorted, over lists and sets.

The measures after Zheng et al. 2015, re-ranking after Zhong et al. 2017 (their equations 2 to 12, and the scaling of
their program), batch-hard triplets after Hermans et al. 2017.
"""

from __future__ import annotations

import math

import numpy as np


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances, from differences."""
    return ((a[:, None, :].astype(np.float64) - b[None, :, :]) ** 2).sum(2)


def ranked(
    distances: np.ndarray,
    query_identities: list[int],
    gallery_identities: list[int],
    query_cameras: list[int],
    gallery_cameras: list[int],
    ranks: tuple[int, ...] = (1, 5, 10),
) -> tuple[float, dict[int, float], int]:
    """(mAP, CMC by rank, queries without a match)."""
    precisions: list[float] = []
    hits = dict.fromkeys(ranks, 0)
    without = 0
    for q, row in enumerate(distances):
        order = sorted(range(len(row)), key=lambda g: (row[g], g))
        right = []
        for g in order:
            if gallery_identities[g] == -1:
                continue
            same = gallery_identities[g] == query_identities[q]
            if same and gallery_cameras[g] == query_cameras[q]:
                continue
            right.append(same)
        if not any(right):
            without += 1
            continue
        found, precision = 0, 0.0
        for place, is_match in enumerate(right, 1):
            if is_match:
                found += 1
                precision += found / place
        precisions.append(precision / found)
        for k in ranks:
            hits[k] += any(right[:k])
    n = len(precisions)
    return sum(precisions) / n, {k: count / n for k, count in hits.items()}, without


def reranked(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """(Q, G) distances d*."""
    everyone = np.concatenate([query, gallery])
    n, q = len(everyone), len(query)
    distance = squared(everyone, everyone)
    distance = distance / distance.max(1, keepdims=True)
    nearest = [sorted(range(n), key=lambda g, i=i: (g != i, distance[i, g], g)) for i in range(n)]

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in nearest[p][: k + 1] if p in nearest[g][: k + 1]}

    v = np.zeros((n, n))
    for p in range(n):
        core = mutual(p, k1)
        wider = set(core)
        for c in core:
            theirs = mutual(c, round(k1 / 2))
            if len(theirs & core) > 2 / 3 * len(theirs):
                wider |= theirs
        for g in wider:
            v[p, g] = math.exp(-distance[p, g])
        v[p] /= v[p].sum()
    if k2 > 1:
        v = np.stack([v[nearest[p][:k2]].mean(0) for p in range(n)])
    result = np.zeros((q, n - q))
    for i in range(q):
        for j in range(q, n):
            jaccard = 1 - np.minimum(v[i], v[j]).sum() / np.maximum(v[i], v[j]).sum()
            result[i, j - q] = (1 - weight) * jaccard + weight * distance[i, j]
    return result


def batch_hard(features: np.ndarray, labels: list[int], margin: float) -> float:
    """The loss by a loop over anchors."""
    losses = []
    for a, label in enumerate(labels):
        apart = [math.dist(features[a], other) for other in features]
        farthest = max(d for d, other in zip(apart, labels, strict=True) if other == label)
        nearest = min(d for d, other in zip(apart, labels, strict=True) if other != label)
        losses.append(max(0.0, margin + farthest - nearest))
    return sum(losses) / len(losses)

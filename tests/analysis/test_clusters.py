"""Distances within and between classes against loops, and by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from augwise.analysis import clusters
from augwise.analysis.clusters import spread


def slow(points, labels):
    """closest, centroids, mean within, diameter and silhouette, pair by pair."""
    groups = {c: [p for p, y in zip(points, labels, strict=True) if y == c] for c in sorted(set(labels))}
    between = [math.dist(p, q) for a, b in itertools.combinations(groups, 2) for p in groups[a] for q in groups[b]]
    means = [[sum(x) / len(group) for x in zip(*group, strict=True)] for group in groups.values()]
    within = {c: [math.dist(p, q) for p, q in itertools.combinations(g, 2)] for c, g in groups.items()}
    scores = []
    for i, (p, own) in enumerate(zip(points, labels, strict=True)):
        if len(groups[own]) == 1:
            scores.append(0.0)
            continue
        others = [math.dist(p, q) for j, q in enumerate(points) if labels[j] == own and j != i]
        a = sum(others) / len(others)
        b = min(sum(math.dist(p, q) for q in g) / len(g) for c, g in groups.items() if c != own)
        scores.append((b - a) / max(a, b))
    return {
        "closest": min(between),
        "centroids": min(math.dist(a, b) for a, b in itertools.combinations(means, 2)),
        "mean_within": max(sum(d) / len(d) for d in within.values() if d),
        "diameter": max(max(d) for d in within.values() if d),
        "silhouette": sum(scores) / len(scores),
    }


@pytest.mark.parametrize("dimensions", [2, 7])
@pytest.mark.parametrize("block", [2**24, 100])
def test_equals_the_loops(dimensions, block, monkeypatch):
    """Classes of different sizes, one of them a single point, labels with a gap; all at once and block by block."""
    monkeypatch.setattr(clusters, "_BLOCK", block)
    labels = [0] * 9 + [1] * 5 + [4] * 12 + [7]
    points = torch.randn(len(labels), dimensions, dtype=torch.float64) + torch.tensor(labels)[:, None] / 3
    order = torch.randperm(len(labels))
    points, labels = points[order], torch.tensor(labels)[order]
    found, wanted = spread(points, labels), slow(points.tolist(), labels.tolist())
    for name, value in wanted.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-12), name
    assert found.dunn == pytest.approx(wanted["closest"] / wanted["mean_within"])
    assert found.dunn_centroids == pytest.approx(wanted["centroids"] / wanted["mean_within"])
    assert found.dunn_diameter == pytest.approx(wanted["closest"] / wanted["diameter"])
    assert set(found.told()) == {*wanted, "dunn", "dunn_centroids", "dunn_diameter"}


def test_two_pairs_by_hand():
    """Pairs of width 2 and 4, their nearest ends 6 apart: 6 / 4 (mean and diameter of a pair are one)."""
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [8.0, 0.0], [12.0, 0.0]])
    found = spread(points, torch.tensor([0, 0, 1, 1]))
    assert (found.closest, found.centroids, found.mean_within, found.diameter) == (6, 9, 4, 4)
    assert (found.dunn, found.dunn_centroids, found.dunn_diameter) == (1.5, 2.25, 1.5)
    a, b = [2, 2, 4, 4], [10, 8, 7, 11]
    assert found.silhouette == pytest.approx(sum((y - x) / y for x, y in zip(a, b, strict=True)) / 4)


def test_indices_do_not_change_with_the_scale_and_small_distances_keep_their_digits():
    points, labels = torch.randn(40, 5), torch.arange(40) % 4
    one, other = spread(points, labels).told(), spread(1000 * points + 7, labels).told()
    for name in ("dunn", "dunn_centroids", "dunn_diameter", "silhouette"):
        assert one[name] == pytest.approx(other[name], rel=1e-3)
    far = 1e4 + torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1e-6], [3.0, 0.0]], dtype=torch.float64)
    assert spread(far, torch.tensor([0, 0, 1, 1])).closest == pytest.approx(1e-6, rel=1e-4)


def test_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    points, labels = torch.randn(30, 4), torch.arange(30) % 3
    wanted = metrics.silhouette_score(points.double().numpy(), labels.numpy())
    assert spread(points, labels).silhouette == pytest.approx(wanted)


def test_where_there_are_no_distances():
    points = torch.randn(3, 2)
    alone = spread(points, torch.tensor([0, 1, 2]))
    assert alone.closest is not None
    assert alone.mean_within is alone.diameter is alone.silhouette is alone.dunn is None
    one = spread(points, torch.tensor([5, 5, 5]))
    assert one.closest is one.centroids is one.dunn is one.silhouette is None
    assert one.diameter is not None
    same = spread(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]))
    assert (same.closest, same.diameter, same.silhouette, same.dunn) == (0, 0, 0, None)

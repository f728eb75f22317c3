"""What is said of a store's maps, against loops over single maps."""

import numpy as np
import pytest

import augwise as aw
from augwise.analysis.map_statistics import map_statistics


@pytest.fixture
def store():
    rng = np.random.default_rng(3)
    maps = rng.random((40, 6, 10)) * (rng.random((40, 6, 10)) < rng.random((40, 1, 1)))
    maps[7] = 0
    data = [(rng.integers(0, 255, (3, 6, 10), dtype=np.uint8), i % 3) for i in range(40)]
    return aw.ImportanceStore.from_maps(data, maps)


def least_share(values):
    """The fewest pixels that hold half, by taking the largest one after the other."""
    left, count = values.sum() / 2, 0
    for value in sorted(values.ravel().tolist(), reverse=True):
        left, count = left - value, count + 1
        if left <= 1e-9:
            return count / values.size
    raise AssertionError


def test_against_loops(store):
    numbers, mean = map_statistics(store, ["a", "b", "c"])
    maps = store.maps.astype(float)
    full = [m for m in maps if m.sum()]
    assert numbers["half_area"]["median"] == pytest.approx(np.median([least_share(m) for m in full]))
    assert sum(numbers["half_area"]["counts"]) == 39
    assert numbers["key_points"] is None  # own maps are dense
    assert mean == pytest.approx(np.mean([m / m.sum() for m in full], 0))
    middle = [
        m[2:4, 3:7].sum()
        + 0.5 * (m[[1, 4], 3:7].sum() + m[2:4, [2, 7]].sum())
        + 0.25 * m[[1, 1, 4, 4], [2, 7, 2, 7]].sum()
        for m in full
    ]
    assert numbers["centre"] == pytest.approx(np.mean([c / m.sum() for c, m in zip(middle, full, strict=True)]))
    assert [row["class"] for row in numbers["per_class"]] == ["a", "b", "c"]
    assert [row["images"] for row in numbers["per_class"]] == [14, 13, 13]
    own = [least_share(m) for m in maps[1::3] if m.sum()]
    assert numbers["per_class"][1]["half_area"] == pytest.approx(np.median(own))


def test_key_points_and_failures_of_a_sparse_method(store):
    store._meta = type(store._meta)(**{**vars(store._meta), "sparse": True})
    store.status = store.status.copy()
    store.status[[7, 9]] = 2
    store.status[20:] = 0  # not computed yet
    numbers, _ = map_statistics(store)
    points = [np.count_nonzero(m) for m in store.maps[:20]]
    found = numbers["key_points"]
    assert found["median"] == np.median(points)
    assert found["counts"] == np.histogram(points, found["edges"])[0].tolist()
    assert sum(found["counts"]) == numbers["done"] == 20
    assert max(points) > 24
    assert all(edge == int(edge) for edge in found["edges"])  # so that every bar holds equally many numbers
    assert [(r["class"], r["images"], r["failed"]) for r in numbers["per_class"]] == [
        ("0", 7, 1),
        ("1", 7, 1),
        ("2", 6, 0),
    ]


def test_a_large_store_is_looked_at_evenly(store):
    numbers, _ = map_statistics(store, most=10)
    rows = np.linspace(0, 39, 10).astype(int)
    full = [m for m in store.maps[rows].astype(float) if m.sum()]
    assert numbers["looked_at"] == 10
    assert numbers["half_area"]["median"] == pytest.approx(np.median([least_share(m) for m in full]))

"""What is said of a store's maps, against loops over single maps."""

import numpy as np
import pytest

import augwise as aw
from augwise.analysis.map_statistics import centre, half_area, map_statistics


@pytest.fixture
def store():
    rng = np.random.default_rng(3)
    maps = rng.random((40, 6, 10)) * (rng.random((40, 6, 10)) < rng.random((40, 1, 1)))
    maps[7] = 0
    data = [(rng.integers(0, 255, (3, 6, 10), dtype=np.uint8), i % 3) for i in range(40)]
    return aw.ImportanceStore.from_maps(data, maps)


def sparse(store):
    """The same as of an attack that failed on rows 7 and 9 and has come to row 20."""
    store._meta = type(store._meta)(**{**vars(store._meta), "sparse": True})
    store.status = store.status.copy()
    store.status[[7, 9]] = 2
    store.status[20:] = 0
    return store


def least_share(values):
    """The fewest pixels that hold half, by taking the largest one after the other."""
    left, count = values.sum() / 2, 0
    for value in sorted(values.ravel().tolist(), reverse=True):
        left, count = left - value, count + 1
        if left <= 1e-9:
            return count / values.size
    raise AssertionError


def slow_centre(importance, fine=60):
    """By cutting every cell into fine × fine pieces."""
    height, width = importance.shape
    inside = 0.0
    for y in range(height):
        for x in range(width):
            down = sum(height / 4 <= y + (i + 0.5) / fine < 3 * height / 4 for i in range(fine)) / fine
            across = sum(width / 4 <= x + (i + 0.5) / fine < 3 * width / 4 for i in range(fine)) / fine
            inside += importance[y, x] * down * across
    return inside / importance.sum()


def test_half_area_and_centre_against_slow_counts():
    maps = np.random.default_rng(3).integers(0, 256, (5, 6, 7)).astype(np.uint8)
    maps[2] = 0
    for i in (0, 1, 3, 4):
        assert half_area(maps)[i] == least_share(maps[i].astype(float))
        assert centre(maps)[i] == pytest.approx(slow_centre(maps[i].astype(float)), abs=1e-6)
    assert np.isnan([half_area(maps)[2], centre(maps)[2]]).all()
    flat = np.full((1, 3, 6), 255, np.uint8)  # sums beyond 8 bits
    assert (half_area(flat)[0], centre(flat)[0]) == (0.5, pytest.approx(0.25))


def test_against_loops(store):
    numbers, mean = map_statistics(store, {0: "a", 1: "b", 2: "c"})
    maps = store.maps.astype(float)
    full = [m for m in maps if m.sum()]
    assert numbers["half_area"]["median"] == pytest.approx(np.median([least_share(m) for m in full]))
    assert sum(numbers["half_area"]["counts"]) == 39
    assert numbers["key_points"] is None  # own maps are dense
    assert mean == pytest.approx(np.mean([m / m.sum() for m in full], 0))
    assert numbers["centre"] == pytest.approx(np.mean([slow_centre(m) for m in full]))
    assert numbers["centre"] == pytest.approx(slow_centre(mean))
    assert [row["class"] for row in numbers["per_class"]] == ["a", "b", "c"]
    assert [row["images"] for row in numbers["per_class"]] == [14, 13, 13]
    own = [m for m in maps[1::3] if m.sum()]
    assert numbers["per_class"][1]["half_area"] == pytest.approx(np.median([least_share(m) for m in own]))
    assert numbers["per_class"][1]["centre"] == pytest.approx(np.mean([slow_centre(m) for m in own]))


def test_key_points_and_failures_of_a_sparse_method(store):
    numbers, _ = map_statistics(sparse(store))
    points = [np.count_nonzero(m) for m in store.maps[:20]]
    found = numbers["key_points"]
    assert found["median"] == np.median(points)
    assert found["counts"] == np.histogram(points, found["edges"])[0].tolist()
    assert sum(found["counts"]) == numbers["done"] == 20
    assert numbers["success_rate"] == 0.9
    assert max(points) > 24
    assert all(edge == int(edge) for edge in found["edges"])  # so that every bar holds equally many numbers
    assert [(r["class"], r["images"], r["failed"]) for r in numbers["per_class"]] == [
        ("0", 7, 1),
        ("1", 7, 1),
        ("2", 6, 0),
    ]
    assert numbers["per_class"][1]["key_points"] == np.median(points[1::3])


def test_only_the_rows_that_are_asked_for_count(store):
    numbers, mean = map_statistics(sparse(store), {0: "a", 2: "c"}, np.array([9, 3, 2]))
    full = store.maps[[2, 3, 9]].astype(float)
    assert mean == pytest.approx(np.mean([m / m.sum() for m in full], 0))
    assert (numbers["done"], numbers["failed"], numbers["rows"]) == (3, 1, 40)
    assert numbers["success_rate"] == pytest.approx(2 / 3)
    assert [(r["class"], r["images"], r["failed"]) for r in numbers["per_class"]] == [("a", 2, 1), ("c", 1, 0)]


def test_a_large_store_is_looked_at_evenly(store):
    numbers, _ = map_statistics(store, most=10)
    rows = np.linspace(0, 39, 10).astype(int)
    full = [m for m in store.maps[rows].astype(float) if m.sum()]
    assert numbers["looked_at"] == 10
    assert sum(row["images"] for row in numbers["per_class"]) == numbers["done"] == 40
    assert numbers["half_area"]["median"] == pytest.approx(np.median([least_share(m) for m in full]))

"""What the maps of a store are like: how sparse, how concentrated, how centred, per class. Reads the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..importance.store import ImportanceStore

_BINS = 24


class MapStatistics(NamedTuple):
    """numbers: plain data, see `map_statistics`; mean_map: (H, W) float64, mean of the maps, each of sum 1."""

    numbers: dict[str, Any]
    mean_map: np.ndarray


def map_statistics(store: ImportanceStore, class_names: list[str] | None = None, most: int = 4096) -> MapStatistics:
    """Statistics of a store's finished maps.

    numbers: what `ImportanceStore.summary` says, and of at most ``most`` maps, evenly spaced over the store
    (``looked_at`` says how many): ``half_area``, the least share of an image's pixels that holds half of its
    importance (small: concentrated; 0.5: flat), and of sparse methods ``key_points``, each as median, histogram
    ``edges`` and ``counts``; ``centre``, the mean share of importance in the middle quarter of the area (0.25: flat);
    ``per_class`` images, failed attacks, and medians of both. Maps that are all zero count for key points alone.
    """
    from ..importance.store_files import PENDING

    done = np.flatnonzero(store.status != PENDING)
    rows = done if len(done) <= most else done[np.linspace(0, len(done) - 1, most).astype(np.int64)]
    points, half, mean_map = _of_maps(store, rows)
    sparse = bool(store.meta["sparse"])
    numbers: dict[str, Any] = store.summary() | {
        "height": store.height,
        "width": store.width,
        "sparse": sparse,
        "looked_at": len(rows),
        "half_area": _distribution(half[~np.isnan(half)], 0, None),
        "key_points": _distribution(points, 0, 1) if sparse else None,
        "centre": _centre(mean_map),
        "per_class": _by_class(store, class_names, rows, points if sparse else None, half),
    }
    return MapStatistics(numbers, mean_map)


def results_of_store(folder: Path) -> dict[str, Any]:
    """For a store without results.json (made by `augwise.estimate` or ``merge``): what can be said from it alone."""
    from .. import __version__
    from ..importance.store import ImportanceStore

    store = ImportanceStore(folder, allow_partial=True)
    environments = store.meta["environments"]
    return {
        "kind": "estimate",
        "augwise": environments[-1].get("augwise", __version__) if environments else __version__,
        "name": folder.absolute().name,
        "data": {"name": store.meta["data"], "classes": None},
        "method": {"name": store.meta["method"]} | store.meta["arguments"],
        "seed": store.meta["seed"],
        "store": map_statistics(store).numbers,
        "environment": environments[-1] if environments else {},
    }


def _of_maps(store: ImportanceStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) key points, (n,) share of pixels that holds half (NaN of an empty map), (H, W) mean of normalised maps."""
    size = store.height * store.width
    points, half = np.zeros(len(rows), np.int64), np.full(len(rows), np.nan)
    total, counted = np.zeros(size), 0
    for start in range(0, len(rows), 256):
        block = store.maps[rows[start : start + 256]].reshape(-1, size).astype(np.float64)
        points[start : start + 256] = np.count_nonzero(block, 1)
        mass = block.sum(1)
        full = mass > 0
        block = block[full] / mass[full, None]
        total, counted = total + block.sum(0), counted + int(full.sum())
        reached = np.cumsum(-np.sort(-block, 1), 1) >= 0.5 - 1e-12
        half[start : start + 256][full] = (reached.argmax(1) + 1) / size
    return points, half, (total / max(1, counted)).reshape(store.height, store.width)


def _distribution(values: np.ndarray, low: float, whole: float | None) -> dict[str, Any] | None:
    """Median and histogram from ``low`` to the largest value; whole: bins are multiples of it wide."""
    if not len(values):
        return None
    top = max(float(values.max()), low + (whole or 1e-9))
    width = (top - low) / _BINS
    if whole is not None:
        width = max(whole, np.ceil(width / whole) * whole)
    edges = low + width * np.arange(_BINS + 1)
    counts = np.histogram(np.minimum(values, edges[-1]), edges)[0]
    used = len(np.trim_zeros(counts, "b"))
    return {
        "median": float(np.median(values)),
        "edges": edges[: used + 1].tolist(),
        "counts": counts[:used].tolist(),
    }


def _centre(mean_map: np.ndarray) -> float | None:
    """Share of the mass in the central rectangle of half the sides, pixels on its edge by their part inside."""
    height, width = mean_map.shape
    total = mean_map.sum()
    inside = np.clip(_overlap(height), 0, 1) @ mean_map @ np.clip(_overlap(width), 0, 1)
    return float(inside / total) if total > 0 else None


def _overlap(n: int) -> np.ndarray:
    """How much of pixel i, [i, i + 1], lies within [n/4, 3n/4]."""
    at = np.arange(n)
    return np.minimum(at + 1, 0.75 * n) - np.maximum(at, 0.25 * n)


def _by_class(
    store: ImportanceStore, names: list[str] | None, rows: np.ndarray, points: np.ndarray | None, half: np.ndarray
) -> list[dict[str, Any]]:
    from ..importance.store_files import PENDING

    labels, there = store.labels, store.status != PENDING
    found = []
    for label in np.unique(labels[there]).tolist():
        own, looked = there & (labels == label), labels[rows] == label
        halves = half[looked & ~np.isnan(half)]
        found.append(
            {
                "class": names[label] if names else str(label),
                "images": int(own.sum()),
                "failed": int(store.failed[own].sum()),
                "key_points": float(np.median(points[looked])) if points is not None and looked.any() else None,
                "half_area": float(np.median(halves)) if len(halves) else None,
            }
        )
    return found

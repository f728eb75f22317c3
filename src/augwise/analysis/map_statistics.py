"""What the maps of a store are like: how sparse, how concentrated, how centred, per class. Reads the store alone.

One vocabulary for all who speak of a store's maps: ``half_area``, ``centre`` and ``key_points``, see `map_statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..importance.store import ImportanceStore

_BINS = 24
_BLOCK = 256  # maps handled at a time


class MapStatistics(NamedTuple):
    """numbers: plain data, see `map_statistics`; mean_map: (H, W) float64, mean of the maps, each of sum 1."""

    numbers: dict[str, Any]
    mean_map: np.ndarray


def map_statistics(
    store: ImportanceStore,
    class_names: Mapping[int, str] | None = None,
    rows: np.ndarray | None = None,
    most: int = 4096,
    progress: bool = False,
) -> MapStatistics:
    """Statistics of a store's finished maps.

    class_names: by label, None for the labels themselves; rows: of the store, finished ones, None for all of these.

    numbers: what `ImportanceStore.summary` says (``done``, ``failed`` and ``success_rate`` of the rows), and of at
    most ``most`` of them, evenly spaced (``looked_at`` says how many): `half_area`, and of sparse methods
    ``key_points`` (non-zero cells), each as median, histogram ``edges`` and ``counts``; ``centre``, the mean of
    `centre`; ``per_class`` images, failed attacks, medians of the first two and the mean of the third. Maps that are
    all zero count for key points alone.
    """
    from ..importance.store_files import PENDING

    rows = np.flatnonzero(store.status != PENDING) if rows is None else np.sort(rows)
    looked = rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    maps = _of_maps(store, looked, progress)
    sparse = bool(store.meta["sparse"])
    failed = int(store.failed[rows].sum())
    numbers: dict[str, Any] = store.summary() | {
        "done": len(rows),
        "failed": failed,
        "height": store.height,
        "width": store.width,
        "sparse": sparse,
        "looked_at": len(looked),
        "half_area": _distribution(_known(maps.half_area), None),
        "key_points": _distribution(maps.key_points, 1) if sparse else None,
        "centre": _average(np.mean, maps.centre),
        "per_class": _by_class(store, class_names, rows, looked, maps, sparse),
    }
    if sparse and len(rows):
        numbers["success_rate"] = 1 - failed / len(rows)
    return MapStatistics(numbers, maps.mean)


def half_area(maps: np.ndarray) -> np.ndarray:
    """Least share of each map's cells that holds half of its importance, (N,) in (0, 1]; NaN of empty maps.

    Small: concentrated; 0.5: spread evenly. maps: (N, H, W), at least 0, in any unit.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    whole = flat.sum(1, keepdims=True)
    reached = np.cumsum(-np.sort(-flat, 1), 1) >= (0.5 - 1e-12) * whole
    return np.where(whole[:, 0] > 0, (reached.argmax(1) + 1) / flat.shape[1], np.nan)


def centre(maps: np.ndarray) -> np.ndarray:
    """Share of each map's importance in the middle half of both sides, a quarter of the area, (N,) in [0, 1].

    0.25: spread evenly; NaN: an empty map. Cells on the border of the middle count in part. maps: as for `half_area`.
    """
    down, across = (_inside(length) for length in maps.shape[1:])
    inside, whole = (maps.astype(np.float64) @ across) @ down, maps.sum((1, 2), dtype=np.float64)
    return np.divide(inside, whole, out=np.full(len(maps), np.nan), where=whole > 0)


def results_of_store(store: ImportanceStore, numbers: dict[str, Any] | None = None) -> dict[str, Any]:
    """What ``results.json`` can say of a store from itself alone, as one of `augwise.estimate` or ``merge`` must.

    numbers: of `map_statistics`, if they are known.
    """
    from .. import __version__

    environments = store.meta["environments"]
    return {
        "kind": "estimate",
        "augwise": environments[-1].get("augwise", __version__) if environments else __version__,
        "name": "maps" if store.path is None else store.path.absolute().name,
        "data": {"name": store.meta["data"], "classes": None},
        "method": {"name": store.meta["method"]} | store.meta["arguments"],
        "seed": store.meta["seed"],
        "store": map_statistics(store).numbers if numbers is None else numbers,
        "environment": environments[-1] if environments else {},
    }


class _Maps(NamedTuple):
    """(n,) key points, `half_area` and `centre` of n maps; (H, W) mean of those that are not empty, each of sum 1."""

    key_points: np.ndarray
    half_area: np.ndarray
    centre: np.ndarray
    mean: np.ndarray


def _of_maps(store: ImportanceStore, rows: np.ndarray, progress: bool) -> _Maps:
    from tqdm import tqdm

    points, half, middle = np.zeros(len(rows), np.int64), np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    total, counted = np.zeros((store.height, store.width)), 0
    for start in tqdm(range(0, len(rows), _BLOCK), "reading maps", delay=2, leave=False, disable=not progress):
        at = slice(start, start + _BLOCK)
        block = store.maps[rows[at]]
        points[at], half[at], middle[at] = np.count_nonzero(block, (1, 2)), half_area(block), centre(block)
        mass = block.sum((1, 2), dtype=np.float64)
        full = mass > 0
        total, counted = total + (block[full] / mass[full, None, None]).sum(0), counted + int(full.sum())
    return _Maps(points, half, middle, total / max(1, counted))


def _distribution(values: np.ndarray, whole: float | None) -> dict[str, Any] | None:
    """Median and histogram from 0 to the largest value; whole: bins are multiples of it wide."""
    if not len(values):
        return None
    width = max(float(values.max()), whole or 1e-9) / _BINS
    if whole is not None:
        width = max(whole, np.ceil(width / whole) * whole)
    edges = width * np.arange(_BINS + 1)
    counts = np.histogram(np.minimum(values, edges[-1]), edges)[0]
    used = len(np.trim_zeros(counts, "b"))
    return {
        "median": float(np.median(values)),
        "edges": edges[: used + 1].tolist(),
        "counts": counts[:used].tolist(),
    }


def _inside(length: int) -> np.ndarray:
    """How much of each of ``length`` cells lies between a quarter and three quarters of the side."""
    start = np.arange(length)
    return np.clip(np.minimum(start + 1, 0.75 * length) - np.maximum(start, 0.25 * length), 0, 1)


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _average(of: Any, values: np.ndarray) -> float | None:
    """Mean or median of what is known; None where nothing is."""
    known = _known(values)
    return float(of(known)) if len(known) else None


def _by_class(
    store: ImportanceStore,
    names: Mapping[int, str] | None,
    rows: np.ndarray,
    looked: np.ndarray,
    maps: _Maps,
    sparse: bool,
) -> list[dict[str, Any]]:
    found = []
    for label in np.unique(store.labels[rows]).tolist():
        all_own, own = rows[store.labels[rows] == label], store.labels[looked] == label
        found.append(
            {
                "class": str(label) if names is None else names.get(label, str(label)),
                "images": len(all_own),
                "failed": int(store.failed[all_own].sum()),
                "key_points": _average(np.median, maps.key_points[own].astype(np.float64)) if sparse else None,
                "half_area": _average(np.median, maps.half_area[own]),
                "centre": _average(np.mean, maps.centre[own]),
            }
        )
    return found

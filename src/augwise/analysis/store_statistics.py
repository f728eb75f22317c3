"""What the maps of a store look like as a whole and class by class: how concentrated, how centred. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

TOP = 0.1
"""Share of a map's cells whose share of the importance says how concentrated it is."""


@dataclass(frozen=True)
class Share:
    """One class, or all: how many images, and means over their maps.

    failed: images whose attack failed. key_points: non-zero cells. top: share of the importance in the tenth of the
    cells that has most of it (0.1 if spread evenly, 1 if there is nothing elsewhere). middle: share in the middle
    quarter of the area (0.25 if spread evenly). Means are NaN where there is no map with importance.
    """

    name: str
    images: int
    failed: int
    key_points: float
    top: float
    middle: float


@dataclass(frozen=True)
class Overview:
    """A store in numbers: all its maps together, each class, and the mean (H, W) of the maps, each summing to one."""

    whole: Share
    classes: list[Share]
    mean: np.ndarray


def overview(blocks: Iterable[np.ndarray], labels: np.ndarray, failed: np.ndarray, names: dict[int, str]) -> Overview:
    """The numbers of a set of maps.

    blocks: (n, H, W) maps ≥ 0 in any unit, block by block; labels (N,) and failed (N,) of all of them in order;
    names: of the labels, in the order of the table.
    """
    parts, total = [], None
    for maps in blocks:
        parts.append(np.stack([np.count_nonzero(maps, (1, 2)), concentration(maps), middle(maps)]))
        mass = maps.sum((1, 2), dtype=np.float64)
        some = mass > 0
        added = (maps[some] / mass[some, None, None]).sum(0)
        total = added if total is None else total + added
    assert total is not None
    values = np.concatenate(parts, 1)
    classes = [_share(name, labels == label, failed, values) for label, name in names.items()]
    whole = _share("all", np.ones(len(labels), bool), failed, values)
    return Overview(whole, [c for c in classes if c.images], total / max(total.sum(), 1e-300))


def _share(name: str, chosen: np.ndarray, failed: np.ndarray, values: np.ndarray) -> Share:
    key_points, top, centred = (_mean(row[chosen]) for row in values)
    return Share(name, int(chosen.sum()), int((failed & chosen).sum()), key_points, top, centred)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def concentration(maps: np.ndarray, top: float = TOP) -> np.ndarray:
    """Share of each map's importance in the ⌈top · H · W⌉ cells that have most of it, (N,); NaN for empty maps."""
    flat = maps.reshape(len(maps), -1)
    count = math.ceil(top * flat.shape[1])
    highest = np.partition(flat, flat.shape[1] - count, axis=1)[:, -count:]
    return _ratio(highest.sum(1, dtype=np.float64), flat.sum(1, dtype=np.float64))


def middle(maps: np.ndarray) -> np.ndarray:
    """Share of each map's importance in the middle half of both sides, (N,); cells on its border count in part."""
    down, across = (_inside(length) for length in maps.shape[1:])
    return _ratio((maps.astype(np.float64) @ across) @ down, maps.sum((1, 2), dtype=np.float64))


def _inside(length: int) -> np.ndarray:
    """How much of each of ``length`` cells lies between a quarter and three quarters of the side."""
    start = np.arange(length)
    return np.clip(np.minimum(start + 1, 0.75 * length) - np.maximum(start, 0.25 * length), 0, 1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)

"""Joins the stores that several machines wrote, one part each, to the store that one machine would have written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import store_files as files
from . import writer
from .store import ImportanceStore, new_folder
from .store_files import Meta

_ARRAYS = ("maps", "scale", "status", "hashes", "labels")


def merge(parts: Sequence[str | Path], path: str | Path) -> ImportanceStore:
    """One store of the rows of all parts, written to a new folder in one step.

    parts: folders of finished stores of the same method, arguments, model, seed, chunk and image size. If they are
    all n parts of one data set (``part=(i, n)``), the result equals the store of a single run, byte for byte.
    Otherwise the rows stand one part after the other, and of images that several parts have (same hash and label)
    the first map is kept.
    Raises `UserError` naming the part that is unfinished, damaged or differs, and in what.
    """
    if not parts:
        raise UserError("there are no parts to merge: give the folders of the parts")
    stores = [ImportanceStore(part) for part in parts]
    first = stores[0]._meta
    for part, store in zip(parts, stores, strict=True):
        _check_agrees(part, store._meta, parts[0], first)
    pieces = _interleaved(stores) or _one_after_the_other(stores)
    environments = tuple({str(e): e for store in stores for e in store._meta.environments}.values())
    total = sum(len(rows) for _, rows in pieces)
    meta = replace(first, segments=(total,), part=None, environments=environments, complete=False)
    with new_folder(path, meta) as folder:
        start = 0
        for store, rows in pieces:
            for name in _ARRAYS:
                files.write_rows(folder, f"{name}.npy", start, getattr(store, name)[rows])
            start += len(rows)
    return ImportanceStore(path)


def _check_agrees(part: str | Path, meta: Meta, first_part: str | Path, first: Meta) -> None:
    differs = writer.differences(replace(first, part=None), replace(meta, part=None))
    if differs:
        pairs = "; ".join(f"{what} is {old} and {new}" for what, old, new in differs)
        raise UserError(f"{first_part} and {part} do not belong together: {pairs}. Merge parts of one run only")


def _interleaved(stores: list[ImportanceStore]) -> list[tuple[ImportanceStore, np.ndarray]]:
    """Chunk by chunk in the order of the whole data set, if these are all parts of one; else empty."""
    parts = [store._meta.part for store in stores]
    if any(part is None for part in parts) or any(len(store._meta.segments) > 1 for store in stores):
        return []
    known = sorted((part["index"], part["of"], part["rows"]) for part in parts if part is not None)
    of, rows = known[0][1:]
    if known != [(i, of, rows) for i in range(of)] or sum(map(len, stores)) != rows:
        return []
    ordered = sorted(stores, key=lambda store: store._meta.part["index"] if store._meta.part else 0)
    queues = [store._meta.chunks() for store in ordered]
    return [
        (store, np.arange(*queue[turn]))
        for turn in range(len(queues[0]))
        for store, queue in zip(ordered, queues, strict=True)
        if turn < len(queue)
    ]


def _one_after_the_other(stores: Iterable[ImportanceStore]) -> list[tuple[ImportanceStore, np.ndarray]]:
    seen: set[tuple[int, int]] = set()
    pieces = []
    for store in stores:
        keys = list(zip(store.hashes.tolist(), store.labels.tolist(), strict=True))
        rows = np.array([row for row, key in enumerate(keys) if key not in seen], np.int64)
        seen.update(keys)
        size = store._meta.chunk
        pieces += [(store, rows[a : a + size]) for a in range(0, len(rows), size)]
    return pieces

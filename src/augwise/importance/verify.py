"""Whether a store is whole, and whether it belongs to a data set: every row is looked at. Reads, writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .attached import match
from .rows import Rows
from .store import ImportanceStore
from .store_files import DONE, PENDING

_BLOCK = 1024


class Verdict(NamedTuple):
    """What is wrong with a store, and what is worth knowing, one sentence each."""

    problems: list[str]
    notes: list[str]


def verify_store(path: str | Path, source: Any = None, progress: bool = False) -> Verdict:
    """Look at every row of a store, and at every image of the data set it is said to belong to.

    source: a `Source` or any map-style data set; None looks at the store alone.
    Problems: files that do not fit together, impossible values, rows still to be done, maps that contradict their
    scale, images without a map, images whose label is another one. Notes: values left out on export, rows of other
    images, empty maps.
    """
    try:
        store = ImportanceStore(path, allow_partial=True)
    except UserError as error:
        return Verdict([str(error)], [])
    problems, notes = _alone(store, progress)
    if source is not None:
        more, further = _with(store, Rows(source), progress)
        problems, notes = problems + more, notes + further
    return Verdict(problems, notes)


def contradictions(maps: np.ndarray, scale: np.ndarray, status: np.ndarray) -> np.ndarray:
    """(n,) bool of rows that are done, where the map (n, H, W) has importance and the scale (n,) says none, or back."""
    return ((maps.max((1, 2)) > 0) != (scale > 0)) & (status != PENDING)


def _alone(store: ImportanceStore, progress: bool) -> tuple[list[str], list[str]]:
    problems, notes, rows = [], [], len(store)
    pending = store.status == PENDING
    if pending.any():
        problems.append(f"{pending.sum()} of {rows} rows are still to be done ({_first(pending)}): run estimate again")
    elif not store.meta["complete"]:
        problems.append("it was never finished, though all rows are done: run the same augwise estimate again")
    contrary, empty = np.zeros(rows, bool), np.zeros(rows, bool)
    for start in tqdm(range(0, rows, _BLOCK), "looking at maps", delay=2, leave=False, disable=not progress):
        part = slice(start, start + _BLOCK)
        maps, status = store.maps[part], store.status[part]
        contrary[part] = contradictions(maps, store.scale[part], status)
        empty[part] = (status == DONE) & ~maps.any((1, 2))
    if contrary.any():
        problems.append(
            f"{contrary.sum()} maps contradict their scale ({_first(contrary)}): files of two stores, or damage; "
            "compute it again"
        )
    if (store.labels < 0).any():
        problems.append(f"{(store.labels < 0).sum()} labels are below 0 ({_first(store.labels < 0)}): it is damaged")
    if empty.any():
        notes.append(f"{empty.sum()} maps are empty, though they did not fail ({_first(empty)})")
    if store.meta["top"] is not None:
        notes.append(f"an export left only the top {store.meta['top']:g} of each map's cells; all others read as zero")
    return problems, notes


def _with(store: ImportanceStore, rows: Rows, progress: bool) -> tuple[list[str], list[str]]:
    problems, notes = [], []
    hashes, labels = rows.hashes(progress), rows.labels(progress)
    found = match(store.hashes, store.labels, hashes, labels)
    missing = found < 0
    if missing.all():
        return [f"it belongs to other data ({store.meta['data']}): none of the {len(rows)} images of {rows.name}"], []
    if missing.any():
        problems.append(
            f"{missing.sum()} of the {len(rows)} images of {rows.name} have no map ({_first(missing, 'image')}): run "
            "the same augwise estimate on this data set"
        )
    other = ~missing & (store.labels[found] != labels)
    if other.any():
        at = int(other.argmax())
        problems.append(
            f"{other.sum()} images of {rows.name} have another label than in the store (image {at}: {labels[at]}, "
            f"in row {found[at]}: {store.labels[found[at]]}); maps explain the store's"
        )
    foreign = ~np.isin(store.hashes, hashes)
    if foreign.any():
        notes.append(f"{foreign.sum()} of {len(store)} rows are of images that {rows.name} does not have")
    shape = tuple(rows[0][0].shape)
    if store.meta["image"] not in (None, shape):
        notes.append(f"the maps were computed from images of {store.meta['image']}, these are {shape}")
    return problems, notes


def _first(wrong: np.ndarray, what: str = "row") -> str:
    return f"first: {what} {int(wrong.argmax())}"

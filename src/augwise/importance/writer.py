"""The one way a store is begun, gone on with, grown and finished.

A store is only ever gone on with if it would have become the same: same method and arguments, model, seed, chunk and
image size, and images that it knows. Data are on disk before the status says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import store_files as files
from .store import pack
from .store_files import DONE, FAILED, META, PENDING, Meta

_DECIDES = {
    "method": "method", "model": "model", "seed": "seed", "chunk": "chunk_size",
    "image": "image size", "height": "map height", "width": "map width",
}  # fmt: skip


def begin(folder: Path, wanted: Meta, hashes: np.ndarray, labels: np.ndarray) -> None:
    """Create the store, or make an existing one ready to go on: checked, repaired, grown by what is new.

    wanted: what the store shall be, with one segment for all rows of the data (hashes and labels (N,)).
    """
    if not (folder / META).exists():
        _create(folder, wanted, hashes, labels)
        return
    meta = files.read_meta(folder)
    check_same(folder, meta, wanted)
    files.repair(folder, meta)
    arrays = files.open_arrays(folder, meta)
    new = new_rows(arrays["hashes"], arrays["labels"], hashes, labels)
    check_known(folder, meta, arrays, new, hashes, labels)
    if len(new):
        meta = files.grown(meta, len(new))
        files.reserve(folder, meta)
        _write_keys(folder, meta, len(arrays["hashes"]), hashes[new], labels[new])
        files.write_meta(folder, meta)
        files.write_headers(folder, meta)
    if not meta.complete and wanted.environments[0] not in meta.environments:
        meta = replace(meta, environments=(*meta.environments, *wanted.environments))
        files.write_meta(folder, meta)


def _create(folder: Path, meta: Meta, hashes: np.ndarray, labels: np.ndarray) -> None:
    check_free(folder, meta)
    files.reserve(folder, meta)
    files.write_headers(folder, meta)
    _write_keys(folder, meta, 0, hashes, labels)
    files.write_meta(folder, meta)


def _write_keys(folder: Path, meta: Meta, start: int, hashes: np.ndarray, labels: np.ndarray) -> None:
    files.write_rows(folder, "hashes.npy", start, hashes.astype("<u8"))
    files.write_rows(folder, "labels.npy", start, labels.astype("<i8"))
    files.write_rows(folder, "status.npy", start, np.full(meta.rows - start, PENDING, np.uint8))


def check_free(folder: Path, meta: Meta) -> None:
    """Refuse a folder that holds something other than a store that was never begun."""
    ours = {*meta.arrays(), files.LOCK, f"{META}.part"}
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give the name of a folder for the store")
    foreign = sorted({entry.name for entry in folder.iterdir()} - ours) if folder.is_dir() else []
    if foreign:
        raise UserError(
            f"{folder} is not an importance store and not empty (it holds {foreign[0]!r}): choose another folder"
        )


def check_same(folder: Path, old: Meta, new: Meta) -> None:
    """`UserError` that names everything in which the store differs from what is asked for."""
    differs = differences(old, new)
    if differs:
        changes = "; ".join(f"{what} was {was}, now {now}" for what, was, now in differs)
        raise UserError(f"{folder} was begun otherwise: {changes}. Use the same settings to go on, or another folder")


def differences(old: Meta, new: Meta) -> list[tuple[str, str, str]]:
    """(what, old value, new value) of everything that decides what the maps are."""
    pairs = [(word, getattr(old, key), getattr(new, key)) for key, word in _DECIDES.items()]
    if old.method == new.method:
        names = sorted({*old.arguments, *new.arguments})
        pairs += [(name, old.arguments.get(name, "absent"), new.arguments.get(name, "absent")) for name in names]
    pairs.append(("part", _part(old), _part(new)))
    return [(what, repr(a), repr(b)) for what, a, b in pairs if a != b]


def _part(meta: Meta) -> str:
    return "the whole" if meta.part is None else f"{meta.part['index']} of {meta.part['of']}"


def new_rows(have: np.ndarray, have_labels: np.ndarray, hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rows of the data whose (hash, label) the store does not have, (n,) int64."""
    known = set(zip(have.tolist(), have_labels.tolist(), strict=True))
    keys = zip(hashes.tolist(), labels.tolist(), strict=True)
    return np.array([row for row, key in enumerate(keys) if key not in known], np.int64)


def check_known(
    folder: Path, meta: Meta, arrays: dict[str, np.ndarray], new: np.ndarray, hashes: np.ndarray, labels: np.ndarray
) -> None:
    """Refuse data that shares nothing with the store, or that lacks images whose maps are still to be computed."""
    if len(new) == len(hashes):
        raise UserError(
            f"{folder} belongs to other data ({meta.data}): none of these {len(hashes)} images is in it. Use another "
            "folder for these images"
        )
    pending = np.zeros(meta.rows, bool)
    for _, start, stop in pending_chunks(meta, arrays["status"]):
        pending[start:stop] = True
    lost = len(new_rows(hashes, labels, arrays["hashes"][pending], arrays["labels"][pending]))
    if lost:
        raise UserError(
            f"{folder} is not finished, and {lost} of its {int(pending.sum())} pending images are not in this data "
            f"set: resume it with the data it was begun with ({meta.data}, {meta.rows} images)"
        )


def pending_chunks(meta: Meta, status: np.ndarray) -> list[tuple[int, int, int]]:
    """(number, start, stop) of every chunk that is not whole: it is done again from its first row."""
    return [(i, a, b) for i, (a, b) in enumerate(meta.chunks()) if (status[a:b] == PENDING).any()]


def write_chunk(folder: Path, start: int, importance: np.ndarray, failed: np.ndarray) -> None:
    """Maps (n, H, W) and failures (n,) of one chunk: first the data reach the disk, then the status."""
    packed, scale = pack(importance)
    files.write_rows(folder, "maps.npy", start, packed)
    files.write_rows(folder, "scale.npy", start, scale)
    files.write_rows(folder, "status.npy", start, np.where(failed, FAILED, DONE).astype(np.uint8))


def finish(folder: Path) -> None:
    """Mark the store complete, in one atomic step."""
    meta = files.read_meta(folder)
    if not meta.complete:
        files.write_meta(folder, replace(meta, complete=True))

"""The one way a store is begun, gone on with, grown and finished.

A store is only ever gone on with if it would have become the same: same method and arguments, model, seed, chunk and
image size, and images that it knows. Where images that are still to be done have left the data (a broken file was
repaired or removed), their rows are given to others, see `settled`. Data are on disk before the status says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from . import store_files as files
from .store import pack
from .store_files import DONE, FAILED, META, PENDING, Meta

_DECIDES = {
    "method": "method", "model": "model", "seed": "seed", "chunk": "chunk_size",
    "image": "image size", "height": "map height", "width": "map width", "top": "kept share of each map",
    "continuous": "continuous batching",
}  # fmt: skip


def begin(folder: Path, wanted: Meta, hashes: np.ndarray, labels: np.ndarray) -> str:
    """Create the store, or make an existing one ready to go on: checked, repaired, grown by what is new.

    wanted: what the store shall be, with one segment for all rows of the data (hashes and labels (N,)).
    Returns what the user should know of rows whose images are gone, else "".
    """
    if not (folder / META).exists():
        _create(folder, wanted, hashes, labels)
        return ""
    meta = files.read_meta(folder)
    check_same(folder, meta, wanted)
    files.repair(folder, meta)
    settle = settled(folder, meta, files.open_arrays(folder, meta), hashes, labels)
    if settle.note:
        settle = settle._replace(meta=replace(settle.meta, part=wanted.part))
        _write_settled(folder, meta, settle)
        meta = settle.meta
    if len(settle.new):
        start, meta = meta.rows, files.grown(meta, len(settle.new))
        files.reserve(folder, meta)
        _write_keys(folder, meta, start, hashes[settle.new], labels[settle.new])
        files.write_meta(folder, meta)
        files.write_headers(folder, meta)
    if not meta.complete and wanted.environments[0] not in meta.environments:
        meta = replace(meta, environments=(*meta.environments, *wanted.environments))
        files.write_meta(folder, meta)
    return settle.note


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


class Settled(NamedTuple):
    """How a store goes on with data that may lack images it was begun with.

    meta: with the rows that remain; status, hashes, labels: (N,) of those rows; new: rows of the data that are to be
    added, (n,) int64; note: what was done about rows whose images are gone, "" where there are none.
    """

    meta: Meta
    status: np.ndarray
    hashes: np.ndarray
    labels: np.ndarray
    new: np.ndarray
    note: str


def settled(folder: Path, meta: Meta, arrays: dict[str, np.ndarray], hashes: np.ndarray, labels: np.ndarray) -> Settled:
    """Give the pending rows of images that the data (hashes and labels, (N,)) no longer have to others.

    First the images that the store does not know take their places, in order: a repaired file stands where the broken
    one stood. Then places still free are closed: pending rows behind the last finished chunk move up, so that after an
    interrupted run of one process the store becomes that of a fresh run, byte for byte. A free place in front of
    finished chunks (as several processes leave them) takes the last image of the store instead. Finished maps stay,
    except those of a last chunk that has to give up its images so.
    Raises `UserError` where data and store have no image in common.
    """
    keys, data = _keys(arrays["hashes"], arrays["labels"]), _keys(hashes, labels)
    wanted, known = set(data), set(keys)
    new = [row for row, key in enumerate(data) if key not in known]
    if len(new) == len(data):
        raise UserError(
            f"{folder} belongs to other data ({meta.data}): none of these {len(data)} images is in it. Use another "
            "folder for these images"
        )
    status = np.array(arrays["status"])
    undone = {(a, b) for _, a, b in pending_chunks(meta, status)}
    gone = [row for a, b in sorted(undone) for row in range(a, b) if keys[row] not in wanted]
    if not gone:
        return Settled(meta, status, arrays["hashes"], arrays["labels"], np.array(new, np.int64), "")
    done = [chunk for chunk in meta.chunks() if chunk not in undone]
    places: list[tuple[int, int] | None] = [*keys]
    for i, row in enumerate(gone):
        places[row] = data[new[i]] if i < len(new) else None
    free = gone[len(new) :]
    while free and done and free[0] < done[-1][1]:
        start, stop = done[-1]
        if len(places) == stop:  # nothing pending is left behind it
            undone.add(done.pop())
            for row in range(start, stop):
                if places[row] not in wanted:
                    places[row] = None
                    free.append(row)
        elif (last := places.pop()) is None:
            free.pop()
        else:
            places[free.pop(0)] = last
    stays = np.array([key is not None for key in places] + [False] * (meta.rows - len(places)))
    ends = dict.fromkeys(int(stays[:end].sum()) for end in meta.segments)
    rows = [key for key in places if key is not None]
    again = sum(b - a for a, b in undone) - sum(b - a for _, a, b in pending_chunks(meta, status))
    for start, stop in undone:
        status[start:stop] = PENDING
    taken = min(len(new), len(gone))
    note = (
        f"{folder}: of its images to be done, {len(gone)} are no longer in the data; {taken} of their places go to new "
        f"images, {meta.rows - len(rows)} are taken away" + (f", {again} maps are computed again" if again else "")
    )
    return Settled(
        replace(meta, segments=tuple(end for end in ends if end)),
        status[: len(rows)],
        np.array([key[0] for key in rows], np.uint64),
        np.array([key[1] for key in rows], np.int64),
        np.array(new[taken:], np.int64),
        note,
    )


def _write_settled(folder: Path, old: Meta, settle: Settled) -> None:
    """Killed at any moment, this leaves a store that is settled again: no row says done that may become another's."""
    spare = old.rows - settle.meta.rows
    for name, values, rest in [
        ("status", settle.status, PENDING), ("hashes", settle.hashes, 0), ("labels", settle.labels, -1),
    ]:  # fmt: skip
        files.write_rows(folder, f"{name}.npy", 0, np.concatenate([values, np.full(spare, rest, values.dtype)]))
    files.write_meta(folder, settle.meta)
    files.write_headers(folder, settle.meta)


def _keys(hashes: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(hashes.tolist(), labels.tolist(), strict=True))


def pending_chunks(meta: Meta, status: np.ndarray) -> list[tuple[int, int, int]]:
    """(number, start, stop) of every chunk that is not whole: it is done again from its first row."""
    return [(i, a, b) for i, (a, b) in enumerate(meta.chunks()) if (status[a:b] == PENDING).any()]


def write_chunk(folder: Path, start: int, importance: np.ndarray, failed: np.ndarray) -> None:
    """Maps (n, H, W) and failures (n,) of one chunk: first the data reach the disk, then the status."""
    packed, scale = pack(importance)
    files.write_rows(folder, "maps.npy", start, packed)
    files.write_rows(folder, "scale.npy", start, scale)
    files.write_rows(folder, "status.npy", start, np.where(failed, FAILED, DONE).astype(np.uint8))


def note_batch(folder: Path, environment: dict[str, Any], largest: int) -> None:
    """Record that not more than ``largest`` images were computed together from here on, for lack of memory."""
    meta = files.read_meta(folder)
    files.write_meta(
        folder, replace(meta, environments=(*meta.environments, {**environment, "largest_batch": largest}))
    )


def finish(folder: Path) -> None:
    """Mark the store complete, in one atomic step."""
    meta = files.read_meta(folder)
    if not meta.complete:
        files.write_meta(folder, replace(meta, complete=True))

"""One small file that holds a store, for sharing: its key points and all that is known of them.

A zip archive of plain arrays and one JSON file. A map is kept as one bit per cell (is it a key point?) and one byte per
key point, so a sparse store shrinks about tenfold and comes back byte for byte. Nothing is ever unpickled; a file from
a stranger is checked before space is taken, and is read with bounded memory. Writes the one file, or the one folder,
that it is told.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ..errors import UserError
from ..files import write_atomically
from ..importance_map import ImportanceMap
from . import store_files
from .store import ImportanceStore, new_folder
from .store_files import Meta
from .verify import contradictions

FORMAT = "augwise importance export"
VERSION = 1
META = "meta.json"
_ARRAYS = {"hashes": "<u8", "labels": "<i8", "scale": "<f4", "status": "|u1"}
_POINTS, _VALUES = "points.bits", "values.u8"
_NAMES = [META, *_ARRAYS, _POINTS, _VALUES]
_LONGEST_META = 1 << 22  # bytes
_LARGEST_MAP = 1 << 26  # cells
_BLOCK = 1 << 22  # cells handled at a time
_DEFLATE = 1032  # no deflated stream holds more than so many times its own bytes


class Exported(NamedTuple):
    """What an export file says of itself: the store's meta, its key points in all, the file's bytes."""

    meta: Meta
    key_points: int
    bytes: int


def export_store(
    store: ImportanceStore | str | Path, file: str | Path, top: float | None = None, progress: bool = False
) -> Path:
    """Write a store, finished or not, to one compact file; `import_store` makes a store of it again.

    store: an opened store or its folder. file: a new file. top: keep only the share ``top`` of each map's cells, those
    of highest importance (see `ImportanceMap.points`), and forget the others; that is meant for dense maps, which
    otherwise hardly shrink, and is recorded in the store's meta. None keeps every value.
    Returns the file's path. Raises `UserError` where the file exists or cannot be written.
    """
    file = Path(file)
    if not isinstance(store, ImportanceStore):
        store = ImportanceStore(store, allow_partial=True)
    if top is not None and not 0 < top <= 1:
        raise UserError(f"top={top} is not a share of a map: give a number above 0 and up to 1, such as 0.1")
    if file.exists():
        raise UserError(f"{file} exists: choose another name, or delete it first")
    if not file.parent.is_dir():
        raise UserError(f"{file.parent} is no folder: create it, or write elsewhere")
    meta = replace(store._meta, top=store._meta.top if top is None else min(top, store._meta.top or 1.0))

    def write(handle: IO[bytes]) -> None:
        with zipfile.ZipFile(handle, "w") as archive:
            content = {"format": FORMAT, "version": VERSION, "store": meta.described()}
            archive.writestr(_member(META), json.dumps(content, indent=1, ensure_ascii=False))
            for name, dtype in _ARRAYS.items():
                archive.writestr(_member(name), np.ascontiguousarray(getattr(store, name), dtype).tobytes())
            for name in (_POINTS, _VALUES):
                bar = tqdm(_blocks(store, top), f"exporting {name}", delay=2, leave=False, disable=not progress)
                with archive.open(_member(name), "w", force_zip64=True) as member:
                    for maps in bar:
                        found = np.packbits(maps > 0, 1) if name == _POINTS else maps[maps > 0]
                        member.write(found.tobytes())

    write_atomically(file, write)
    return file


def import_store(file: str | Path, folder: str | Path, progress: bool = False) -> ImportanceStore:
    """Make a store of an export file, in a new folder that appears all at once: byte for byte the one exported.

    (Of an export with ``top``, the one that is left of it.)
    Raises `UserError` for a file that is damaged, cut off, of another kind or made to do harm, before space is taken
    wherever that can be told so early; then no folder is left.
    """
    file, folder = Path(file), Path(folder)
    with _opened(file) as (archive, meta):
        arrays = {name: _array(archive, name, dtype, meta.rows) for name, dtype in _ARRAYS.items()}
        wrong = store_files.impossible(arrays) or ("labels below 0" if arrays["labels"].min() < 0 else "")
        if wrong:
            raise ValueError(wrong)
        with new_folder(folder, meta, meta.complete) as part:
            for name, values in arrays.items():
                store_files.write_rows(part, f"{name}.npy", 0, values)
            bar = tqdm(total=meta.rows, desc="importing maps", delay=2, leave=False, disable=not progress)
            with bar:
                for start, maps in _maps(archive, meta):
                    rows = slice(start, start + len(maps))
                    lost = contradictions(maps, arrays["scale"][rows], arrays["status"][rows])
                    if lost.any():
                        raise ValueError(f"map and scale of row {start + int(lost.argmax())} do not belong together")
                    store_files.write_rows(part, "maps.npy", start, maps)
                    bar.update(len(maps))
    return ImportanceStore(folder, allow_partial=True)


def look(file: str | Path) -> Exported:
    """What an export file says of itself, after checking everything but the maps."""
    file = Path(file)
    with _opened(file) as (archive, meta):
        return Exported(meta, archive.getinfo(_VALUES).file_size, file.stat().st_size)


def _member(name: str) -> zipfile.ZipInfo:
    """Hashes stay uncompressed: they would not shrink, and so a file has to bring the bytes of every row it claims."""
    info = zipfile.ZipInfo(name)  # dated 1980, so that equal stores give equal files
    info.compress_type = zipfile.ZIP_STORED if name == "hashes" else zipfile.ZIP_DEFLATED
    return info


def _blocks(store: ImportanceStore, top: float | None) -> Iterator[np.ndarray]:
    """(n, H·W) uint8 of all maps, block by block, with zeros where ``top`` leaves a value out."""
    size = max(1, _BLOCK // (store.height * store.width))
    for start in range(0, len(store), size):
        maps = store.maps[start : start + size]
        if top is not None:
            maps = maps * ImportanceMap(torch.from_numpy(np.array(maps))).points(top).numpy()
        yield maps.reshape(len(maps), -1)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Meta]]:
    """The archive and the checked meta of the store in it; whatever is wrong inside the block is told of the file."""
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise UserError(f"{file} {what}: give a file that augwise stores export wrote")
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive, _check(archive, file)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error})") from None
    except (
        zipfile.BadZipFile, zlib.error, ValueError, TypeError, KeyError, EOFError, NotImplementedError, RuntimeError,
        OverflowError, struct.error,
    ) as error:  # fmt: skip
        raise UserError(
            f"{file} is damaged, or no export of an importance store ({error}): ask for a good copy, or for one made "
            "with augwise stores export"
        ) from None


def _check(archive: zipfile.ZipFile, file: Path) -> Meta:
    """The meta of the store, if every member is there with the size that it asks for."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if names != _NAMES:
        raise ValueError(f"it should hold {', '.join(_NAMES)}, but holds {', '.join(names[:9]) or 'nothing'}")
    if sum(member.compress_size for member in members) > file.stat().st_size:
        raise ValueError("its parts overlap")
    for member in members:
        if member.compress_type != _member(member.filename).compress_type or member.flag_bits & 1:
            raise ValueError(f"{member.filename} is compressed or encrypted otherwise than augwise does")
        if member.file_size > _DEFLATE * member.compress_size:
            raise ValueError(f"{member.filename} claims {member.file_size} bytes, which it cannot hold")
    meta = _meta(archive, file)
    cells = meta.height * meta.width
    if cells > _LARGEST_MAP:
        raise ValueError(f"a map of {meta.height}×{meta.width} cells, more than {_LARGEST_MAP}")
    sizes = {name: meta.rows * np.dtype(dtype).itemsize for name, dtype in _ARRAYS.items()}
    sizes[_POINTS] = meta.rows * _width(cells)
    for name, size in sizes.items():
        if archive.getinfo(name).file_size != size:
            raise ValueError(
                f"{name} should have {size} bytes for {meta.rows} maps, but has {archive.getinfo(name).file_size}"
            )
    return meta


def _meta(archive: zipfile.ZipFile, file: Path) -> Meta:
    if archive.getinfo(META).file_size > _LONGEST_META:
        raise ValueError(f"{META} is longer than {_LONGEST_META} bytes")
    content: Any = json.loads(archive.read(META))
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("store"), dict):
        raise ValueError(f"{META} does not describe one")
    if content.get("version") != VERSION:
        raise UserError(
            f"{file} has format {content.get('version')!r}, this augwise reads format {VERSION}: use the version of "
            "augwise that wrote it"
        )
    return store_files.parse_meta(content["store"])


def _width(cells: int) -> int:
    """Bytes of one map's bits."""
    return -(-cells // 8)


def _array(archive: zipfile.ZipFile, name: str, dtype: str, rows: int) -> np.ndarray:
    with archive.open(name) as member:
        return np.frombuffer(_exactly(member, rows * np.dtype(dtype).itemsize, last=True), dtype)


def _maps(archive: zipfile.ZipFile, meta: Meta) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, (n, H, W) uint8) block by block."""
    cells = meta.height * meta.width
    width, size = _width(cells), max(1, _BLOCK // cells)
    with archive.open(_POINTS) as points, archive.open(_VALUES) as values:
        for start in range(0, meta.rows, size):
            n, last = min(size, meta.rows - start), start + size >= meta.rows
            packed = np.frombuffer(_exactly(points, n * width, last), np.uint8).reshape(n, width)
            bits = np.unpackbits(packed, axis=1).astype(bool)
            if bits[:, cells:].any():
                raise ValueError(f"a key point outside of its map, near row {start}")
            bits = bits[:, :cells]
            found = np.frombuffer(_exactly(values, int(bits.sum()), last), np.uint8)
            if not found.all():
                raise ValueError(f"a key point without importance, near row {start}")
            maps = np.zeros(bits.shape, np.uint8)
            maps[bits] = found
            yield start, maps.reshape(n, meta.height, meta.width)


def _exactly(member: IO[bytes], size: int, last: bool) -> bytes:
    """``size`` bytes, and no more behind them if they are the last; reading up to the end checks the checksum."""
    data = member.read(size)
    if len(data) != size or (last and member.read(1)):
        raise ValueError("there are more key points than values, or fewer")
    return data

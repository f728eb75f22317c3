"""The files of a store: names, layout, reserved space, checks against damage, and the writer's lock.

A store is a folder of plain NumPy arrays and one JSON file. The arrays have headers of one fixed length, so that a
grown store keeps its rows where they are. Nothing is ever unpickled. Knows nothing of maps' meaning.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import socket
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import UserError

FORMAT = "augwise importance store"
VERSION = 1
META = "meta.json"
LOCK = "writer.lock"
PENDING, DONE, FAILED = 0, 1, 2
_LATER = ("top", "continuous")  # fields of meta.json that only some stores have
_HEADER = 128  # bytes before the data of each .npy: NumPy pads so that the number of rows can grow within it
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True)
class Meta:
    """What stands in meta.json: all that decides what the maps are, and how far they are."""

    method: str
    arguments: dict[str, Any]
    sparse: bool
    model: str | None
    seed: int
    data: str
    image: tuple[int, ...] | None
    """(C, H, W) of the images that the maps were computed from; None for maps of one's own."""
    height: int
    width: int
    chunk: int
    segments: tuple[int, ...]
    """Where each batch of added rows ends; chunks are cut inside a segment, so growing moves no chunk."""
    part: dict[str, int] | None = None
    """Of a store that is one machine's share: its index, of how many, and the rows of the whole."""
    environments: tuple[dict[str, Any], ...] = field(default=())
    complete: bool = False
    top: float | None = None
    """Of a store that was exported with only the top share of each map's cells: that share; None keeps every value."""
    continuous: dict[str, Any] | None = None
    """Of a store that was computed with continuous batching: when an image counted as converged; None: every image had
    all of its steps."""

    @property
    def rows(self) -> int:
        return self.segments[-1]

    def chunks(self) -> list[tuple[int, int]]:
        """(start, stop) of every chunk, in order."""
        starts = (0, *self.segments[:-1])
        return [
            (at, min(at + self.chunk, stop))
            for start, stop in zip(starts, self.segments, strict=True)
            for at in range(start, stop, self.chunk)
        ]

    def arrays(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Type and shape of every array file."""
        n = self.rows
        return {
            "maps.npy": (np.dtype("|u1"), (n, self.height, self.width)),
            "scale.npy": (np.dtype("<f4"), (n,)),
            "status.npy": (np.dtype("|u1"), (n,)),
            "hashes.npy": (np.dtype("<u8"), (n,)),
            "labels.npy": (np.dtype("<i8"), (n,)),
        }

    def described(self) -> dict[str, Any]:
        """All fields as JSON has them; ``top`` and ``continuous`` only where they apply."""
        content = asdict(self)
        for name in _LATER:
            if content[name] is None:
                del content[name]
        return content

    def bytes(self) -> int:
        """Size of all arrays on disk."""
        return sum(_size(dtype, shape) for dtype, shape in self.arrays().values())


def _size(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return _HEADER + dtype.itemsize * int(np.prod(shape, dtype=np.int64))


def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    if file.tell() != _HEADER:
        raise ValueError(f"a header of {file.tell()} bytes instead of {_HEADER}: the shape {shape} is out of range")
    return file.getvalue()


def read_meta(folder: Path) -> Meta:
    """The checked content of meta.json; `UserError` where this is no store, or a damaged or newer one."""
    path = folder / META
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "is not an importance store (it has no meta.json)" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {what}: compute one with augwise estimate") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): the store is damaged, compute it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} does not describe an importance store: give the folder that augwise estimate wrote")
    if content.get("version") != VERSION:
        raise UserError(
            f"{folder} has store format {content.get('version')!r}, this augwise reads format {VERSION}: "
            "use the version of augwise that wrote it"
        )
    try:
        return parse_meta(content)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}): compute the store again") from None


def parse_meta(content: dict[str, Any]) -> Meta:
    """What meta.json says, checked; `KeyError`, `TypeError` or `ValueError` where that cannot be."""
    kinds = {"method": str, "arguments": dict, "seed": int, "data": str, "height": int, "width": int, "chunk": int}
    for name, kind in {**kinds, "sparse": bool, "complete": bool, "segments": list, "environments": list}.items():
        if type(content[name]) is not kind:
            raise TypeError(f"{name} is {content[name]!r}")
    segments = tuple(int(stop) for stop in content["segments"])
    growing = all(a < b for a, b in zip((0, *segments), segments, strict=False))
    if not segments or not growing or min(content["height"], content["width"], content["chunk"]) < 1:
        raise ValueError("sizes do not fit together")
    image = content["image"] and tuple(int(side) for side in content["image"])
    part = content["part"]
    whole = isinstance(part, dict) and sorted(part) == ["index", "of", "rows"]
    if part is not None and not (whole and all(type(value) is int for value in part.values())):
        raise TypeError(f"part is {part!r}")
    if not isinstance(content["model"], str | None):
        raise TypeError(f"model is {content['model']!r}")
    top = content.get("top")
    if top is not None and not (isinstance(top, float | int) and 0 < top <= 1):
        raise ValueError(f"top is {top!r}")
    continuous = content.get("continuous")
    if not isinstance(continuous, dict | None):
        raise TypeError(f"continuous is {continuous!r}")
    fields = {name: content[name] for name in Meta.__dataclass_fields__ if name not in _LATER}
    known = {"segments": segments, "image": image, "environments": tuple(content["environments"])}
    return Meta(**fields | known, top=top, continuous=continuous)


def write_meta(folder: Path, meta: Meta) -> None:
    """Write meta.json in one atomic step that survives a power cut."""
    content = {"format": FORMAT, "version": VERSION, **meta.described()}
    temporary = folder / f"{META}.part"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / META)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_arrays(folder: Path, meta: Meta) -> dict[str, np.ndarray]:
    """Read-only memory maps of every array, after checking headers and sizes against meta.json."""
    return {
        name.removesuffix(".npy"): _open_array(folder / name, dtype, shape)
        for name, (dtype, shape) in meta.arrays().items()
    }


def impossible(arrays: dict[str, np.ndarray]) -> str:
    """What no writer writes into status and scale, with the first row that has it; "" where all is well."""
    status, scale = arrays["status"], arrays["scale"]
    for name, wrong in (("status", status > FAILED), ("scale", ~(np.isfinite(scale) & (scale >= 0)))):
        if wrong.any():
            row = int(wrong.argmax())
            return f"{name} is {arrays[name][row]} in row {row}, {int(wrong.sum())} such rows"
    return ""


def _look(path: Path) -> tuple[tuple[tuple[int, ...], bool, np.dtype], int]:
    """What the header of an array says, and the size of its file."""
    try:
        with path.open("rb") as file:
            return _read_header(file.read(_HEADER)), os.fstat(file.fileno()).st_size
    except (OSError, ValueError, TypeError, SyntaxError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}): the store is damaged, compute it again") from None


def _open_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    found, size = _look(path)
    if found != (shape, False, dtype) or size != _size(dtype, shape):
        raise UserError(
            f"{path} should hold {dtype} {shape} in {_size(dtype, shape)} bytes, but says {found[2]} {found[0]} in "
            f"{size} bytes: the store is damaged, or was stopped while it grew. Run augwise estimate on it again; "
            "if that refuses too, delete the folder and compute it again"
        )
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=_HEADER, shape=shape))


def _read_header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    file = io.BytesIO(head)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array of .npy version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or file.tell() != _HEADER:
        raise ValueError(f"unexpected type {dtype} or header length {file.tell()}")
    return shape, fortran, dtype


def reserve(folder: Path, meta: Meta) -> None:
    """Create or lengthen the array files with zeros so that no later write can lack space.

    Raises `UserError` naming the folder and the bytes needed, after giving back what was taken.
    """
    make_folder(folder, meta)
    before: dict[Path, int] = {}
    try:
        for name, (dtype, shape) in meta.arrays().items():
            path = folder / name
            before[path] = path.stat().st_size if path.exists() else -1
            _reserve_file(path, _size(dtype, shape))
    except OSError as error:
        _give_back(before)
        raise _cannot_write(folder, meta, error) from None


def make_folder(folder: Path, meta: Meta) -> None:
    """Create the store's folder and those above it; `UserError` where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, meta, error) from None


def _cannot_write(folder: Path, meta: Meta, error: OSError) -> UserError:
    return UserError(
        f"{folder} cannot be written: {meta.bytes()} bytes are needed for {meta.rows} maps of "
        f"{meta.height}×{meta.width} ({error.strerror or error}). Choose a folder with enough space and write "
        "permission"
    )


def _give_back(before: dict[Path, int]) -> None:
    for path, size in before.items():
        with contextlib.suppress(OSError):
            if size < 0:
                path.unlink()
            else:
                os.truncate(path, size)


def _reserve_file(path: Path, size: int) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        have = os.fstat(handle).st_size
        if have >= size:
            return
        try:
            os.posix_fallocate(handle, have, size - have)
        except (OSError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            _write_zeros(handle, have, size)
    finally:
        os.close(handle)


def _write_zeros(handle: int, start: int, stop: int) -> None:
    block = bytes(1 << 20)
    while start < stop:
        start += os.pwrite(handle, block[: stop - start], start)


def write_headers(folder: Path, meta: Meta) -> None:
    """Put the header of the right shape before every array and cut what a stopped growth left behind."""
    for name, (dtype, shape) in meta.arrays().items():
        with (folder / name).open("r+b") as file:
            file.write(_header(dtype, shape))
            file.truncate(_size(dtype, shape))
            file.flush()
            os.fsync(file.fileno())


def repair(folder: Path, meta: Meta) -> None:
    """Undo what a growth left behind that was killed half-way; `UserError` if anything else is wrong."""
    sound = True
    for name, (dtype, shape) in meta.arrays().items():
        path, size = folder / name, _size(dtype, shape)
        found, have = _look(path)
        if found[1:] != (False, dtype) or found[0][1:] != shape[1:] or have < size:
            _open_array(path, dtype, shape)  # raises with the reason
        sound = sound and found[0] == shape and have == size
    if not sound:
        write_headers(folder, meta)


def write_rows(folder: Path, name: str, start: int, values: np.ndarray) -> None:
    """Write rows into one array file and wait until they are on disk.

    Written, not memory-mapped: on a full disk a write is an error with a message, a store to a mapped page is a
    killed process.
    """
    data = np.ascontiguousarray(values).data.cast("B")
    offset = _HEADER + start * (data.nbytes // max(len(values), 1))
    try:
        handle = os.open(folder / name, os.O_RDWR)
        try:
            at = 0
            while at < data.nbytes:
                at += os.pwrite(handle, data[at:], offset + at)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(
            f"{folder / name} could not be written ({error.strerror or error}): what was computed before is safe; "
            "mend that and run the same again to go on"
        ) from None


class Lock:
    """The right to write a store, held by one process (or one group of processes) of this machine at a time.

    Released by the system when the holder dies, so a killed run never blocks the next.
    """

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.path, self.meta = folder / LOCK, meta
        self._file = None

    def __enter__(self) -> Lock:
        import fcntl  # only writers need it, and Windows lacks it

        while self._file is None:
            try:
                file = self.path.open("a+", encoding="utf-8")
            except OSError as error:
                raise _cannot_write(self.path.parent, self.meta, error) from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                raise UserError(
                    f"{self.path.parent} is being written by {holder}: wait until it has finished, or stop it"
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    self._file = file
            if self._file is None:  # the holder finished between our two steps and took its file away
                file.close()
        try:
            self._file.truncate(0)
            os.write(self._file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            self.__exit__()
            raise _cannot_write(self.path.parent, self.meta, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # only goes where nothing could be written


def environment(device: str) -> dict[str, Any]:
    """The versions and the hardware that maps depend on in their last digits."""
    versions = {"augwise": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    return {**versions, "threads": torch.get_num_threads(), "device": device}


def grown(meta: Meta, rows: int) -> Meta:
    """The same store with ``rows`` new rows at the end, to be computed."""
    return replace(meta, segments=(*meta.segments, meta.rows + rows), complete=False)

"""The importance maps of one data set: on disk as memory-mapped arrays, or in memory, read at memory speed.

A map is kept as 8 bits per pixel and one scale per image, map = uint8 · scale with scale = max/255, so the error is at
most half a scale step, and what was not zero stays above zero. `augwise.estimate` writes stores; this file reads them,
and makes them from maps of one's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from . import store_files as files
from .attached import AttachedMaps, attach
from .rows import Rows
from .store_files import DONE, FAILED, PENDING, Meta

__all__ = ["AttachedMaps", "ImportanceStore", "pack"]

_BLOCK = 1024  # maps handled at a time where all are gone through


def pack(importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) maps ≥ 0 as (N, H, W) uint8 and (N,) float32 scale = max/255; non-zero values stay at least 1."""
    values = importance.astype(np.float64)
    peak = values.max((1, 2))
    scale = (peak / 255).astype(np.float32)
    scale = np.where((peak > 0) & (scale == 0), np.float32(np.finfo(np.float32).smallest_subnormal), scale)
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)[:, None, None]
    quantised = np.clip(np.rint(values / divisor), values > 0, 255)
    return quantised.astype(np.uint8), scale


class ImportanceStore:
    """The maps of one data set, opened for reading.

    path: the folder that `augwise.estimate` wrote.
    allow_partial: open it even if rows are still pending; their maps read as zero.

    ``maps`` (N, H, W) uint8, ``scale`` (N,) float32, ``status`` (N,) uint8 (0 pending, 1 done, 2 failed attack),
    ``hashes`` (N,) uint64, ``labels`` (N,) int64, ``meta`` what meta.json says. Use `attach` to get them in the order
    of a data set. Raises `UserError` for a folder that is no store, a damaged one or an unfinished one.
    """

    def __init__(self, path: str | Path, allow_partial: bool = False) -> None:
        folder = Path(path)
        meta = files.read_meta(folder)
        self._set(meta, files.open_arrays(folder, meta), folder.absolute())
        done = int((self.status != PENDING).sum())
        if not allow_partial and (not meta.complete or done < len(self)):
            raise UserError(
                f"{path} is not finished: {done} of {len(self)} rows are done. Run the same augwise estimate command "
                f"(or aw.estimate call) on {path} again to resume it, or, in Python, open what is there with "
                "allow_partial=True"
            )

    def _set(self, meta: Meta, arrays: dict[str, np.ndarray], path: Path | None) -> None:
        self.path = path
        self._meta = meta
        self.maps, self.scale = arrays["maps"], arrays["scale"]
        self.status, self.hashes, self.labels = arrays["status"], arrays["hashes"], arrays["labels"]
        wrong = files.impossible(arrays)
        if wrong:
            raise UserError(f"{self.name} holds values that no store has ({wrong}): it is damaged, compute it again")

    @classmethod
    def from_maps(
        cls,
        source: Any,
        maps: np.ndarray | Tensor | Callable[[int], np.ndarray | Tensor],
        path: str | Path | None = None,
    ) -> ImportanceStore:
        """A store of maps of one's own: boxes, segmentations, class activation maps.

        source: the data set the maps belong to, in the same order.
        maps: (N, H, W), finite and ≥ 0, on any grid H×W (stretched over the image when read), or a function from a
            row's index to its (H, W) map.
        path: a folder to write; None keeps the store in memory.
        """
        rows = Rows(source)
        first = _own_map(maps, 0)
        if not callable(maps) and len(maps) != len(rows):
            raise UserError(f"there are {len(maps)} maps for {len(rows)} images of {rows.name}: give one per image")
        meta = Meta(
            method="own maps", arguments={}, sparse=False, model=None, seed=0, data=rows.name, image=None,
            height=first.shape[0], width=first.shape[1], chunk=_BLOCK, segments=(len(rows),),
            environments=(files.environment("cpu"),),
        )  # fmt: skip
        constant = {"hashes": rows.hashes(True), "labels": rows.labels(True), "status": np.full(len(rows), DONE, "u1")}
        blocks = (
            pack(np.stack([_checked(_own_map(maps, i), i, first.shape) for i in range(a, b)])) for a, b in meta.chunks()
        )
        if path is None:
            packed, scale = zip(*blocks, strict=True)
            arrays = {"maps": np.concatenate(packed), "scale": np.concatenate(scale), **constant}
            store = cls.__new__(cls)
            store._set(replace(meta, complete=True), arrays, None)
            return store
        with new_folder(path, meta) as folder:
            for name, values in constant.items():
                files.write_rows(folder, f"{name}.npy", 0, values)
            for (start, _), (packed, scale) in zip(meta.chunks(), blocks, strict=True):
                files.write_rows(folder, "maps.npy", start, packed)
                files.write_rows(folder, "scale.npy", start, scale)
        return cls(path)

    def __len__(self) -> int:
        return len(self.status)

    def __repr__(self) -> str:
        return f"ImportanceStore({self.name}: {len(self)} maps of {self.height}×{self.width}, {self._meta.method})"

    @property
    def name(self) -> str:
        """The folder, for messages."""
        return "the store in memory" if self.path is None else str(self.path)

    @property
    def height(self) -> int:
        """Rows of a map's grid."""
        return self._meta.height

    @property
    def width(self) -> int:
        """Columns of a map's grid."""
        return self._meta.width

    @property
    def meta(self) -> dict[str, Any]:
        """Method and all its arguments, model fingerprint, seed, data name, versions, as in meta.json."""
        return dict(self._meta.__dict__)

    @property
    def failed(self) -> np.ndarray:
        """(N,) bool: rows whose attack did not succeed."""
        return self.status == FAILED

    def attach(self, source: Any, verify: bool = False) -> AttachedMaps:
        """The maps in the order of a data set: the whole of it, a subset, a fold.

        Rows are found by the hash of the image's bytes, and by the label where several rows share a hash. If store
        and data set have the same length and 256 hashes drawn over all rows agree, the order is taken to be the
        same; verify compares every hash.
        Raises `UserError` if the store belongs to other data, or lacks some of these images (saying how many).
        """
        return attach(self, source, verify)

    def summary(self) -> dict[str, Any]:
        """Rows, done, failed, and of sparse methods success_rate (share) and mean_key_points (non-zero pixels)."""
        done = int((self.status != PENDING).sum())
        failed = int(self.failed.sum())
        result: dict[str, Any] = {"rows": len(self), "done": done, "failed": failed, "method": self._meta.method}
        if self._meta.sparse and done:
            points = sum(
                int(np.count_nonzero(self.maps[a : a + _BLOCK][self.status[a : a + _BLOCK] != PENDING]))
                for a in range(0, len(self), _BLOCK)
            )
            result |= {"success_rate": 1 - failed / done, "mean_key_points": points / done}
        return result

    def __getstate__(self) -> dict[str, Any]:
        """Workers of a loader open the files themselves; pickling a memory map would copy all of it."""
        return {"path": self.path} if self.path is not None else self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.get("path") is None:
            self.__dict__.update(state)
        else:
            self.__init__(state["path"], allow_partial=True)


class new_folder:
    """``with new_folder(path, meta) as folder:`` — a store that appears under its name all at once.

    Inside the block the reserved arrays lie in a folder beside it; an error leaves nothing behind. complete: whether
    all of its maps will be there.
    """

    def __init__(self, path: str | Path, meta: Meta, complete: bool = True) -> None:
        self.path, self.meta = Path(path), replace(meta, complete=complete)
        self.folder = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
        if self.path.exists():
            raise UserError(f"{self.path} exists: choose another folder, or delete it first")
        try:
            files.reserve(self.folder, self.meta)
            files.write_headers(self.folder, self.meta)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self.folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            files.write_meta(self.folder, self.meta)
            self.folder.rename(self.path)
            files.sync_folder(self.path.parent)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def _own_map(maps: Any, row: int) -> np.ndarray:
    value = maps(row) if callable(maps) else maps[row]
    if isinstance(value, Tensor):
        value = value.detach().cpu().as_subclass(torch.Tensor).float().numpy()
    value = np.asarray(value)
    if value.ndim != 2 or value.size == 0:
        raise UserError(f"the map of row {row} has shape {value.shape}: give one (H, W) map per image")
    return value


def _checked(value: np.ndarray, row: int, shape: tuple[int, ...]) -> np.ndarray:
    if value.shape != shape:
        raise UserError(f"the map of row {row} has shape {value.shape}, the first {shape}: give all the same grid")
    value = value.astype(np.float32)
    if not (np.isfinite(value).all() and value.min() >= 0):
        raise UserError(f"the map of row {row} has values from {value.min()} to {value.max()}: give finite ones, ≥ 0")
    return value

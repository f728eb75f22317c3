"""Which rows of a data set are to be used, as one NumPy file that knows which data set it belongs to.

Rows are those of the split as it is opened, before it is resized, limited or split. Touches that one file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError
from .files import DAMAGED, write_atomically

_FORMAT = 1
_LOOKED_AT = 64  # images whose content is compared when a file is used
_PARTS = ("format", "rows", "hashes", "images", "labels", "scores", "about")


@dataclass(frozen=True, eq=False)
class SubsetFile:
    """Some rows of one data set, and its fingerprint: how many images, which labels, and what these rows look like."""

    rows: np.ndarray
    """(n,) int64, ascending, each once."""
    hashes: np.ndarray
    """(n,) uint64, what the data set says of the content of these images."""
    images: int
    """How many rows the whole data set has."""
    labels: int
    """64-bit hash of all its labels."""
    scores: np.ndarray | None = None
    """(images,) float64 that the rows were chosen by, NaN where none was measured; None where there are none."""
    about: dict[str, Any] = field(default_factory=dict)
    """How they were chosen, as JSON has it."""

    def __len__(self) -> int:
        return len(self.rows)

    def save(self, path: str | Path) -> Path:
        """Write the file whole or not at all; its folder is made."""
        path = Path(path)
        arrays = {
            "format": np.int64(_FORMAT),
            "rows": self.rows.astype(np.int64),
            "hashes": self.hashes.astype(np.uint64),
            "images": np.int64(self.images),
            "labels": np.uint64(self.labels),
            "scores": np.zeros(0) if self.scores is None else self.scores.astype(np.float64),
            "about": np.array(json.dumps(self.about)),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(buffer.getvalue()))
        return path

    @classmethod
    def load(cls, path: str | Path) -> SubsetFile:
        """Read a file, without unpickling anything; `UserError` for what is missing, damaged or no such file."""
        path, cure = Path(path), "give a file that augwise select (or aw.select(..., out=)) wrote"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                parts = {name: found[name] for name in _PARTS}
            if int(parts["format"]) != _FORMAT:
                raise UserError(f"{path} has format {parts['format']}, this version reads {_FORMAT}: {cure}")
            rows, images, scores = parts["rows"], int(parts["images"]), parts["scores"]
            sound = len(rows) == len(parts["hashes"]) and len(scores) in (0, images)
            if not sound or rows.ndim != 1 or not _ascending(rows, images):
                raise ValueError("its parts do not belong together")
            return cls(
                rows,
                parts["hashes"],
                images,
                int(parts["labels"]),
                scores if len(scores) else None,
                json.loads(str(parts["about"])),
            )
        except UserError:
            raise
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: {cure}") from None
        except (*DAMAGED, AttributeError, TypeError) as error:
            raise UserError(f"{path} is damaged or no subset file ({error}): {cure}") from None

    def check(self, name: str, labels: np.ndarray, hash_of: Callable[[int], int], where: str | Path = "") -> None:
        """`UserError` unless these are rows of the data set called ``name``.

        labels: (N,) of all its rows; hash_of: what it says of one row's content. All labels are compared, and the
        content of up to 64 of the rows, spread over them.
        """
        file = str(where) or "the subset"
        cure = "give the data, split and --broken that it was chosen from, or choose anew with augwise select"
        if len(labels) != self.images:
            raise UserError(
                f"{file} was chosen from {self.images} images, {name} has {len(labels)}: it is of other data; {cure}"
            )
        if labels_hash(labels) != self.labels:
            raise UserError(f"{file} was chosen from data with other labels than {name}: {cure}")
        spread = np.linspace(0, len(self.rows) - 1, min(_LOOKED_AT, len(self.rows))).astype(np.int64)
        for place in dict.fromkeys(spread.tolist()):
            row = int(self.rows[place])
            if hash_of(row) != int(self.hashes[place]):
                raise UserError(f"image {row} of {name} is not the one that {file} was chosen from: {cure}")


def labels_hash(labels: np.ndarray) -> int:
    """64-bit hash of all labels in their order."""
    digest = hashlib.blake2b(np.ascontiguousarray(labels, dtype="<i8").tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def origin(source: Any) -> tuple[Any, np.ndarray | None]:
    """The data set behind views of it, and which of its rows the view shows (None: all, in their order).

    Looks through what has a ``source`` (rows of it where it has ``rows``, as subsets do; resized ones show all) and
    through torch's ``Subset``, as long as behind them is a data set that knows its fingerprints.
    """
    rows: np.ndarray | None = None
    while True:
        inner, own = getattr(source, "source", None), getattr(source, "rows", None)
        if not hasattr(source, "fingerprint") and hasattr(source, "indices"):
            inner, own = getattr(source, "dataset", None), np.asarray(source.indices, dtype=np.int64)
        if not (hasattr(inner, "fingerprint") and hasattr(inner, "__len__")):
            return source, rows
        if own is not None:
            rows = own if rows is None else own[rows]
        source = inner


def _ascending(rows: np.ndarray, images: int) -> bool:
    inside = rows.dtype.kind in "iu" and len(rows) > 0 and rows[0] >= 0 and rows[-1] < images
    return bool(inside and (np.diff(rows) > 0).all())

"""Data sets in one NumPy file, ``npz:FILE``. Reads that file alone, and never unpickles anything."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from .arrays import ArraySource, channels_first

LAYOUT = (
    "an augwise .npz holds train_images, train_labels, test_images, test_labels and, if there are any, val_images, "
    "val_labels and class_names"
)


def open_npz(path: str | Path, split: str) -> ArraySource:
    """One split of a NumPy archive.

    Keys: ``{split}_images`` uint8 (N, H, W, C) or (N, H, W) for grey, ``{split}_labels`` integers (N,) or (N, 1), and
    optionally ``class_names`` (strings; without them classes are called by their number, as many as the largest
    label of any split asks for). MedMNIST's files have this layout. Where "test" is asked for and missing, "val"
    is taken.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"npz:{path} is not a file: give the path of a NumPy archive ({LAYOUT})")
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(f"{path} is one array, not an archive: save it with np.savez ({LAYOUT})")
            return _read(archive, path, split)
    except UserError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise UserError(f"{path} cannot be read as a NumPy archive without pickled objects: {error}") from error


def _read(archive: np.lib.npyio.NpzFile, path: Path, split: str) -> ArraySource:
    if split == "test" and "test_images" not in archive.files and "val_images" in archive.files:
        split = "val"
    for key in (f"{split}_images", f"{split}_labels"):
        if key not in archive.files:
            cure = "; or measure on a part of the training images (--val-share 0.1)" if split == "test" else ""
            raise UserError(f"{path} has no {key!r}, only {', '.join(sorted(archive.files))}: {LAYOUT}{cure}")
    labels = archive[f"{split}_labels"]
    images = channels_first(archive[f"{split}_images"], f"{split}_images of {path}")
    return ArraySource(images, labels, _class_names(archive), path.stem)


def _class_names(archive: np.lib.npyio.NpzFile) -> list[str]:
    if "class_names" in archive.files:
        names = archive["class_names"].ravel()
        return [n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist()]
    splits = [archive[key] for key in archive.files if key.endswith("_labels")]
    largest = max((int(labels.max()) for labels in splits if labels.size and labels.dtype.kind in "iu"), default=-1)
    return [str(c) for c in range(largest + 1)]

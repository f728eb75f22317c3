"""Data sets of image files, ``folder:DIR``, in the layout split/class/files. Reads below that folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final, get_args

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..fingerprints import hash_bytes
from .image_files import CURE, Broken, LeftOut, decode, header_size, unusable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test", "val", "validation", "valid")}
"""Folders that may hold a split, in the order in which they are looked for."""


@final
class FolderSource:
    """Image files of any size, decoded to RGB when they are asked for (see `decode` for all kinds of files).

    A fingerprint is the hash of the file's bytes, so nothing is decoded for it. left_out: files that are not among
    these because they cannot be decoded.
    """

    flip = True

    def __init__(
        self,
        files: list[Path],
        labels: list[int],
        class_names: list[str],
        name: str,
        left_out: Sequence[LeftOut] = (),
    ) -> None:
        self.files = files
        self.labels = np.array(labels, dtype=np.int64)
        self.class_names = class_names
        self.name = name
        self.left_out = list(left_out)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return decode(self.files[index]), int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        """Hash of the bytes of file ``index``, an int in [0, 2⁶⁴)."""
        try:
            return hash_bytes(self.files[index].read_bytes())
        except OSError as error:
            raise UserError(f"image {index}, {self.files[index]}, cannot be read ({error}): {CURE}") from error

    def image_size(self, index: int) -> tuple[int, int]:
        """Height and width of image ``index`` from its file's header, without decoding it."""
        return header_size(self.files[index])


def open_folder(path: str | Path, split: str, broken: Broken = "stop", progress: bool = True) -> FolderSource:
    """One split of a folder ``DIR/split/CLASS/files`` (class folders may have folders of their own).

    Classes are numbered by name, those of the training split where there is one, so that all splits agree. For
    "test" the folders "test", "val" and "validation" are looked for in this order, for "val" the last two.
    broken: "stop" raises `UserError` where a file is asked for that cannot be decoded; "skip" decodes every file now
    (once, see `unusable`) and gives the source that there would be without those.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"folder:{root} is not a folder: give one that holds train/CLASS/files and test/CLASS/files")
    if broken not in get_args(Broken):
        raise UserError(f"broken={broken!r} is unknown: use 'stop' or 'skip'")
    at = next((root / name for name in NAMES.get(split, (split,)) if (root / name).is_dir()), None)
    if at is None:
        there = ", ".join(_folders(root)) or "no folders"
        instead = "" if split == "train" else " (train can measure on a part of the training images: --val-share 0.1)"
        raise UserError(
            f"{root} has no folder for the split {split!r} but {there}: expected {root}/{split}/CLASS/files{instead}"
        )
    home = root / "train" if (root / "train").is_dir() else at
    classes = _folders(home)
    unknown = sorted(set(_folders(at)) - set(classes))
    if unknown:
        raise UserError(
            f"class {unknown[0]!r} of {at} is not a class of {home} ({', '.join(classes)}): add images of it "
            f"there, or remove {at / unknown[0]}"
        )
    found = {name: _images(at / name) for name in classes}
    left_out: list[LeftOut] = []
    if broken == "skip":
        left_out = unusable([file for files in found.values() for file in files], progress)
        unwanted = {Path(each.file) for each in left_out}
        found = {name: [file for file in files if file not in unwanted] for name, files in found.items()}
    for name, files in found.items():
        if not files and at == home:
            raise UserError(f"class folder {at / name} holds no {_usable(left_out)}: add some, or remove the folder")
    if not any(found.values()):
        raise UserError(f"{at} holds no {_usable(left_out)}: expected {at}/CLASS/files")
    return FolderSource(
        [file for files in found.values() for file in files],
        [label for label, files in enumerate(found.values()) for _ in files],
        classes,
        root.resolve().name,
        left_out,
    )


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _usable(left_out: list[LeftOut]) -> str:
    kinds = f"images ({', '.join(sorted(SUFFIXES))})"
    return f"{kinds} that can be decoded ({left_out[0].file}: {left_out[0].reason})" if left_out else kinds


def _folders(path: Path) -> list[str]:
    return sorted(f.name for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))

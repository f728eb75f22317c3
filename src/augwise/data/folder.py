"""Data sets of image files, ``folder:DIR``, in the layout split/class/files. Reads below that folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..fingerprints import hash_bytes, pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test", "val", "validation", "valid")}
"""Folders that may hold a split, in the order in which they are looked for."""


@final
class FolderSource:
    """Image files of any size, decoded to RGB when they are asked for.

    A fingerprint is the hash of the file's bytes, so nothing is decoded for it.
    """

    flip = True

    def __init__(self, files: list[Path], labels: list[int], class_names: list[str], name: str) -> None:
        self.files = files
        self.labels = np.array(labels, dtype=np.int64)
        self.class_names = class_names
        self.name = name

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return decode(self.files[index]), int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        """Hash of the bytes of file ``index``, an int in [0, 2⁶⁴)."""
        try:
            return hash_bytes(self.files[index].read_bytes())
        except OSError as error:
            raise UserError(f"image {index}, {self.files[index]}, cannot be read: {error}") from error


def open_folder(path: str | Path, split: str) -> FolderSource:
    """One split of a folder ``DIR/split/CLASS/files`` (class folders may have folders of their own).

    Classes are numbered by name, those of the training split where there is one, so that all splits agree. For
    "test" the folders "test", "val" and "validation" are looked for in this order, for "val" the last two.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"folder:{root} is not a folder: give one that holds train/CLASS/files and test/CLASS/files")
    at = next((root / name for name in NAMES.get(split, (split,)) if (root / name).is_dir()), None)
    if at is None:
        there = ", ".join(_folders(root)) or "no folders"
        raise UserError(
            f"{root} has no folder for the split {split!r} but {there}: expected {root}/{split}/CLASS/files"
        )
    home = root / "train" if (root / "train").is_dir() else at
    classes = _folders(home)
    unknown = sorted(set(_folders(at)) - set(classes))
    if unknown:
        raise UserError(f"class {unknown[0]!r} of {at} is not a class of {home} ({', '.join(classes)})")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(f for f in (at / name).rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        if not found and at == home:
            raise UserError(f"class folder {at / name} holds no images: add some ({', '.join(sorted(SUFFIXES))})")
        files += found
        labels += [label] * len(found)
    if not files:
        raise UserError(f"{at} holds no images: expected {at}/CLASS/files")
    return FolderSource(files, labels, classes, root.resolve().name)


def decode(path: Path) -> Tensor:
    """The image in a file as (3, H, W) uint8 RGB."""
    from PIL import Image  # comes with torchvision

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would clip these at 255
                raise ValueError(f"more than 8 bits per channel, mode {image.mode}")
            if image.mode in ("P", "PA"):  # straight to RGB, Pillow warns about palettes with transparency
                image = image.convert("RGBA")
            return pixels(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"image file {path} cannot be decoded ({error}): repair or remove it") from error


def _folders(path: Path) -> list[str]:
    return sorted(f.name for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))

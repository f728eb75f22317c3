"""Published sets of image files: files that a list or their class's folder labels, all there and all decodable.

Reads folders, and with ``broken="skip"`` every file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ..errors import UserError
from .folder import SUFFIXES, FolderSource
from .image_files import Broken, unusable
from .published import Layout


def listed(
    files: Sequence[tuple[Path, int]],
    class_names: list[str],
    layout: Layout,
    by: str,
    broken: Broken,
    progress: bool,
) -> FolderSource:
    """Files with their labels as a source. by: what names them, for messages; a file that is missing is treated as one
    that is broken."""
    if broken not in get_args(Broken):
        raise UserError(f"broken={broken!r} is unknown: use 'stop' or 'skip'")
    left_out = unusable([file for file, _ in files], progress) if broken == "skip" else []
    if left_out:
        unwanted = {Path(each.file) for each in left_out}
        files = [each for each in files if each[0] not in unwanted]
    else:
        there = {folder: set(_names(folder)) for folder in {file.parent for file, _ in files}}
        missing = [file for file, _ in files if file.name not in there[file.parent]]
        if missing:
            raise layout.lacks(
                f"{len(missing)} of the {len(files)} images that {by} names, {missing[0].name} the first (unpack the "
                "archive again, or leave such out: --broken skip, open_source(..., broken='skip'))",
                missing[0].parent,
            )
    if not files:
        raise UserError(f"none of the images that {by} names can be decoded: fetch them again. {layout.get}")
    return FolderSource([f for f, _ in files], [label for _, label in files], class_names, layout.name, left_out)


def in_class_folders(home: Path, classes: Sequence[str], layout: Layout, all_of_them: bool) -> list[tuple[Path, int]]:
    """The image files ``home/CLASS/files`` or ``home/CLASS/images/files`` with the number of their class.

    all_of_them: whether every class has to have some; a folder of no class is always an error.
    """
    strange = sorted(set(folders(home)) - set(classes))
    if strange:
        raise UserError(
            f"folder {home / strange[0]} is none of the {len(classes)} classes of {layout.name}: remove it (a part of "
            "the classes, or more of them, is read by folder:DIR)"
        )
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        files = images_in(home / name / "images") or images_in(home / name)
        if not files and all_of_them:
            raise layout.lacks(f"images of class {name}", home / name)
        found += [(file, label) for file in files]
    if not found:
        raise layout.lacks("images", home)
    return found


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder by name, without those of folders in it."""
    return [folder / name for name in _names(folder) if Path(name).suffix.lower() in SUFFIXES]


def folders(path: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none if there is no such folder."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _names(folder: Path) -> list[str]:
    """Names of the files in a folder, sorted, without asking the disk about each: there may be a million."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))

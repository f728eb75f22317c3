"""Tiny-ImageNet-200, ``tiny-imagenet``, from the folders in its publishers' archive. Reads them alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from ..errors import UserError
from .folder import FolderSource
from .image_files import Broken
from .listed import folders, in_class_folders, listed
from .published import Layout, home_of, lines

LAYOUT = Layout(
    "tiny-imagenet",
    "tiny-imagenet-200",
    "wnids.txt, words.txt, train/WNID/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt",
    "Unpack http://cs231n.stanford.edu/tiny-imagenet-200.zip",
)


def open_tiny_imagenet(root: str | Path, split: str, broken: Broken = "stop", progress: bool = True) -> FolderSource:
    """Tiny-ImageNet: 200 classes, 100 000 images to train with, (3, 64, 64), and 10 000 validation images.

    root: the folder that holds ``train`` and ``val``, or ``tiny-imagenet-200`` with them (empty: the data folder).
    split: "train"; "val" and "test" are both the validation images, since nobody has the labels of the others. Classes
    are numbered by WordNet id, as torchvision's ImageFolder numbers them, not by their place in ``wnids.txt``.
    """
    home = tiny_imagenet_home(root)
    names = tiny_imagenet_classes(home)
    wnids = list(names)
    at, notes = home / ("train" if split == "train" else "val"), home / "val" / "val_annotations.txt"
    if not at.is_dir():
        raise LAYOUT.lacks(at.name, home)
    if split == "train" or (not notes.is_file() and set(folders(at)) & set(wnids)):  # many sort val likewise
        files, by = in_class_folders(at, wnids, LAYOUT, split == "train"), at
    else:
        files, by = _annotated(notes, wnids), notes
    return listed(files, list(names.values()), LAYOUT, str(by), broken, progress)


def tiny_imagenet_home(root: str | Path) -> Path:
    """The folder in which the set's paths begin."""
    return home_of(LAYOUT, root, lambda home: (home / "wnids.txt").is_file())


def tiny_imagenet_classes(home: Path) -> dict[str, str]:
    """Name of each class by its WordNet id, in the order of the ids: the first of its words, or all of them where two
    classes would have the same name."""
    wnids = sorted(line.strip() for line in lines(home / "wnids.txt", LAYOUT))
    twice = next((a for a, b in pairwise(wnids) if a == b), None)
    if twice is not None:
        raise UserError(f"{home / 'wnids.txt'} names {twice} twice: fetch it again. {LAYOUT.get}")
    words = dict(line.split("\t", 1) for line in lines(home / "words.txt", LAYOUT) if "\t" in line)
    missing = [wnid for wnid in wnids if wnid not in words]
    if missing:
        raise UserError(f"{home / 'words.txt'} has no words for {missing[0]}: fetch it again. {LAYOUT.get}")
    short = {wnid: words[wnid].split(",")[0].strip() for wnid in wnids}
    names = list(short.values())
    return {wnid: name if names.count(name) == 1 else words[wnid].strip() for wnid, name in short.items()}


def _annotated(path: Path, wnids: list[str]) -> list[tuple[Path, int]]:
    """Files and labels by ``val_annotations.txt``: file, WordNet id and box, with tabs between them."""
    number = {wnid: i for i, wnid in enumerate(wnids)}
    found = []
    for i, line in enumerate(lines(path, LAYOUT)):
        file, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in number:
            raise UserError(
                f"line {i + 1} of {path} is {line!r}, which names none of the {len(wnids)} classes: fetch it again. "
                f"{LAYOUT.get}"
            )
        found.append((path.parent / "images" / file, number[wnid]))
    return found

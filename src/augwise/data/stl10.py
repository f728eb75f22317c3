"""STL-10, ``stl10``, and its images without labels, from its publishers' binary files, which torchvision downloads
where the network allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..fingerprints import hash_pixels
from .arrays import ArraySource
from .published import Layout, contents, labels_from_1, lines, obtain, train_or_test

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SHAPE = (3, 96, 96)
SIZE = 3 * 96 * 96
FOLD = re.compile(r"stl10-fold([0-9])")
LAYOUT = Layout(
    "stl10",
    "stl10_binary",
    "train_X.bin, train_y.bin, test_X.bin, test_y.bin, unlabeled_X.bin and fold_indices.txt",
    "Unpack http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
)


@final
class PartlyLabelled:
    """STL-10's training images with a label of -1 for some, and after them the images that have none, read one by one.

    A fingerprint is the hash of the pixels.
    """

    flip = True

    def __init__(self, labelled: ArraySource, labels: np.ndarray, path: Path) -> None:
        self.labelled, self.path = labelled, path
        count = _count(path)
        self.labels = np.concatenate([labels, np.full(count, -1, dtype=np.int64)])
        self.class_names, self.name = labelled.class_names, labelled.name

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._image(range(len(self))[index]), int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        """Hash of the pixels and shape of image ``index``, an int in [0, 2⁶⁴)."""
        return hash_pixels(self._image(range(len(self))[index]))

    def image_size(self, _: int) -> tuple[int, int]:
        """Height and width, which all images share."""
        return SHAPE[1:]

    def _image(self, index: int) -> Tensor:
        if index < len(self.labelled):
            return self.labelled[index][0]
        with self.path.open("rb") as file:  # anew each time, so that other processes may read too
            file.seek((index - len(self.labelled)) * SIZE)
            return torch.from_numpy(_upright(np.frombuffer(file.read(SIZE), np.uint8)))[0]


def open_stl10(name: str, root: str | Path, split: str) -> ArraySource | PartlyLabelled:
    """STL-10: 5 000 images to train with, 8 000 to test with, (3, 96, 96), and 100 000 without labels.

    name: "stl10"; or "stl10-unlabelled", of which the training split is the labelled 5 000, then the 100 000 with the
    label -1; or "stl10-fold0" to "stl10-fold9", the same with only the 1 000 labels of one of the publishers' folds.
    root: the folder that holds the files, or ``stl10_binary`` with them (empty: the data folder, where they are
    downloaded to). split: "train" or "test".
    """
    split = train_or_test(name, split)
    whole = name == "stl10" or split == "test"
    needed = [f"{split}_X.bin", f"{split}_y.bin"] + ([] if whole else ["unlabeled_X.bin", "fold_indices.txt"])
    pixels, labels, *others = obtain(LAYOUT, root, needed, _fetch)
    _count(pixels)
    images = torch.from_numpy(_upright(np.frombuffer(contents(pixels), np.uint8)))
    known = labels_from_1(np.frombuffer(contents(labels), np.uint8), len(CLASSES), labels)
    source = ArraySource(images, known, CLASSES, "stl10")
    if whole:
        return source
    fold = FOLD.fullmatch(name)
    return PartlyLabelled(source, _fold(others[1], int(fold[1]), known) if fold else known, others[0])


def _fetch(root: Path) -> None:
    from torchvision import datasets

    datasets.STL10(root, download=True)


def _fold(path: Path, fold: int, labels: np.ndarray) -> np.ndarray:
    """The labels of one fold, and -1 for all others; each line of the file has the rows of one fold, from 0."""
    folds = lines(path, LAYOUT)
    try:
        rows = np.array(folds[fold].split(), dtype=np.int64)
    except (IndexError, ValueError) as error:
        raise UserError(f"{path} has no rows of fold {fold} ({error}): fetch it again. {LAYOUT.get}") from error
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(labels)):
        raise UserError(f"fold {fold} in {path} names rows beyond the {len(labels)} images: fetch it again")
    kept = np.full(len(labels), -1, dtype=np.int64)
    kept[rows] = labels[rows]
    return kept


def _upright(values: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) of images that stand column by column in their file."""
    return np.ascontiguousarray(values.reshape(-1, SHAPE[0], SHAPE[2], SHAPE[1]).transpose(0, 1, 3, 2))


def _count(path: Path) -> int:
    length = path.stat().st_size
    if length % SIZE:
        raise UserError(f"{path} has {length} bytes, no whole number of images of {SIZE}: fetch it again. {LAYOUT.get}")
    return length // SIZE

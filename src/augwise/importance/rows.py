"""Any map-style data set seen as rows of pixels, label and hash, which is all that estimators and stores need.

Knows nothing of particular data sets: what they offer (``fingerprint``, ``fingerprints``, ``labels``,
``class_names``, ``name``, ``image_size``) is used, what they lack is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision
from tqdm import tqdm

from ..errors import UserError
from ..fingerprints import hash_pixels
from ..items import check_map_style, class_index, read_item

_SPOT_CHECKS = 32


class Rows:
    """A data set with ``len(dataset)`` and items as `image_and_label` knows them, checked as it is read.

    Images may be (C, H, W) uint8 or float tensors in [0, 1], PIL images or uint8 arrays, all of one size. With ``size``
    they may be of any size: a row then shows the whole image, stretched to a square of so many pixels, while its hash
    stays that of the image itself.
    """

    def __init__(self, dataset: Any, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise UserError(f"size={size} is not a picture: give the side in pixels, 1 or more")
        self.size = size
        inner = getattr(dataset, "source", None)
        if not hasattr(dataset, "fingerprint") and hasattr(inner, "fingerprint"):
            dataset = inner  # what only reads a source, such as WithImportance
        check_map_style(dataset)
        dataset = _looked_through(dataset)
        self._known = hasattr(dataset, "fingerprint")  # one of ours, whose labels can be trusted too
        self.dataset: Any = dataset
        self._hashes: np.ndarray | None = None
        self._labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def name(self) -> str:
        """What the data set calls itself, else its class."""
        return str(getattr(self.dataset, "name", type(self.dataset).__name__))

    @property
    def class_names(self) -> list[str] | None:
        """The classes by name, where the data set knows them."""
        names = getattr(self.dataset, "class_names", None)
        return None if names is None else list(names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """(C, H, W) uint8 pixels and the class of one row; errors name the row."""
        image, label = self._whole(index)
        if self.size is not None and image.shape[-2:] != (self.size, self.size):
            image = vision.resize(image, [self.size, self.size], antialias=True)
        return image, label

    def _whole(self, index: int) -> tuple[Tensor, int]:
        """The image as the data set gives it."""
        return read_item(self.dataset, index, f"row {index} of {self.name}")

    def fingerprint(self, index: int) -> int:
        """The 64-bit hash of one row: what the data set says, else of its pixels."""
        if self._known:
            return int(self.dataset.fingerprint(index))
        return hash_pixels(self._whole(index)[0])

    def some(self, rows: Iterable[int]) -> np.ndarray:
        """Hashes of some rows, (n,) uint64, without computing all."""
        if self._hashes is not None:
            return self._hashes[np.asarray(rows)]
        return np.array([self.fingerprint(int(i)) for i in rows], np.uint64)

    def hashes(self, progress: bool = False) -> np.ndarray:
        """Hashes of all rows, (N,) uint64; a bar appears where this takes more than two seconds."""
        if self._hashes is None:
            self._read(progress)
        assert self._hashes is not None
        return self._hashes

    def labels(self, progress: bool = False) -> np.ndarray:
        """Classes of all rows, (N,) int64."""
        if self._labels is None:
            labels = self._stated_labels()
            if labels is None:
                self._read(progress)
            else:
                self._labels = labels
        assert self._labels is not None
        return self._labels

    def _stated_labels(self) -> np.ndarray | None:
        labels = getattr(self.dataset, "labels", None) if self._known else None
        return _labels(labels) if labels is not None and len(labels) == len(self) else None

    def _read(self, progress: bool) -> None:
        """Go once through the data set for what it does not offer at once."""
        data, n = self.dataset, len(self)
        given = np.asarray(data.fingerprints(), np.uint64) if hasattr(data, "fingerprints") else None
        stated = self._stated_labels()
        need_item = stated is None or not (given is not None or self._known)
        hashes = np.zeros(n, np.uint64) if given is None else given
        labels = np.zeros(n, np.int64) if stated is None else stated
        if need_item or given is None:
            for i in tqdm(range(n), desc="hashing images", delay=2, leave=False, disable=not progress):
                image = None
                if need_item:
                    image, labels[i] = self._whole(i)
                if given is None:
                    hashes[i] = data.fingerprint(i) if self._known or image is None else hash_pixels(image)
        self._hashes, self._labels = hashes, labels

    def check_repeatable(self) -> None:
        """Refuse a data set that gives another image each time it is asked for the same row."""
        for i in range(min(4, len(self))):
            if any(not torch.equal(self[i][0], self[i][0]) for _ in range(2)):
                raise UserError(
                    f"row {i} of {self.name} is another image each time it is read: give the data set without random "
                    "augmentation"
                )

    def check_sizes(self, shape: tuple[int, ...], progress: bool = False) -> None:
        """Refuse images whose (C, H, W) differs from ``shape``.

        All of them where the data set tells sizes from the files' headers, which also finds files that are no images;
        else 32 spread over it.
        """
        known = getattr(self.dataset, "image_size", None)
        if known is None or known(0) is None:
            rows = np.linspace(0, len(self) - 1, min(_SPOT_CHECKS, len(self))).astype(int).tolist()
        else:  # a header may leave out how the picture is turned, so a suspect is looked at
            bar = tqdm(range(len(self)), "looking at headers", delay=2, leave=False, disable=not progress)
            rows = [i for i in bar if known(i) != tuple(shape[1:])]
        for i in rows:
            check_size(self[i][0], shape, i)


def _looked_through(dataset: Any) -> Any:
    """torch's ``Subset`` of a data set that knows its fingerprints, so that they are used; anything else as it is."""
    rows, whole = range(len(dataset)), dataset
    while isinstance(whole, torch.utils.data.Subset):
        rows, whole = [whole.indices[row] for row in rows], whole.dataset
    return _Part(whole, rows) if whole is not dataset and hasattr(whole, "fingerprint") else dataset


class _Part:
    """Some rows of a data set that knows its fingerprints."""

    def __init__(self, whole: Any, rows: Iterable[int]) -> None:
        self.whole, self.rows = whole, [int(row) for row in rows]
        self.name = str(getattr(whole, "name", type(whole).__name__))
        self.class_names = getattr(whole, "class_names", None)
        labels = getattr(whole, "labels", None)
        self.labels = None if labels is None else np.asarray(labels)[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.whole[self.rows[index]]

    def fingerprint(self, index: int) -> int:
        return int(self.whole.fingerprint(self.rows[index]))

    def image_size(self, index: int) -> tuple[int, int] | None:
        known = getattr(self.whole, "image_size", None)
        return None if known is None else known(self.rows[index])


def check_size(image: Tensor, shape: tuple[int, ...], row: int) -> None:
    """`UserError` if an image's (C, H, W) is not ``shape``."""
    if tuple(image.shape) != tuple(shape):
        raise UserError(
            f"row {row} has an image of shape {tuple(image.shape)}, others have {tuple(shape)}: resize all images to "
            "one size first (--size on the command line, open_source(..., size=...)), or look at whole images, "
            "stretched to one square (--fit stretch --size 224, estimate(..., size=224))"
        )


def _labels(labels: Any) -> np.ndarray:
    array = np.asarray(labels)
    if array.ndim == 1 and array.dtype.kind in "iu" and array.min() >= 0:
        return array.astype(np.int64)
    return np.array([class_index(label) for label in labels], np.int64)

"""Any map-style torch data set as a source: pixels checked and hashed, labels read once.

Reads the data set it wraps and nothing else.
"""

from __future__ import annotations

from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import UserError
from ..fingerprints import hash_pixels
from ..items import check_map_style, read_item
from .arrays import check_labels

SPOT_CHECKS: Final = 8
"""Items that are read twice at first, to find data sets that change their images or whose labels are recoded."""


@final
class WrappedDataset:
    """A map-style data set of (image, label) items.

    dataset: ``len()`` and ``[i] -> (image, label, ...)`` or ``{"image": ..., "label": ...}``; the image a PIL image, a
    uint8 array (H, W) or (H, W, C), or a (C, H, W) tensor, uint8 or float in [0, 1] (kept in 8 bits). It must give the
    same image each time: random transforms belong in `WithImportance`. Labels come from its ``targets`` or ``labels``
    where these agree with its items, else every item is read once. Class names come from ``classes``.
    """

    flip = True

    def __init__(self, dataset: Any, progress: bool = True) -> None:
        check_map_style(dataset)
        self.dataset = dataset
        self.name = str(getattr(dataset, "name", type(dataset).__name__))
        labels = self._read_labels(progress)
        names = _class_names(dataset)
        count = len(names) if names else int(labels.max()) + 1
        self.labels = check_labels(labels, count, self.name)
        self.class_names = names or [str(c) for c in range(count)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._read(index)[0].clone(), int(self.labels[index])  # tensors may be the data set's own

    def fingerprint(self, index: int) -> int:
        """Hash of image ``index``: the data set's own ``fingerprint(index)`` if it has one, else of its pixels."""
        own = getattr(self.dataset, "fingerprint", None)
        return int(own(index)) if own is not None else hash_pixels(self._read(index)[0])

    def _read(self, index: int) -> tuple[Tensor, int]:
        return read_item(self.dataset, index, f"image {index} of {self.name}")

    def _read_labels(self, progress: bool) -> np.ndarray:
        n = len(self)
        spots = sorted({round(i) for i in np.linspace(0, n - 1, SPOT_CHECKS)})
        items = {i: self._read(i) for i in spots}
        for i, (image, _) in items.items():
            again = self._read(i)[0]
            if again.shape != image.shape or not torch.equal(again, image):
                raise UserError(
                    f"image {i} of {self.name} differs when it is read twice: give the data set without random "
                    "transforms, and the transforms to aw.WithImportance(..., transform=...)"
                )
        stated = _stated_labels(self.dataset)
        if stated is not None and len(stated) == n and all(stated[i] == label for i, (_, label) in items.items()):
            return stated
        bar = tqdm(range(n), desc=f"labels of {self.name}", disable=not progress, leave=False)
        return np.array([items[i][1] if i in items else self._read(i)[1] for i in bar], dtype=np.int64)


def _stated_labels(dataset: Any) -> np.ndarray | None:
    """What the data set itself calls its labels, if that is plainly one integer per item."""
    joint = getattr(dataset, "transforms", None)  # torchvision's StandardTransform, or a user's own of both
    if getattr(joint, "target_transform", joint) is not None or getattr(dataset, "target_transform", None) is not None:
        return None
    if isinstance(dataset, torch.utils.data.Subset):
        whole = _stated_labels(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices, dtype=np.int64)]
    for attribute in ("targets", "labels"):
        stated = getattr(dataset, attribute, None)
        if stated is None:
            continue
        try:
            array = np.asarray(stated)
        except (ValueError, TypeError):
            continue
        if array.ndim == 1 and array.dtype.kind in "iu":
            return array.astype(np.int64)
    return None


def _class_names(dataset: Any) -> list[str] | None:
    if isinstance(dataset, torch.utils.data.Subset):
        return _class_names(dataset.dataset)
    names = getattr(dataset, "class_names", None) or getattr(dataset, "classes", None)
    usable = isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names)
    return [str(n) for n in names] if usable and names else None

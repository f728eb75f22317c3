"""A data set whose images all lie in memory, and the checks that every data set's labels pass.

Touches nothing but the arrays it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..fingerprints import hash_pixels


@final
class ArraySource:
    """Images of one size in memory.

    images: (N, C, H, W) uint8; labels: (N,) integers in [0, len(class_names)); flip: whether a mirrored image is
    still a sensible picture of its class. A fingerprint is the hash of the pixels.
    """

    def __init__(
        self, images: Tensor, labels: np.ndarray, class_names: Sequence[str], name: str, flip: bool = True
    ) -> None:
        self.images = images
        self.labels = check_labels(labels, len(class_names), name)
        self.class_names = list(class_names)
        self.name = name
        self.flip = flip
        if len(images) != len(self.labels):
            raise UserError(f"{name} has {len(images)} images but {len(self.labels)} labels: give one label per image")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index].clone(), int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        """Hash of the pixels and shape of image ``index``, an int in [0, 2⁶⁴)."""
        return hash_pixels(self.images[index])


def check_labels(labels: object, num_classes: int, name: str) -> np.ndarray:
    """(N,) int64 labels in [0, num_classes), or a `UserError` that names the first wrong index and value.

    labels: whole numbers of any integer type, shape (N,) or (N, 1).
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"labels of {name} have shape {array.shape}: give one class index per image, shape (N,)")
    if array.dtype.kind not in "iu":
        raise UserError(f"labels of {name} have type {array.dtype}: give class indices of an integer type")
    wrong = np.flatnonzero((array < 0) | (array >= num_classes))
    if len(wrong):
        raise UserError(
            f"label {array[wrong[0]]} of image {wrong[0]} of {name} is out of range: "
            f"with {num_classes} classes, labels go from 0 to {num_classes - 1}"
        )
    return array.astype(np.int64)


def channels_first(images: np.ndarray, name: str) -> Tensor:
    """(N, H, W, C) or grey (N, H, W) uint8 images as a contiguous (N, C, H, W) tensor; ``name`` is for messages."""
    if images.dtype != np.uint8:
        raise UserError(
            f"{name} has type {images.dtype}: give uint8 pixels from 0 to 255 "
            "(floats in [0, 1]: (images * 255).round().astype('uint8'))"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise UserError(f"{name} has shape {images.shape}: give (N, H, W, C), or (N, H, W) for grey images")
    if images.shape[3] > 4:
        cure = (
            "move the channels last: images.transpose(0, 2, 3, 1)" if images.shape[1] <= 4 else "give 1 to 4 channels"
        )
        raise UserError(f"{name} has shape {images.shape}, which reads as {images.shape[3]} channels: {cure}")
    if 0 in images.shape:
        raise UserError(f"{name} has shape {images.shape}: there are no images in it")
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

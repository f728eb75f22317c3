"""Real handwritten digits that come with the package: a data set that needs no download.

``digits.npz`` holds the 1 797 digits of scikit-learn's ``load_digits``: the test part of the "Optical Recognition of
Handwritten Digits" data set by E. Alpaydin and C. Kaynak (UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49), written by 13 people, licence CC BY 4.0. Nothing was changed but the storage type.
It was made with

    digits = sklearn.datasets.load_digits()
    rng, labels = np.random.default_rng(0), digits.target.astype("uint8")
    ideal = np.bincount(labels) * 1000 / len(labels)
    quota = np.floor(ideal).astype(int)
    quota[np.argsort(quota - ideal, kind="stable")[: 1000 - quota.sum()]] += 1
    rows = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    train = rng.permutation(np.concatenate([r[:q] for r, q in zip(rows, quota)]))
    test = rng.permutation(np.concatenate([r[q:] for r, q in zip(rows, quota)]))
    order = np.concatenate([train, test]).astype("int16")
    np.savez_compressed("digits.npz", images=digits.images.astype("uint8"), labels=labels, order=order)

images: (1797, 8, 8) uint8 from 0 to 16, in scikit-learn's order. order: (1797,) int16, the fixed split: its first
1 000 rows are for training, the others for testing, each class in the same share. Who wrote a digit is not recorded,
so the same hand may occur in both parts.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from .arrays import ArraySource

TRAIN = 1000
"""Rows of the fixed order that are for training."""


def open_digits(split: str) -> ArraySource:
    """The handwritten digits 0 to 9 as (3, 32, 32) uint8 images: 1 000 to train with, 797 to test with.

    split: "train" or "test". The 8×8 grey images of 17 levels are scaled to 0...255 and enlarged bilinearly.
    Digits are not to be flipped, so ``flip`` is False.
    """
    if split not in ("train", "test"):
        raise UserError(
            f"digits has no split {split!r}: use 'train' or 'test', and cut a validation split from the training "
            "data with split_validation"
        )
    images, labels, order = _load()
    rows = order[:TRAIN] if split == "train" else order[TRAIN:]
    return ArraySource(images[rows], labels[rows], [str(d) for d in range(10)], "digits", flip=False)


@cache
def _load() -> tuple[Tensor, np.ndarray, np.ndarray]:
    with (
        resources.as_file(resources.files("augwise.data") / "digits.npz") as path,
        np.load(path, allow_pickle=False) as z,
    ):
        raw, labels, order = z["images"], z["labels"].astype(np.int64), z["order"].astype(np.int64)
    grey = torch.from_numpy(raw).float()[:, None] * (255 / 16)
    large = F.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous(), labels, order

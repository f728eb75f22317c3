"""SVHN, ``svhn``: house numbers cut into digits of 32 px, from its publishers' MATLAB files, which torchvision
downloads where the network allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .arrays import ArraySource, channels_first
from .published import Layout, labels_from_1, matlab, obtain, train_or_test

LAYOUT = Layout(
    "svhn",
    "svhn",
    "train_32x32.mat and test_32x32.mat",
    "The files are at http://ufldl.stanford.edu/housenumbers/",
)


def open_svhn(root: str | Path, split: str) -> ArraySource:
    """SVHN's cropped digits: 73 257 to train with, 26 032 to test with, (3, 32, 32); class n is the digit n.

    root: the folder that holds ``train_32x32.mat`` and ``test_32x32.mat``, or ``svhn`` with them (empty: the data
    folder, where they are downloaded to). split: "train" or "test". Digits are not to be flipped.
    """
    split = train_or_test("svhn", split)

    def fetch(root: Path) -> None:
        from torchvision import datasets

        datasets.SVHN(root / LAYOUT.inner, split, download=True)

    path = obtain(LAYOUT, root, [f"{split}_32x32.mat"], fetch)[0]
    found = matlab(path, ("X", "y"), LAYOUT)
    pixels = np.asarray(found["X"])
    if pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3):
        raise UserError(f"X in {path} has shape {pixels.shape}, not (32, 32, 3, N): it is another file. {LAYOUT.get}")
    labels = (labels_from_1(found["y"], 10, path) + 1) % 10  # 10 stands for the digit 0
    images = channels_first(pixels.transpose(3, 0, 1, 2), f"X in {path}")
    return ArraySource(images, labels, [str(d) for d in range(10)], "svhn", flip=False)

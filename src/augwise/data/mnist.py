"""MNIST, ``mnist``, from the four idx files of its publishers, which torchvision downloads where the network allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .arrays import ArraySource, channels_first
from .published import Layout, contents, obtain, train_or_test

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
LAYOUT = Layout(
    "mnist",
    "MNIST/raw",
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it "
    "is or packed as .gz",
    "The files are at https://ossci-datasets.s3.amazonaws.com/mnist/",
)


def open_mnist(root: str | Path, split: str) -> ArraySource:
    """MNIST: 60 000 handwritten digits to train with, 10 000 to test with, (1, 28, 28).

    root: the folder that holds the files, or ``MNIST/raw`` with them (empty: the data folder, where they are downloaded
    to). split: "train" or "test".
    """
    paths = obtain(LAYOUT, root, FILES[train_or_test("mnist", split)], _fetch, ("", ".gz"))
    images, labels = (read_idx(path, dimensions) for path, dimensions in zip(paths, (3, 1), strict=True))
    return ArraySource(channels_first(images, str(paths[0])), labels, [str(d) for d in range(10)], "mnist", flip=False)


def _fetch(root: Path) -> None:
    from torchvision import datasets

    datasets.MNIST(root, download=True)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in an idx file: two zero bytes, 8, the number of dimensions, each of them in four bytes with the
    highest first, values."""
    data = contents(path)
    if data[:4] != bytes((0, 0, 8, dimensions)) or len(data) < 4 + 4 * dimensions:
        raise UserError(f"{path} is no idx file of bytes in {dimensions} dimensions: fetch it again. {LAYOUT.get}")
    shape = np.frombuffer(data, ">u4", dimensions, 4).tolist()
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if len(values) != int(np.prod(shape)):
        raise UserError(
            f"{path} says that it has {' x '.join(map(str, shape))} values, but has {len(values)}: fetch it again. "
            f"{LAYOUT.get}"
        )
    return values.reshape(shape).copy()

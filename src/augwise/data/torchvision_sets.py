"""CIFAR-10 and CIFAR-100 through torchvision, which downloads them where the network allows.

Writes below the data folder: ``AUGWISE_DATA``, or ``~/.cache/augwise``. torchvision checks the files' MD5 sums before
it opens them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import UserError
from .arrays import ArraySource, channels_first


def data_folder() -> Path:
    """Where downloaded data sets live: the environment variable AUGWISE_DATA, or ~/.cache/augwise."""
    return Path(os.environ.get("AUGWISE_DATA") or "~/.cache/augwise").expanduser()


def open_cifar(name: str, root: str | Path, split: str) -> ArraySource:
    """CIFAR-10 or CIFAR-100 (fine labels): 50 000 images to train with, 10 000 to test with, (3, 32, 32).

    name: "cifar10" or "cifar100"; root: the folder that holds, or is to hold, ``cifar-10-batches-py`` or
    ``cifar-100-python`` (empty: the data folder); split: "train" or "test".
    """
    from torchvision import datasets

    if split not in ("train", "test"):
        raise UserError(
            f"{name} has no split {split!r}: use 'train' or 'test', and cut a validation split from the training "
            "data with split_validation"
        )
    cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    if root and not Path(root).expanduser().is_dir():
        raise UserError(f"{name}:{root} names no folder: give the one that holds {cls.base_folder}")
    root = Path(root).expanduser() if root else data_folder()
    try:
        data = cls(root, train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{name} is not in {root} and could not be downloaded from {cls.url} ({error}): put {cls.filename}, or the "
            f"folder {cls.base_folder} that is in it, into {root} by hand (the environment variable AUGWISE_DATA "
            "names another folder), or use a NumPy file of the same images: npz:FILE"
        ) from error
    images = channels_first(np.asarray(data.data), name)
    return ArraySource(images, np.asarray(data.targets), data.classes, name)

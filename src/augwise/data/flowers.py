"""Oxford Flowers-102, ``flowers102``, from its publishers' files, which torchvision downloads where the network allows.

Reads them alone; SciPy reads the lists.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .folder import FolderSource
from .image_files import Broken
from .listed import listed
from .published import Layout, labels_from_1, matlab, obtain

SPLITS = {"train": "trnid", "val": "valid", "test": "tstid"}
LAYOUT = Layout(
    "flowers102",
    "flowers-102",
    "jpg/image_00001.jpg to image_08189.jpg, imagelabels.mat and setid.mat",
    "The files are at https://www.robots.ox.ac.uk/~vgg/data/flowers/102/, the images in 102flowers.tgz",
)


def open_flowers(root: str | Path, split: str, broken: Broken = "stop", progress: bool = True) -> FolderSource:
    """Flowers-102: photographs of 102 kinds of flowers, 1 020 to train with, 1 020 to validate and 6 149 to test with.

    root: the folder that holds ``jpg`` and both lists, or ``flowers-102`` with them (empty: the data folder, where they
    are downloaded to).
    """
    from torchvision import datasets

    lists = obtain(
        LAYOUT, root, ("imagelabels.mat", "setid.mat"), lambda root: datasets.Flowers102(root, download=True)
    )
    home = lists[0].parent
    names = list(datasets.Flowers102.classes)
    labels = labels_from_1(matlab(lists[0], ("labels",), LAYOUT)["labels"], len(names), lists[0])
    rows = np.atleast_1d(matlab(lists[1], tuple(SPLITS.values()), LAYOUT)[SPLITS[split]]).astype(np.int64)
    if len(rows) and not (rows.min() >= 1 and rows.max() <= len(labels)):
        raise UserError(
            f"{lists[1]} names images from {rows.min()} to {rows.max()}, but {lists[0].name} has {len(labels)} labels: "
            f"fetch both again. {LAYOUT.get}"
        )
    files = [(home / "jpg" / f"image_{row:05d}.jpg", int(labels[row - 1])) for row in rows]
    return listed(files, names, LAYOUT, str(lists[1]), broken, progress)

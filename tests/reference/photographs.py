"""Photographs of many sizes with one marked place each, as a source in memory or as a folder of files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CLASSES = ["circles", "squares"]


class Photographs:
    """Images of different sizes with one white square each, in a place of its own; its side is a share ``mark`` of the
    image's height. Images of the second class are tinted."""

    name, flip, class_names = "photographs", True, CLASSES

    def __init__(self, n: int, smallest: int = 60, largest: int = 200, mark: float = 1 / 9, seed: int = 3) -> None:
        draw = random.Random(seed)
        self.mark, self.seed = mark, seed
        self.sizes = [(draw.randrange(smallest, largest), draw.randrange(smallest, largest)) for _ in range(n)]
        self.places = [(draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8)) for _ in range(n)]
        self.labels = np.arange(n) % 2

    def __len__(self) -> int:
        return len(self.sizes)

    def marked(self, index: int, height: int, width: int) -> Tensor:
        """(height, width) bool: where the square lies, at any resolution of the whole image."""
        (high, wide), (y, x) = self.sizes[index], self.places[index]
        ys, xs = (torch.arange(n) + 0.5 for n in (height, width))
        down = (ys * high / height - y * high).abs() < high * self.mark / 2
        return down[:, None] & ((xs * wide / width - x * wide).abs() < high * self.mark / 2)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.full((3, *self.sizes[index]), 20, dtype=torch.uint8)
        image[1] += 60 * int(self.labels[index])
        image[:, self.marked(index, *self.sizes[index])] = 250
        return image, int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        return 1000 * self.seed + index

    def maps(self, side: int) -> np.ndarray:
        """(n, side, side) float32: 1 where the mark lies, on a grid over the whole image."""
        return np.stack([self.marked(i, side, side).numpy() for i in range(len(self))]).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the images as ``folder/CLASS/NUMBER.png``."""
        for i in range(len(self)):
            image, label = self[i]
            path = folder / CLASSES[label] / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def folder(root: Path, train: int = 16, test: int = 8) -> str:
    """A folder source of such photographs below ``root``; returns what ``open_source`` takes."""
    Photographs(train, 30, 70, seed=1).save(root / "train")
    Photographs(test, 30, 70, seed=2).save(root / "test")
    return f"folder:{root}"


def assert_together(image: Tensor, importance: Tensor, within: float = 1.5) -> None:
    """The bright pixels of (3, H, W) uint8 are those with importance (H, W): same centre, most of the mass on them."""
    bright = image[0].as_subclass(Tensor) > 135
    weight = importance.as_subclass(Tensor) / importance.sum()
    assert float(weight[bright].sum()) > 0.6
    for axis in (torch.arange(float(bright.shape[0]))[:, None], torch.arange(float(bright.shape[1]))):
        assert abs(float((weight * axis).sum()) - float((bright * axis).sum() / bright.sum())) < within

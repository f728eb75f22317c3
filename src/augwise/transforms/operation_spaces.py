"""The spaces of operations that TrivialAugment, RandAugment and AutoAugment draw from: how strong each bin is.

The numbers are those of torchvision's classes (rounded to float32 as there), so that the same draw is the same picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from .operations import OPERATIONS

_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
NAMES = ("Identity", *_SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize")
"""The 14 operations of TrivialAugment and RandAugment; AutoAugment adds Invert."""
WITHOUT_MAGNITUDE = ("Identity", "AutoContrast", "Equalize", "Invert")


class Space(NamedTuple):
    """Operations with their magnitudes: row k stands for one operation.

    operations: (K,) int64, its place in `OPERATIONS`; magnitudes: (K, bins) float64, in the units of
    `operations.apply_operations`, 0 where it has none; signs: (K,) float64, 1 where a magnitude may be negated, else 0;
    rows: (len(OPERATIONS),) int64, the row of each operation that is in the space.
    """

    operations: Tensor
    magnitudes: Tensor
    signs: Tensor
    rows: Tensor

    def at(self, rows: Tensor, bins: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """The operations in these rows and their magnitudes in these bins, negated where ``negative`` is true and the
        operation has a sign; all of one shape."""
        return self.operations[rows], self.magnitudes[rows, bins] * (1 - 2 * self.signs[rows] * negative)


@lru_cache(maxsize=32)
def wide(bins: int) -> Space:
    """TrivialAugment's wide space (Müller and Hutter 2021), whatever the size of the image."""
    reach = dict.fromkeys(_SIGNED, 0.99) | {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0}
    return _space(NAMES, bins, reach, posterized=6)


@lru_cache(maxsize=32)
def standard(bins: int, height: int, width: int) -> Space:
    """The space of AutoAugment and RandAugment: translations are shares of the side (150 of 331 pixels at most)."""
    reach = dict.fromkeys(_SIGNED, 0.9) | {"ShearX": 0.3, "ShearY": 0.3, "Rotate": 30.0}
    reach |= {"TranslateX": 150.0 / 331.0 * width, "TranslateY": 150.0 / 331.0 * height}
    return _space((*NAMES, "Invert"), bins, reach, posterized=4)


def _space(names: tuple[str, ...], bins: int, reach: dict[str, float], posterized: int) -> Space:
    magnitudes = {name: torch.linspace(0.0, most, bins) for name, most in reach.items()}
    magnitudes["Posterize"] = (8 - torch.arange(bins) / ((bins - 1) / posterized)).round()
    magnitudes["Solarize"] = torch.linspace(1.0, 0.0, bins)
    rows = [magnitudes.get(name, torch.zeros(bins)).double() for name in names]
    signs = torch.tensor([float(name in _SIGNED) for name in names], dtype=torch.float64)
    operations = torch.tensor([OPERATIONS.index(name) for name in names])
    places = torch.zeros(len(OPERATIONS), dtype=torch.int64).index_copy(0, operations, torch.arange(len(names)))
    return Space(operations, torch.stack(rows), signs, places)

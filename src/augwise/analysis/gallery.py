"""Pictures for a comparison's page: each image, its map, and what every arm makes of it, from the same draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..randomness import stream
from ..sample import Batch
from .touched import Touched, touched


@dataclass(frozen=True)
class Example:
    """One image through every arm.

    image: (H, W, C) uint8; importance: (H, W) float32; label: the class's name; arms: for each arm the augmented
    picture (H, W, C) uint8, and the shares of area and importance that it lost, in [0, 1].
    """

    image: np.ndarray
    importance: np.ndarray
    label: str
    arms: dict[str, tuple[np.ndarray, float, float]]


def examples(
    images: Tensor,
    own: Tensor,
    foreign: Tensor,
    names: list[str],
    arms: dict[str, nn.Module],
    key: tuple[int | str, ...] = ("gallery",),
) -> list[Example]:
    """What each arm does to each image.

    images: (N, C, H, W) uint8; own, foreign: (N, H, W) maps, foreign those the control is shown; names: N class names;
    arms: the augmentation or mixer of "plain", "guarded" and "control". All arms draw the same numbers.
    """
    pictures: dict[str, tuple[Tensor, Touched]] = {}
    for arm, step in arms.items():
        guide = foreign if arm == "control" else own
        batch = Batch.of(images, torch.zeros(len(images), dtype=torch.int64), guide)
        with stream(*key):
            pictures[arm] = step(batch).images.as_subclass(Tensor), touched(step, own, guide, key=key)
    return [
        Example(
            _shown(images[i]),
            own[i].as_subclass(Tensor).float().numpy(),
            names[i],
            {a: (_shown(p[i]), float(t.area[i]), float(t.importance[i])) for a, (p, t) in pictures.items()},
        )
        for i in range(len(images))
    ]


def _shown(image: Tensor) -> np.ndarray:
    return image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()

"""Chance: what every other measure has to beat."""

from __future__ import annotations

import numpy as np
import torch

from .. import randomness


def random_scores(images: int, seed: int = 0) -> np.ndarray:
    """(N,) float64 uniform in [0, 1): the first n are the same however many images there are."""
    drawn = torch.rand(images, dtype=torch.float64, generator=randomness.generator(seed, "random scores"))
    return drawn.numpy()

"""How often an image was forgotten while a network learned it."""

from __future__ import annotations

import numpy as np

from ..errors import UserError


def forgetting_counts(right: np.ndarray) -> np.ndarray:
    """Forgetting events of every image, (N,) float64: how often it was right and, when asked next, wrong
    (Toneva et al. 2019, Sec. 2).

        F_i = Σ_t 1[right_{t,i} and not right_{t+1,i}]

    An image that was never right is worse than any forgotten one; it counts T, which no number of events reaches.

    right: (T, N) bool, whether the network was right on image i the t-th time it was asked. The paper asks whenever
    the image is trained on, `augwise select` after every epoch, of the image as it is.
    """
    right = np.asarray(right)
    if right.ndim != 2 or right.dtype != bool or not len(right):
        raise UserError(f"right has shape {right.shape} and type {right.dtype}: give bools, (times asked, images)")
    events = (right[:-1] & ~right[1:]).sum(0)
    return np.where(right.any(0), events, len(right)).astype(np.float64)

"""How hard an image is under mixing: the mean of its losses."""

from __future__ import annotations

import numpy as np


def mean_loss(losses: np.ndarray) -> np.ndarray:
    """m(L_i), the mean of every image's losses over its mixes, (N,) float64 in nats (DCutMix, Eq. 8).

    Its highest are the hard images, its lowest the easy ones; the paper finds both worse than chance to train on.
    losses: (N, M).
    """
    return np.asarray(losses, dtype=np.float64).mean(1)

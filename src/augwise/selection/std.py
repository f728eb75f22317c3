"""How much an image's loss varies under mixing, in nats: the standard deviation of its losses."""

from __future__ import annotations

import numpy as np


def loss_std(losses: np.ndarray) -> np.ndarray:
    """σ(L_i), the standard deviation of every image's losses over its mixes, (N,) float64 in nats (DCutMix, Eq. 8).

    Grows with the loss itself, so its highest are mostly hard images; `coefficient_of_variation` divides that out.
    losses: (N, M). Divides by M; dividing by M - 1 would order the images alike.
    """
    return np.asarray(losses, dtype=np.float64).std(1)

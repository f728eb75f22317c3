"""A core set: images that leave no other one far away, in the features of a classifier (k-center, greedy)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from .outputs import features
from .pictures import Pictures, home


def k_center_order(features: Tensor, most: int | None = None) -> np.ndarray:
    """The greedy order of centres, (N,) int64: each is the image farthest from all before it.

        s_1 = argmin_i ‖z_i − z̄‖,   s_t = argmax_i min_{j < t} ‖z_i − z_{s_j}‖

    (Sener and Savarese 2018, Algorithm 1, which starts from labelled images; here from the image nearest to the mean).
    The first n are thus the greedy core set of n, within twice the best radius; ties go to the lower row.

    features: (N, D) finite. most: order so many only; the others follow by their distance from all of those, farthest
    first. Costs most · N · D.
    """
    if features.ndim != 2 or not bool(torch.isfinite(features).all()):
        raise UserError(f"features of shape {tuple(features.shape)}: give finite numbers, (images, D)")
    z, n = features.double(), len(features)
    count = n if most is None else min(most, n)
    order = np.empty(n, np.int64)
    nearest = torch.full((n,), torch.inf, dtype=torch.float64)
    following = int((z - z.mean(0)).square().sum(1).argmin()) if n else 0
    for place in range(count):
        order[place] = following
        nearest = torch.minimum(nearest, (z - z[following]).square().sum(1))
        nearest[following] = -1  # taken: never again, not even where copies of it are all that is left
        following = int(nearest.argmax())
    left = np.setdiff1d(np.arange(n), order[:count])
    order[count:] = left[np.argsort(-nearest.numpy()[left], kind="stable")]
    return order


def k_center(
    model: nn.Module,
    dataset: Any,
    *,
    per_class: bool = True,
    most: int | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Scores by which the highest n are a greedy core set of n, (N,) float64: see `k_center_order`.

    per_class: order the images of each class among themselves, for a choice per class. model, dataset: see
    `mixed_losses`; the features are what the model's last layer is given.
    """
    pictures = Pictures(dataset, home(model, device), progress)
    z, labels = features(model, pictures, batch_size, device, progress), pictures.labels.cpu()
    groups = labels.unique().tolist() if per_class else [None]
    scores = np.empty(len(z), np.float64)
    for group in groups:
        members = np.arange(len(z)) if group is None else torch.nonzero(labels == group)[:, 0].numpy()
        scores[members[k_center_order(z[members], most)]] = np.arange(len(members), 0, -1)
    return scores

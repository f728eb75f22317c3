"""Triplet loss on the hardest examples of a batch. Touches nothing but tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Triplet loss with the hardest positive and negative of each image (Hermans, Beyer and Leibe 2017, Eq. 5),

        L = mean over anchors a of max(0, margin + max_p ‖f_a - f_p‖ - min_n ‖f_a - f_n‖),

    p of a's label, n of any other. features: (N, D); labels: (N,) whole numbers. An anchor that is alone with its label
    has itself as its positive, at distance 0. A batch of one label has no negatives: `UserError` on the CPU; elsewhere
    it would have to be waited for, and whoever makes batches must see to it.
    """
    if labels.device.type == "cpu" and len(labels) and bool((labels == labels[0]).all()):
        raise UserError("all images of the batch are of one identity: give batches of at least two (P × K)")
    positive, negative = hardest(features, labels)
    return F.relu(margin + positive - negative).mean()


def hardest(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance of each image to the farthest of its label and to the nearest of another, both (N,).

    Distances are taken from the differences of the chosen pairs, not from the matrix that chose them, whose rounding
    near zero a square root would blow up in the gradient.
    """
    features = features.float()
    with torch.no_grad():
        squares = (features * features).sum(1)
        distances = torch.addmm(squares[:, None] + squares, features, features.T, alpha=-2)
        same = labels[:, None] == labels
        farthest = distances.masked_fill(~same, -torch.inf).argmax(1)
        nearest = distances.masked_fill(same, torch.inf).argmin(1)
    return _distance(features, features[farthest]), _distance(features, features[nearest])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(1).clamp_min(1e-12).sqrt()

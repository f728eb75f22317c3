"""How sure a classifier is of the true class: the one number that occlusion and saliency look at."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_y = -log(1 + Σ_{c≠y} exp(z_c - z_y)), in nats, for each image.

    logits: (N, K ≥ 2); labels: (N,) int64; returns (N,) of the logits' type. Equals ``log_softmax`` at the label, but
    stays exact where p_y rounds to 1: value and gradient shrink towards 0 instead of vanishing in rounding errors,
    so that images which the classifier knows well still get a map.
    """
    at = labels[:, None]
    others = logits.scatter(1, at, float("-inf"))
    return -F.softplus((others - logits.gather(1, at)).logsumexp(1))

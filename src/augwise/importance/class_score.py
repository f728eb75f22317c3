"""How sure a classifier is of a class: the one number that occlusion and saliency look at."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..labels import MixedLabels, check_classes

Of = Literal["log_probability", "logit", "top_logit"]


def class_score(logits: Tensor, labels: Tensor | MixedLabels, of: Of) -> Tensor:
    """One number per image: the true class's log-probability, its logit, or the largest logit whatever the label.

    logits: (N, K); labels: (N,) int64, or mixed ones, whose classes count by their weights. Returns (N,).
    """
    if of == "top_logit":
        return logits.max(1).values
    mixed = MixedLabels.of(labels)
    if of == "logit":
        check_classes(mixed.classes, logits.shape[1])
        values = logits.gather(1, mixed.classes)
    else:
        values = torch.stack([log_probability(logits, classes) for classes in mixed.classes.unbind(1)], 1)
    return (values * mixed.weights).sum(1)


def log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_y = -log(1 + Σ_{c≠y} exp(z_c - z_y)), in nats, for each image.

    logits: (N, K ≥ 2); labels: (N,) int64; returns (N,) of the logits' type. Equals ``log_softmax`` at the label, but
    stays exact where p_y rounds to 1: value and gradient shrink towards 0 instead of vanishing in rounding errors,
    so that images which the classifier knows well still get a map.
    """
    check_classes(labels, logits.shape[1])
    at = labels[:, None]
    others = logits.scatter(1, at, float("-inf"))
    return -F.softplus((others - logits.gather(1, at)).logsumexp(1))

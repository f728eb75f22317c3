"""Losses as modules, for training loops that want one: ``criterion(logits, labels)`` with labels mixed or plain.

Each is a function of `losses` with its settings; weights of classes are buffers and so move with the module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from . import losses
from .labels import MixedLabels
from .losses import Reduction


class Criterion(nn.Module, ABC):
    """Called with logits (N, C) and `MixedLabels`, or plain (N,) integer labels as in validation."""

    def __init__(self, label_smoothing: float, reduction: Reduction) -> None:
        super().__init__()
        self.label_smoothing = losses.check_smoothing(label_smoothing)
        self.reduction: Reduction = losses.check_reduction(reduction)

    @abstractmethod
    def loss(self, logits: Tensor, labels: MixedLabels) -> Tensor:
        """The loss with this criterion's settings."""

    def forward(self, logits: Tensor, labels: MixedLabels | Tensor) -> Tensor:
        """Not to be overridden: write `loss`."""
        return self.loss(logits, MixedLabels.of(labels))

    def extra_repr(self) -> str:
        return f"label_smoothing={self.label_smoothing}, reduction={self.reduction!r}"


class CrossEntropy(Criterion):
    """Softmax cross-entropy, `losses.cross_entropy`: `torch.nn.CrossEntropyLoss` that takes mixed labels.

    class_weights: (C,); label_smoothing: ε; reduction: "mean", "sum", "batchmean" or "none".
    """

    def __init__(
        self, class_weights: Tensor | None = None, label_smoothing: float = 0.0, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(label_smoothing, reduction)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)

    def loss(self, logits: Tensor, labels: MixedLabels) -> Tensor:
        return losses.cross_entropy(logits, labels, self.label_smoothing, self.reduction, self.class_weights)


class FocalLoss(Criterion):
    """Focal loss over a softmax, `losses.focal` (Lin et al. 2017, Eq. 5).

    gamma: γ, from 0 (cross-entropy) up; class_weights: (C,), the paper's α; label_smoothing: ε; reduction: "mean",
    "sum", "batchmean" or "none".
    """

    def __init__(
        self,
        gamma: float = 2.0,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(label_smoothing, reduction)
        self.gamma = losses.check_gamma(gamma)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)

    def loss(self, logits: Tensor, labels: MixedLabels) -> Tensor:
        return losses.focal(logits, labels, self.gamma, self.label_smoothing, self.reduction, self.class_weights)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, {super().extra_repr()}"


class BinaryCrossEntropy(Criterion):
    """Binary cross-entropy of every class, `losses.bce`: `torch.nn.BCEWithLogitsLoss` that takes mixed labels.

    pos_weight: (C,) or one number; label_smoothing: ε; reduction: "mean" over images and classes, "batchmean" the sum
    over images, "sum", or "none".
    """

    def __init__(
        self, pos_weight: Tensor | float | None = None, label_smoothing: float = 0.0, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(label_smoothing, reduction)
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", _tensor(pos_weight), persistent=False)

    def loss(self, logits: Tensor, labels: MixedLabels) -> Tensor:
        return losses.bce(logits, labels, self.label_smoothing, self.reduction, self.pos_weight)


class BinaryFocalLoss(Criterion):
    """Focal loss of every class by itself, `losses.binary_focal`: torchvision's, that takes mixed labels.

    gamma: γ; alpha: α in [0, 1], None for none; pos_weight, label_smoothing, reduction: as for `BinaryCrossEntropy`.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | None = 0.25,
        pos_weight: Tensor | float | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(label_smoothing, reduction)
        self.gamma, self.alpha = losses.check_gamma(gamma), losses.check_alpha(alpha)
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", _tensor(pos_weight), persistent=False)

    def loss(self, logits: Tensor, labels: MixedLabels) -> Tensor:
        settings = self.gamma, self.alpha, self.label_smoothing, self.reduction, self.pos_weight
        return losses.binary_focal(logits, labels, *settings)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, alpha={self.alpha}, {super().extra_repr()}"


def _tensor(given: Tensor | float | None) -> Tensor | None:
    return None if given is None else torch.as_tensor(given)

"""Labels of mixed images: K classes, K weights and a doubt. Touches nothing but its own tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import losses
from .errors import UserError
from .losses import Reduction


class MixedLabels(NamedTuple):
    """Which classes an image shows, how much of each, and how unsure that is.

    The target distribution over C classes is  t_c = (1 - doubt) · Σ_k weights_k · 1[classes_k = c] + doubt / C.

    classes: (N, K) int64; a class may stand in several columns. ``classes[:, 0]`` belongs to the image that was
        there first.
    weights: (N, K) float32, non-negative, each row sums to 1: the share that each source image has in the picture.
    doubt: (N,) float32 in [0, 1], the share spread evenly over all classes; 0 unless a method was asked for it.
    """

    classes: Tensor
    weights: Tensor
    doubt: Tensor

    @classmethod
    def of(cls, labels: Tensor | MixedLabels) -> MixedLabels:
        """Plain (N,) int64 labels as mixed labels of one class each, weight 1, no doubt; mixed ones unchanged."""
        if isinstance(labels, MixedLabels):
            return labels
        classes, device = check_plain(labels).long()[:, None], labels.device
        return cls(classes, torch.ones(classes.shape, device=device), torch.zeros(len(classes), device=device))

    @classmethod
    def mix(cls, sources: list[MixedLabels], shares: Tensor) -> MixedLabels:
        """Labels of pictures made of several labelled images.

        sources: S labels of N rows each, the base image's first; shares: (N, S), rows sum to 1.
        A source's weights and doubt count by its share, so what is mixed already may be mixed again: exact for
        blends, and for pasted regions on average over their places, since a batch does not record whose each pixel is.
        """
        scale, doubt = _by_what_is_vouched(torch.stack([s.doubt for s in sources], 1), shares)
        weights = torch.cat([s.weights * scale[:, i : i + 1] for i, s in enumerate(sources)], 1)
        return cls(torch.cat([s.classes for s in sources], 1), weights, doubt)

    @classmethod
    def joined(cls, labels: Tensor | MixedLabels, rows: Tensor, shares: Tensor) -> MixedLabels:
        """Labels of pictures made of K images of one batch each, as `mix` makes them, in fewer steps.

        labels: of the batch, plain or mixed; rows: (N, K) int64, which images a picture is made of, the base image
        first; shares: (N, K), rows sum to 1.
        """
        if not isinstance(labels, MixedLabels):  # one class each and no doubt, so shares are weights
            classes, shares = check_plain(labels).long()[rows], shares.to(torch.float32)
            weights = shares / shares.sum(1, keepdim=True)
            return cls(classes, weights, torch.zeros(len(rows), device=labels.device))
        scale, doubt = _by_what_is_vouched(labels.doubt[rows], shares)
        weights = labels.weights[rows] * scale[:, :, None]
        return cls(labels.classes[rows].flatten(1), weights.flatten(1), doubt)

    def dense(self, num_classes: int, label_smoothing: float = 0.0) -> Tensor:
        """The target distribution, (N, num_classes) float32, rows sum to 1: for any loss that takes soft targets.

        label_smoothing ε replaces t by (1 − ε) t + ε/C, as in `cross_entropy` and in timm's Mixup.
        """
        self.check_classes(num_classes)
        sure = (1 - self.doubt) * (1 - label_smoothing)
        target = torch.zeros(len(self.classes), num_classes, device=self.weights.device)
        target.scatter_add_(1, self.classes, self.weights * sure[:, None])
        return target + ((1 - sure) / num_classes)[:, None]

    def hard(self) -> Tensor:
        """(N,) int64, the class that has most of each picture, for metrics that want one: a class in several columns
        counts by their sum, and of equal ones the first column's, which is the base image's."""
        same = self.classes[:, :, None] == self.classes[:, None]
        most = (same * self.weights[:, None]).sum(2).argmax(1, keepdim=True)
        return self.classes.gather(1, most)[:, 0]

    def present(self, num_classes: int, least: float = 0.0) -> Tensor:
        """(N, num_classes) int64, 1 where a class has more than the share ``least`` of the picture, for metrics of
        several labels; doubt counts nowhere."""
        self.check_classes(num_classes)
        shown = torch.zeros(len(self.classes), num_classes, device=self.weights.device)
        return (shown.scatter_add_(1, self.classes, self.weights) > least).long()

    def cross_entropy(
        self,
        logits: Tensor,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """`losses.cross_entropy`: -Σ_c t_c log softmax(logits)_c in nats, without building the dense target.

        logits: (N, C); label_smoothing ε replaces t by (1 − ε) t + ε/C; reduction "mean", "sum" or "batchmean"
        (scalars) or "none" ((N,)); class_weights: (C,). Equals `torch.nn.functional.cross_entropy` where K = 1.
        """
        return losses.cross_entropy(logits, self, label_smoothing, reduction, class_weights)

    def focal(
        self,
        logits: Tensor,
        gamma: float = 2.0,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """`losses.focal`: cross-entropy whose terms count by (1 - p_c)^γ; arguments as for `cross_entropy`."""
        return losses.focal(logits, self, gamma, label_smoothing, reduction, class_weights)

    def bce(
        self,
        logits: Tensor,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        pos_weight: Tensor | float | None = None,
    ) -> Tensor:
        """`losses.bce`: binary cross-entropy of every class against the target; logits (N, C), pos_weight (C,) or
        one number.

        "mean" is over images and classes, "none" gives (N, C).
        """
        return losses.bce(logits, self, label_smoothing, reduction, pos_weight)

    def binary_focal(
        self,
        logits: Tensor,
        gamma: float = 2.0,
        alpha: float | None = 0.25,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
        pos_weight: Tensor | float | None = None,
    ) -> Tensor:
        """`losses.binary_focal`: focal loss of every class by itself; arguments as for `bce`."""
        return losses.binary_focal(logits, self, gamma, alpha, label_smoothing, reduction, pos_weight)

    def check_classes(self, num_classes: int) -> None:
        """`UserError` where a label is no class; on another device than the CPU looking would wait, so nothing."""
        check_classes(self.classes, num_classes)

    def accuracy(self, logits: Tensor) -> Tensor:
        """Mean weight of the class that is predicted, a scalar in [0, 1]; ordinary accuracy where K = 1."""
        hit = (logits.argmax(1, keepdim=True) == self.classes).to(self.weights.dtype)
        return (hit * self.weights).sum(1).mean()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MixedLabels:
        """The same labels on another device."""
        return MixedLabels(*(t.to(device, non_blocking=non_blocking) for t in self))


def check_classes(classes: Tensor, num_classes: int) -> None:
    """`UserError` where a label is no class; on another device than the CPU looking would wait, so nothing."""
    if classes.device.type != "cpu" or not classes.numel():
        return
    smallest, largest = (int(end) for end in classes.aminmax())
    if smallest < 0:
        raise UserError(f"a label is {smallest}: classes count from 0, so leave out images without one beforehand")
    if largest >= num_classes:
        raise UserError(
            f"a label is {largest}, but there are logits for {num_classes} classes: give a model with an output "
            "for every class, and num_classes above every label"
        )


def check_plain(labels: Tensor) -> Tensor:
    """The labels, refused if they are not one integer class per image."""
    if labels.ndim != 1 or labels.is_floating_point():
        raise UserError(
            f"labels have shape {tuple(labels.shape)} and type {labels.dtype}: give one integer class per image, "
            "shape (N,), or MixedLabels"
        )
    return labels


def _by_what_is_vouched(doubts: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """(N, S) factors for the weights of S sources of a picture, and the picture's doubt, from the sources' doubts and
    their shares, (N, S) both."""
    shares = shares.to(torch.float32)
    kept = (1 - doubts) * shares
    vouched = kept.sum(1, keepdim=True)
    scale = torch.where(vouched > 0, kept / vouched.clamp_min(1e-30), shares)
    # Summed, not what the shares lack: where nobody doubts, float32's last digit must not either.
    return scale, (doubts * shares).sum(1).clamp(0, 1)

"""Losses of logits against mixed labels: pure functions of classes, weights and doubt, without a dense target.

All of them are linear in the target t_c = (1 - s) Σ_k weights_k · 1[classes_k = c] + s/C, so a mixed label costs what
its parts cost, each by its weight; s = 1 - (1 - doubt)(1 - ε) is doubt and label smoothing ε as one. So only K values
of each row are looked up, and what is spread evenly, where there is any, is one sum over the row. With one class, no
doubt and the same settings they equal the functions of torch and torchvision that each of them names, gradients
included. Logits of lower precision than float32 are scored in float32, as under autocast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import UserError

if TYPE_CHECKING:
    from .labels import MixedLabels

__all__ = ["Reduction", "bce", "binary_focal", "cross_entropy", "focal"]

Reduction = Literal["mean", "sum", "batchmean", "none"]
"""What becomes of N losses. "mean": of losses per image their mean, with class weights the weighted one; of losses per
image and class the mean over both. "batchmean": the sum over N. "sum", "none": as in torch."""


def cross_entropy(
    logits: Tensor,
    labels: MixedLabels,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    class_weights: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy -Σ_c t_c w_c log softmax(logits)_c, in nats.

    logits: (N, C); class_weights: w, (C,), one for every class if left out; label_smoothing: ε, see the module.
    reduction: "mean" divides the sum over the images by Σ_n Σ_k weights_nk w[classes_nk], which is N without class
        weights, and what `torch.nn.functional.cross_entropy` does with integer labels: neither smoothing nor doubt
        enters it. "batchmean" divides by N, as the same function does with a dense target. "none" gives (N,).
    """
    return focal(logits, labels, 0.0, label_smoothing, reduction, class_weights)


def focal(
    logits: Tensor,
    labels: MixedLabels,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    class_weights: Tensor | None = None,
) -> Tensor:
    """Focal loss over a softmax, -Σ_c t_c w_c (1 - p_c)^γ log p_c with p = softmax(logits) (Lin et al. 2017, Eq. 5).

    What is recognised already counts less; `cross_entropy` at gamma = 0. All else as there.
    """
    _check(logits, labels, label_smoothing, reduction, gamma, class_weights)
    log_p = F.log_softmax(logits, dim=1, dtype=_precise(logits))
    weights = labels.weights if class_weights is None else labels.weights * class_weights[labels.classes]
    loss = -(_focused(log_p.gather(1, labels.classes), gamma) * weights).sum(1)
    spread = _spread(labels, label_smoothing)
    if spread is not None:
        every = _focused(log_p, gamma)
        every = every if class_weights is None else every * class_weights
        loss = (1 - spread) * loss - spread * every.mean(1)
    if class_weights is not None and reduction == "mean":
        return loss.sum() / weights.sum()
    return _reduce(loss, reduction, len(logits))


def _focused(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p)^γ log p."""
    if gamma == 0:
        return log_p
    # Of gamma below 1 the slope at p = 1 is infinite, and 0 times that no number.
    return log_p * (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny).pow(gamma)


def bce(
    logits: Tensor,
    labels: MixedLabels,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    pos_weight: Tensor | float | None = None,
) -> Tensor:
    """Binary cross-entropy of every class, -[v_c t_c log σ(x_c) + (1 - t_c) log(1 - σ(x_c))] for logits x, in nats.

    logits: (N, C); pos_weight: v, (C,) or one number, 1 if left out: how much more a class counts where it is there.
    reduction: "mean" is over images and classes, "batchmean" the sum over N, "none" gives (N, C).
    Equals `torch.nn.functional.binary_cross_entropy_with_logits` of the dense target.
    """
    return binary_focal(logits, labels, 0.0, None, label_smoothing, reduction, pos_weight)


def binary_focal(
    logits: Tensor,
    labels: MixedLabels,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    pos_weight: Tensor | float | None = None,
) -> Tensor:
    """Focal loss of every class by itself (Lin et al. 2017, Eq. 5), with p = σ(logits):

        -[v_c t_c α (1 - p_c)^γ log p_c + (1 - t_c)(1 - α) p_c^γ log(1 - p_c)]

    logits: (N, C); alpha: α in [0, 1], None for a factor of 1 on both sides; all else as in `bce`, which it is at
    gamma = 0 and alpha = None. Equals `torchvision.ops.sigmoid_focal_loss` where the target is 0 or 1.
    """
    positive = None if pos_weight is None else torch.as_tensor(pos_weight)
    _check(logits, labels, label_smoothing, reduction, gamma, pos_weight=positive)
    check_alpha(alpha)
    x, at = logits.to(_precise(logits)), labels.classes
    there, not_there = (None, None) if alpha is None else (alpha, 1 - alpha)
    factor = None if positive is None else positive.to(x).expand_as(x)
    picked = x.gather(1, at)
    loss = _times(_lost(x, gamma), not_there)  # as if no class were there
    absent = _valued(_times(_lost(picked, gamma), not_there), loss.detach().gather(1, at))
    present = _times(_lost(-picked, gamma), there, None if factor is None else factor.gather(1, at))
    spread, sure = _spread(labels, label_smoothing), labels.weights
    if spread is not None:
        loss = torch.lerp(loss, _times(_lost(-x, gamma), there, factor), spread[:, None] / x.shape[1])
        sure = sure * (1 - spread)[:, None]
    # Taken away, then put in: where a weight is 1, nothing of what a large logit loses is left to round.
    loss = loss.scatter_add_(1, at, -sure * absent).scatter_add_(1, at, sure * present)
    return _reduce(loss, reduction, len(logits))


def _lost(x: Tensor, gamma: float) -> Tensor:
    """-σ(x)^γ log(1 - σ(x)): what a class loses that is not there; that of -x is what one loses that is there."""
    loss = F.softplus(x)
    return loss if gamma == 0 else loss * torch.exp(-gamma * F.softplus(-x))


def _valued(computed: Tensor, value: Tensor) -> Tensor:
    """The gradient of one tensor, the value of another that is equal but for rounding."""
    return computed + (value - computed.detach())


def _times(loss: Tensor, *factors: Tensor | float | None) -> Tensor:
    for factor in factors:
        loss = loss if factor is None else loss * factor
    return loss


def _precise(logits: Tensor) -> torch.dtype:
    """Half precision would cost half the digits of the loss."""
    return torch.promote_types(logits.dtype, torch.float32)


def _spread(labels: MixedLabels, label_smoothing: float) -> Tensor | None:
    """s, (N,): the share of each target that is spread evenly. None where that is known to be nothing."""
    known = labels.doubt.device.type == "cpu"  # elsewhere looking would wait for the device
    if known and label_smoothing == 0 and not labels.doubt.any():
        return None
    return 1 - (1 - labels.doubt) * (1 - label_smoothing)


def _reduce(loss: Tensor, reduction: Reduction, n: int) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    return loss.sum() / n if reduction == "batchmean" else loss.sum()


def _check(
    logits: Tensor,
    labels: MixedLabels,
    label_smoothing: float,
    reduction: Reduction,
    gamma: float = 0.0,
    class_weights: Tensor | None = None,
    pos_weight: Tensor | None = None,
) -> None:
    check_reduction(reduction)
    check_smoothing(label_smoothing)
    check_gamma(gamma)
    if logits.ndim != 2 or len(logits) != len(labels.classes):
        raise UserError(
            f"logits have shape {tuple(logits.shape)} for {len(labels.classes)} labels: give a row per image and "
            "a column per class"
        )
    labels.check_classes(logits.shape[1])
    for name, given in (("class_weights", class_weights), ("pos_weight", pos_weight)):
        alone = name == "pos_weight" and given is not None and given.ndim == 0
        if given is not None and not alone and given.shape != logits.shape[1:]:
            shape, classes = tuple(given.shape), logits.shape[1]
            raise UserError(f"{name} has shape {shape}: give one number for each of {classes} classes")


def check_reduction(reduction: Reduction) -> Reduction:
    """``reduction`` itself, if it is one."""
    if reduction not in get_args(Reduction):
        raise UserError(f"reduction={reduction!r} is unknown: use one of {', '.join(get_args(Reduction))}")
    return reduction


def check_smoothing(label_smoothing: float) -> float:
    """ε itself, if it is a share."""
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"label_smoothing={label_smoothing} is no share: give 0 to 1, 0.1 is usual")
    return label_smoothing


def check_gamma(gamma: float) -> float:
    """γ itself, if it can be one."""
    if not 0 <= gamma < float("inf"):
        raise UserError(f"gamma={gamma} is no focus: give a number from 0 (none) up, 2 is usual")
    return gamma


def check_alpha(alpha: float | None) -> float | None:
    """α itself, if it is a share, or None."""
    if alpha is not None and not 0 <= alpha <= 1:
        raise UserError(f"alpha={alpha} shares the loss between classes there and not there: give 0 to 1, or None")
    return alpha

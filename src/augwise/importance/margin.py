"""By how much a classifier is fooled: the one number that attacks raise and pruning guards. Touches only tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def margin(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """How far an image is on the wrong side; it is fooled where this is above 0.

        untargeted: max_{c ≠ y} z_c - z_y          targeted: z_t - max_{c ≠ t} z_c

    logits: (N, K ≥ 2); labels, targets: (N,) int64. Returns (N,) in units of the logits. A tie is not fooled, and
    neither is NaN.
    """
    at = (labels if targets is None else targets)[:, None]
    inside = logits.gather(1, at)[:, 0]
    outside = logits.scatter(1, at, float("-inf")).amax(1)
    return outside - inside if targets is None else inside - outside


def margin_gradient(
    model: nn.Module, inputs: Tensor, labels: Tensor, targets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The margin (N,) of each image and its gradient with respect to the pixels, (N, C, H, W)."""
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        found = margin(model(inputs), labels, targets)
        (grad,) = torch.autograd.grad(found.sum(), inputs)
    return found.detach(), grad


def rows_of(targets: Tensor | None, rows: Tensor) -> Tensor | None:
    """The targets of some rows; None stays None."""
    return None if targets is None else targets[rows]

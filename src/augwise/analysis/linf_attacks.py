"""Gradient attacks of bounded ℓ∞ size on a classifier of pixels in [0, 1]: one step, and many. Draws nothing itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Attacked(NamedTuple):
    """images: (N, C, H, W) in [0, 1], at most epsilon from the clean ones; blind: (N,) bool, images whose first
    gradient was zero everywhere, on which the attack saw nothing."""

    images: Tensor
    blind: Tensor


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Attacked:
    """x′ = clamp(x + ε sign ∇ₓ L(x, y)), with the cross-entropy L (Goodfellow et al. 2015, section 4).

    model: frozen, eval mode, pixels in [0, 1] to logits; images: (N, C, H, W) float; labels: (N,); epsilon in units of
    pixels in [0, 1].
    """
    slope = _slope(model, images, labels)
    return Attacked((images + epsilon * slope.sign()).clamp(0, 1), _blind(slope))


def pgd(
    model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, start: Tensor, steps: int, alpha: float
) -> Attacked:
    """x ← Π(x + α sign ∇ₓ L(x, y)), ``steps`` times (Madry et al. 2018, section 2.1); Π cuts off at ε from the clean
    image and at [0, 1]. The last iterate is returned.

    start: (N, C, H, W) in [−1, 1], times ε the perturbation at which it begins (uniform draws; zeros: at the image).
    Otherwise as `fgsm`.
    """
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    moved, blind = (images + epsilon * start).clamp(low, high), None
    for _ in range(steps):
        slope = _slope(model, moved, labels)
        blind = _blind(slope) if blind is None else blind
        moved = (moved + alpha * slope.sign()).clamp(low, high)
    return Attacked(moved, torch.zeros(len(images), dtype=torch.bool, device=images.device) if blind is None else blind)


def _slope(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    # Summed, not averaged: an image's gradient must not depend on how many others there are.
    with torch.enable_grad():
        given = images.detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(model(given), labels, reduction="sum")
        return torch.autograd.grad(loss, given)[0]


def _blind(slope: Tensor) -> Tensor:
    return slope.flatten(1).abs().amax(1) == 0

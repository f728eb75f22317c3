"""σ-zero: gradient descent on a differentiable stand-in for the ℓ0 norm.

Cinà et al. 2025, "σ-zero: gradient-based optimization of ℓ0-norm adversarial examples", Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin
from .base import SparsePerturbation, Victims, at_least


@dataclass(frozen=True)
class SigmaZero(SparsePerturbation):
    """Fewest changed entries by descent with a smooth ℓ0 norm and a moving threshold (Cinà et al. 2025).

        minimise  max(-margin(x + delta), 0) + (1/d) Σ_i δ_i² / (δ_i² + σ),   d entries

    The gradient is divided by its largest entry; Adam with a cosine schedule steps; x + delta is kept in [0, 1];
    entries with |δ_i| < τ are set to 0, and τ rises by ``threshold_step`` · rate while the image is fooled and falls
    while it is not. Of all fooled steps the one with fewest entries counts. Not bounded by epsilon.
    """

    paper: ClassVar[str] = "Cinà et al. 2025, σ-zero"
    bounded: ClassVar[bool] = False

    steps: int = 200
    """Steps; the paper takes up to 1 000."""
    lr: float = 1.0
    """First rate; it falls to a tenth."""
    sigma: float = 1e-3
    """σ: how sharp the smooth ℓ0 norm is."""
    threshold: float = 0.3
    """τ at first."""
    threshold_step: float = 0.01
    """How far τ moves in a step, times the rate."""

    def __post_init__(self) -> None:
        at_least("sigma-zero", steps=self.steps)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        images, labels, targets, _ = victims
        entries = images[0].numel()
        delta = torch.zeros_like(images)
        first, second = torch.zeros_like(delta), torch.zeros_like(delta)
        threshold = images.new_full((len(images),), self.threshold)
        best, fewest = torch.zeros_like(delta), torch.full_like(labels, entries + 1)
        for step in range(1, self.steps + 1):
            with torch.enable_grad():
                delta = delta.detach().requires_grad_()
                value = margin(model(images + delta), labels, targets)
                square = delta.square()
                smooth = (square / (square + self.sigma)).sum((1, 2, 3)) / entries
                (grad,) = torch.autograd.grad(((-value).clamp_min(0) + smooth).sum(), delta)
            delta, fooled = delta.detach(), value.detach() > 0
            count = (delta != 0).sum((1, 2, 3))
            better = fooled & (count < fewest)
            best = torch.where(better[:, None, None, None], delta, best)
            fewest = torch.where(better, count, fewest)

            rate = self.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 1) / self.steps)) / 2)
            grad = grad / grad.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
            first = 0.9 * first + 0.1 * grad
            second = 0.999 * second + 0.001 * grad.square()
            adam = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            delta = (images + delta - rate * adam).clamp(0, 1) - images
            move = self.threshold_step * rate
            threshold = (threshold + torch.where(fooled, move, -move)).clamp(0, 1)
            delta = delta * (delta.abs() >= threshold[:, None, None, None])
        return best

"""Carlini and Wagner's ℓ0 attack: their ℓ2 attack on fewer and fewer pixels.

Carlini and Wagner 2017, "Towards evaluating the robustness of neural networks", Section VI-B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin_gradient
from ..pruning import ranks
from .base import SparsePerturbation, Victims, at_least


@dataclass(frozen=True)
class CarliniWagnerL0(SparsePerturbation):
    """The ℓ2 attack on a set of allowed pixels, from which the least useful are taken after each success (C&W 2017).

        minimise ‖delta‖² + c · max(-margin(x + delta), -κ)   by Adam,   x + delta = (tanh w + 1) / 2

    After a success the ``shrink`` share of allowed pixels with the least g · |delta| (g the gradient of the margin) is
    put back to the image for good, and the next round starts from what was found; after a failure c grows tenfold,
    up to ``largest``. The paper's code takes away about 0.3 √n of n pixels a round and runs up to 1 000 steps a round,
    which is hundreds of rounds: here both are few, and stated. Not bounded by epsilon.
    """

    paper: ClassVar[str] = "Carlini and Wagner 2017, C&W-ℓ0"
    bounded: ClassVar[bool] = False

    rounds: int = 24
    """ℓ2 attacks in a row, failures counted."""
    steps: int = 40
    """Steps of Adam in each."""
    shrink: float = 0.25
    """Share of the allowed pixels that leaves after a success."""
    lr: float = 0.05
    """Learning rate of Adam on w."""
    c: float = 1.0
    """First weight of the misclassification."""
    largest: float = 1e4
    """Largest weight of it."""
    confidence: float = 0.0
    """κ: the margin that is asked for."""

    def __post_init__(self) -> None:
        at_least("cw-l0", rounds=self.rounds, steps=self.steps)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        images = victims.images
        best = torch.zeros_like(images)
        warm = torch.zeros_like(images)
        allowed = torch.ones_like(images[:, 0], dtype=torch.bool)
        c = images.new_full((len(images),), self.c)
        rows = torch.arange(len(images), device=images.device)
        for _ in range(self.rounds):
            rows = rows[(c[rows] <= self.largest) & allowed[rows].any(2).any(1)]
            if not len(rows):
                break
            part = victims.rows(rows)
            delta, grad, fooled = self._l2(model, part, allowed[rows], warm[rows], c[rows])
            won = rows[fooled]
            best[won] = warm[won] = delta[fooled]
            c[rows[~fooled]] *= 10
            use = (grad * delta).abs().sum(1)[fooled]
            allowed[won] = _fewer(allowed[won] & (delta[fooled] != 0).any(1), use, self.shrink)
            warm[won] = warm[won] * allowed[won][:, None]
        return best

    def _l2(
        self, model: nn.Module, victims: Victims, allowed: Tensor, start: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The smallest successful perturbation, the margin's gradient there, and whether there is one."""
        images, labels, targets, _ = victims
        edge = 1 - 1e-4 if images.dtype != torch.float64 else 1 - 1e-6
        w = ((2 * (images + start) - 1) * edge).atanh()
        first, second = torch.zeros_like(w), torch.zeros_like(w)
        found, found_grad = torch.zeros_like(images), torch.zeros_like(images)
        smallest = images.new_full((len(images),), torch.inf)
        for step in range(1, self.steps + 1):
            tanh = w.tanh()
            delta = ((tanh + 1) / 2 - images) * allowed[:, None]
            value, to_delta = margin_gradient(model, images + delta, labels, targets)
            size = delta.square().sum((1, 2, 3))
            better = (value > self.confidence) & (size < smallest)
            smallest = torch.where(better, size, smallest)
            every = better[:, None, None, None]
            found, found_grad = torch.where(every, delta, found), torch.where(every, to_delta, found_grad)
            weight = torch.where(value < self.confidence, c, 0)[:, None, None, None]
            grad = (2 * delta - weight * to_delta) * allowed[:, None] * (1 - tanh.square()) / 2
            first = 0.9 * first + 0.1 * grad
            second = 0.999 * second + 0.001 * grad.square()
            scale = (second / (1 - 0.999**step)).sqrt() + 1e-8
            w = w - self.lr * first / (1 - 0.9**step) / scale
        return found, found_grad, smallest.isfinite()


def _fewer(allowed: Tensor, use: Tensor, share: float) -> Tensor:
    """Allowed pixels (B, H, W) without the share of them (one at least) of least use."""
    count = (allowed.sum((1, 2)) * share).ceil()
    return allowed & (ranks(use.masked_fill(~allowed, torch.inf)) >= count[:, None, None])

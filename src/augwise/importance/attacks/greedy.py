"""Greedy growth and removal of pixels in the manner of GreedyFool.

Dong et al. 2020, "GreedyFool: distortion-aware sparse adversarial attack". Without its distortion map, which needs a
generative network of its own and steers where a change is seen, not how many pixels it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin, margin_gradient, rows_of
from .base import SparsePerturbation, Victims, at_least, box


@dataclass(frozen=True)
class Greedy(SparsePerturbation):
    """Add pixels of largest gradient until the image is fooled, then take back the weakest (Dong et al. 2020).

    *Growth*: each step opens the ``growth`` closed pixels of largest Σ_c |∂margin/∂x_c| and moves all open ones by
    epsilon · g / max|g|, clipped to epsilon and the valid pixels. *Removal*: open pixels are tried once each, the
    least perturbed first, and closed where the image stays fooled.
    """

    paper: ClassVar[str] = "Dong et al. 2020, GreedyFool"

    growth: int = 2
    """Pixels opened in one step."""
    most: float = 1.0
    """Share of the pixels that may be opened before the attack gives up."""

    def __post_init__(self) -> None:
        at_least("greedy", growth=self.growth)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        images, labels, targets, _ = victims
        low, high = box(images, epsilon)
        delta = torch.zeros_like(images)
        mask = torch.zeros_like(images[:, 0], dtype=torch.bool)
        rows = torch.arange(len(images), device=images.device)
        last = int(self.most * mask[0].numel()) // self.growth
        for step in range(last + 1):
            value, grad = margin_gradient(model, images[rows] + delta[rows], labels[rows], rows_of(targets, rows))
            rows, grad = rows[value <= 0], grad[value <= 0]
            if not len(rows) or step == last:
                break
            worth = grad.abs().sum(1).masked_fill(mask[rows], -1).flatten(1)
            opened = mask[rows].flatten(1).scatter(1, worth.topk(self.growth, 1).indices, True)
            mask[rows] = opened.view(-1, *mask.shape[1:])
            grad = grad * mask[rows][:, None]
            size = grad.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(grad.dtype).tiny)
            delta[rows] = (delta[rows] + epsilon * grad / size).clamp(low[rows], high[rows])
        return self._removed(model, victims, delta)

    def _removed(self, model: nn.Module, victims: Victims, delta: Tensor) -> Tensor:
        images, labels, targets, _ = victims
        size = delta.abs().sum(1).flatten(1)
        order = size.masked_fill(size == 0, torch.inf).argsort(dim=1, stable=True)
        rows = torch.arange(len(images), device=images.device)
        rows = rows[margin(model(images + delta), labels, targets) > 0]
        for place in range(size.shape[1]):
            rows = rows[(size[rows] > 0).sum(1) > place]
            if not len(rows):
                break
            trial = delta[rows].flatten(2)
            trial.scatter_(2, order[rows, place][:, None, None].expand(-1, trial.shape[1], 1), 0)
            trial = trial.view(-1, *delta.shape[1:])
            good = margin(model(images[rows] + trial), labels[rows], rows_of(targets, rows)) > 0
            delta[rows[good]] = trial[good]
        return delta

"""PGD on the intersection of an ℓ0 ball and an ℓ∞ box, with the smallest ball found per image.

Croce and Hein 2019, "Sparse and imperceivable adversarial attacks", Section 4: PGD_0 and its version with a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin_gradient
from ..pruning import mean_size, project_l0
from .base import SparsePerturbation, Victims, at_least, box, uniform


@dataclass(frozen=True)
class PGDL0(SparsePerturbation):
    """Projected gradient ascent of the margin with at most k changed pixels, |delta| <= epsilon (Croce and Hein 2019).

        delta ← P_k(delta + step · epsilon · C H W · g / ‖g‖₁)
        P_k: the nearest perturbation in the box with at most k pixels, see `pruning.project_l0`

    The paper attacks with a fixed k. Here the smallest k is sought for every image by itself: all pixels first, then
    bisection of log k. An image counts as fooled with k as soon as one step fools it.
    """

    paper: ClassVar[str] = "Croce and Hein 2019, Sparse and imperceivable adversarial attacks"

    steps: int = 50
    """Steps for each k."""
    step: float = 2.0
    """Mean move of an entry in one step, in units of epsilon."""
    searches: int = 9
    """How many k are tried beside all pixels."""

    def __post_init__(self) -> None:
        at_least("pgd-l0", steps=self.steps, searches=self.searches)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        best = torch.zeros_like(victims.images)
        pixels = victims.images[0, 0].numel()
        k = torch.full_like(victims.labels, pixels)
        low, high = torch.zeros_like(k), k + 1  # most pixels that failed, fewest that succeeded
        for search in range(self.searches + 1):
            rows = (k > low).logical_and(k < high).nonzero()[:, 0]
            if not len(rows):
                break
            delta, fooled = self._with(model, victims.rows(rows), epsilon, k[rows], search)
            won = rows[fooled]
            best[won] = delta[fooled]
            high[won] = (delta[fooled] != 0).any(1).sum((1, 2)).clamp_min(1)
            low[rows[~fooled]] = k[rows[~fooled]]
            k = (low.clamp_min(1).double() * high.double()).sqrt().long().clamp_min(1)
            k = torch.where((low == 0) & (k >= high), high - 1, k).maximum(low + 1)
        return best

    def _with(
        self, model: nn.Module, victims: Victims, epsilon: float, k: Tensor, search: int
    ) -> tuple[Tensor, Tensor]:
        """At most k (B,) pixels: perturbation, and whether it fools."""
        images = victims.images
        low, high = box(images, epsilon)
        start = uniform(victims.seeds, images.shape[1:], f"pgd-l0 {search}", images)
        found = project_l0((2 * start - 1) * epsilon, low, high, k)
        fooled = torch.zeros_like(victims.labels, dtype=torch.bool)
        rows = torch.arange(len(images), device=images.device)
        for step in range(self.steps + 1):
            part, delta = victims.rows(rows), found[rows]
            value, grad = margin_gradient(model, part.images + delta, part.labels, part.targets)
            fooled[rows] = value > 0
            rows, delta, grad = rows[value <= 0], delta[value <= 0], grad[value <= 0]
            if not len(rows) or step == self.steps:
                break
            move = self.step * epsilon * grad / mean_size(grad)
            found[rows] = project_l0(delta + move, low[rows], high[rows], k[rows])
        return found, fooled

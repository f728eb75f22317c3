"""Sparse attack by perturbation factorisation: how much and where, the latter as a binary programme.

Fan et al. 2020, "Sparse adversarial attack via perturbation factorization", Section 3; the ℓp-box ADMM is Wu and
Ghanem's (2019). For images of pixels, without the paper's groups of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin, margin_gradient
from ..pruning import ranks
from .base import SparsePerturbation, Victims, at_least


@dataclass(frozen=True)
class SAPF(SparsePerturbation):
    """delta = e ⊙ G, magnitudes e and a binary mask G with k pixels, found in turns (Fan et al. 2020).

        minimise ‖e ⊙ G‖² + λ · max(κ - margin(x + e ⊙ G), 0)   s.t. G ∈ {0, 1}^(H W),  1ᵀG = k

    G ∈ {0, 1} is written as the meeting of the box [0, 1] and a sphere around ½ (ℓ2-box ADMM): gradient steps on G with
    multipliers of both copies and of the sum, ρ growing, then the k largest of G. e moves by gradient steps. The paper
    gives k and searches λ; here the smallest k is sought by halving, and λ grows tenfold where the attack fails. e is
    not bounded by epsilon.
    """

    paper: ClassVar[str] = "Fan et al. 2020, SAPF"
    bounded: ClassVar[bool] = False

    rounds: int = 8
    """How many pairs of k and λ are tried."""
    turns: int = 4
    """Turns between e and G in a round."""
    steps: int = 15
    """Gradient steps on e, and on G, in a turn."""
    e_step: float = 0.02
    """Largest move of e in a step, in pixel values."""
    mask_step: float = 0.1
    """Largest move of G in a step."""
    share: float = 0.25
    """First k, as a share of the pixels."""
    lam: float = 10.0
    """First λ."""
    confidence: float = 0.1
    """κ: the margin that is asked for."""

    def __post_init__(self) -> None:
        at_least("sapf", rounds=self.rounds, turns=self.turns, steps=self.steps)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        images = victims.images
        best = torch.zeros_like(images)
        pixels = images[0, 0].numel()
        high = torch.full_like(victims.labels, pixels + 1)
        low = torch.zeros_like(high)
        k = torch.full_like(high, max(1, int(self.share * pixels)))
        lam = images.new_full((len(images),), self.lam)
        for _ in range(self.rounds):
            rows = ((k > low) & (k < high)).nonzero()[:, 0]
            if not len(rows):
                break
            delta, fooled = self._with(model, victims.rows(rows), k[rows], lam[rows])
            won, lost = rows[fooled], rows[~fooled]
            best[won], high[won] = delta[fooled], k[won]
            hopeless = lam[lost] >= 100 * self.lam
            low[lost[hopeless]] = k[lost[hopeless]]
            lam[lost] = torch.where(hopeless, self.lam, 10 * lam[lost])
            k[won] = (low[won] + high[won]) // 2
            k[lost[hopeless]] = (low[lost[hopeless]] + high[lost[hopeless]]) // 2
        return best

    def _with(self, model: nn.Module, victims: Victims, k: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
        images, labels, targets, _ = victims
        e, mask = torch.zeros_like(images), torch.ones_like(images[:, 0])
        for _ in range(self.turns):
            for _ in range(self.steps):
                grad = self._gradient(model, victims, e * mask[:, None], lam) * mask[:, None]
                e = ((images + e - self.e_step * _scaled(grad)).clamp(0, 1)) - images
            mask = self._mask(model, victims, e, mask, k, lam)
        hard = (ranks(-mask * e.square().sum(1).sqrt()) < k[:, None, None]).to(e.dtype)[:, None]
        best = torch.zeros_like(e)
        for _ in range(self.steps + 1):
            e = ((images + e).clamp(0, 1) - images) * hard
            fooled = margin(model(images + e), labels, targets) > 0
            best = torch.where(
                fooled[:, None, None, None] & (best == 0).all(3).all(2).all(1)[:, None, None, None], e, best
            )
            e = e - self.e_step * _scaled(self._gradient(model, victims, e, lam) * hard)
        return best, (best != 0).any(3).any(2).any(1)

    def _gradient(self, model: nn.Module, victims: Victims, delta: Tensor, lam: Tensor) -> Tensor:
        """Of ‖delta‖² + λ max(κ - margin, 0) with respect to delta."""
        value, grad = margin_gradient(model, victims.images + delta, victims.labels, victims.targets)
        weight = torch.where(value < self.confidence, lam, 0)[:, None, None, None]
        return 2 * delta - weight * grad

    def _mask(self, model: nn.Module, victims: Victims, e: Tensor, mask: Tensor, k: Tensor, lam: Tensor) -> Tensor:
        """Steps of ℓ2-box ADMM on G, (B, H, W) near {0, 1}."""
        pixels = mask[0].numel()
        box_dual, sphere_dual = torch.zeros_like(mask), torch.zeros_like(mask)
        sum_dual, rho = mask.new_zeros(len(mask), 1, 1), 0.05
        total = k[:, None, None].to(mask.dtype)
        for _ in range(self.steps):
            in_box = (mask + box_dual / rho).clamp(0, 1)
            off = mask + sphere_dual / rho - 0.5
            norm = off.square().sum((1, 2), keepdim=True).sqrt().clamp_min(1e-12)
            on_sphere = 0.5 + off * (pixels**0.5 / 2) / norm
            excess = mask.sum((1, 2), keepdim=True) - total
            grad = (self._gradient(model, victims, e * mask[:, None], lam) * e).sum(1)
            grad = grad + box_dual + sphere_dual + sum_dual
            grad = grad + rho * (2 * mask - in_box - on_sphere + excess / pixels)
            mask = mask - self.mask_step * _scaled(grad[:, None])[:, 0]
            box_dual, sphere_dual = box_dual + rho * (mask - in_box), sphere_dual + rho * (mask - on_sphere)
            sum_dual = sum_dual + rho * (mask.sum((1, 2), keepdim=True) - total) / pixels
            rho = min(1.3 * rho, 20.0)
        return mask.clamp(0, 1)


def _scaled(grad: Tensor) -> Tensor:
    """Each image's gradient divided by its largest entry."""
    return grad / grad.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)

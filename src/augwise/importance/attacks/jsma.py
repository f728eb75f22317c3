"""The Jacobian-based saliency map attack, with its step bounded by epsilon.

Papernot et al. 2016, "The limitations of deep learning in adversarial settings", Algorithm 3 and Eq. 8-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..cdiea import wrong_class
from ..margin import margin
from .base import SparsePerturbation, Victims, at_least, box


@dataclass(frozen=True)
class JSMA(SparsePerturbation):
    """Entries (a channel of a pixel) that raise the target's logit and lower all others', a few a step (Papernot 2016).

        S_i = |∂z_t/∂x_i| · |Σ_{c≠t} ∂z_c/∂x_i|   where the two have opposite signs, else 0

    Each step takes the ``per_step`` entries of largest S and moves them by ±epsilon in the direction that raises z_t;
    an entry is moved once. Where no entry has S > 0, those of largest ∂(z_t - Σ_{c≠t} z_c)/∂x are taken. The paper
    moves in one direction, by a θ that is a constant of its own (1), and searches all pairs of entries at once; both
    signs and a θ of epsilon make it comparable here, and two entries of largest S stand for the pair. It needs a
    target: untargeted, it is the most likely wrong class, and any wrong class ends it.
    """

    paper: ClassVar[str] = "Papernot et al. 2016, JSMA"

    per_step: int = 2
    """Entries moved in one step."""
    most: float = 0.5
    """Share of the entries that may be moved before the attack gives up."""

    def __post_init__(self) -> None:
        at_least("jsma", per_step=self.per_step)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        images = victims.images
        low, high = box(images, epsilon)
        delta = torch.zeros_like(images)
        moved = torch.zeros_like(images, dtype=torch.bool).flatten(1)
        reach = victims.targets
        if reach is None:
            reach = wrong_class(model(images), victims.labels, "most_likely", victims.seeds)
        rows = torch.arange(len(images), device=images.device)
        last = int(self.most * moved.shape[1]) // self.per_step
        for step in range(last + 1):
            part = victims.rows(rows)
            logits, to_target, to_others = _jacobian(model, part.images + delta[rows], reach[rows])
            going = margin(logits, part.labels, part.targets) <= 0
            rows, to_target, to_others = rows[going], to_target[going].flatten(1), to_others[going].flatten(1)
            if not len(rows) or step == last:
                break
            saliency = (-to_target * to_others).clamp_min(0).masked_fill(moved[rows], -1)
            plain = (to_target - to_others).abs().masked_fill(moved[rows], -1)
            none = (saliency <= 0).all(1, keepdim=True)
            index = torch.where(none, plain, saliency).topk(self.per_step, 1).indices
            moved[rows] = moved[rows].scatter(1, index, True)
            up = torch.where(none, to_target - to_others, to_target) > 0
            corner = torch.where(up.view_as(delta[rows]), high[rows], low[rows]).flatten(1)
            new = delta[rows].flatten(1).scatter(1, index, corner.gather(1, index))
            delta[rows] = new.view_as(delta[rows])
        return delta


def _jacobian(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, K), ∂z_t/∂x and Σ_{c≠t} ∂z_c/∂x, both (B, C, H, W)."""
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        logits = model(inputs)
        reached = logits.gather(1, targets[:, None]).sum()
        (to_target,) = torch.autograd.grad(reached, inputs, retain_graph=True)
        (to_all,) = torch.autograd.grad(logits.sum(), inputs)
    return logits.detach(), to_target, to_all - to_target

"""SparseFool: few changed entries by a sequence of linear problems on a nearly flat decision boundary.

Modas, Moosavi-Dezfooli and Frossard 2019, "SparseFool: a few pixels make a big difference", Algorithms 1 and 2; the
inner step is DeepFool (Moosavi-Dezfooli et al. 2016). Here for a batch, with the linear problem solved by sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin
from .base import SparsePerturbation, Victims, at_least, box


@dataclass(frozen=True)
class SparseFool(SparsePerturbation):
    """Cross a plane near the decision boundary with as few entries as the bounds allow (Modas et al. 2019).

    Until the image is fooled, from the point x_i reached so far (Algorithm 2): DeepFool goes to a boundary point
    x_i + r; with w the gradient of z_k - z_y there (k the class reached), x_i moves to w · (x' - x_i - λ r) = 0 by
    changing entries in the order of |w|, each as far as its bound (`cross`). What is tried, and returned, goes
    ``overshoot`` further from the image, within the bounds. These are the paper's l and u: here epsilon and the valid
    pixels. Untargeted.
    """

    paper: ClassVar[str] = "Modas et al. 2019, SparseFool"
    targeted: ClassVar[bool] = False

    steps: int = 20
    """Planes crossed at most."""
    inner_steps: int = 20
    """Steps of DeepFool at most."""
    lam: float = 3.0
    """How much further than the boundary the plane is set (λ)."""
    anew: bool = False
    """Cross every plane from the image rather than from the last point, so that entries of earlier planes do not
    stay: not the paper's."""
    overshoot: float = 0.02
    """How much further than the plane the image moves, and DeepFool than its boundary."""
    classes: int = 10
    """DeepFool looks at this many of the likeliest classes, the label included."""

    def __post_init__(self) -> None:
        at_least("sparsefool", steps=self.steps, inner_steps=self.inner_steps, classes=self.classes - 1)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        images, labels, _, _ = victims
        low, high = box(images, epsilon)
        reached = torch.zeros_like(images)
        rows = torch.arange(len(images), device=images.device)

        def tried(rows: Tensor) -> Tensor:
            return ((1 + self.overshoot) * reached[rows]).clamp(low[rows], high[rows])

        for step in range(self.steps + 1):
            rows = rows[margin(model(images[rows] + tried(rows)), labels[rows]) <= 0]
            if not len(rows) or step == self.steps:
                break
            part, start = victims.rows(rows), reached[rows]
            boundary = self._deepfool(model, part, start)
            normal = _normal(model, part.images + boundary, part.labels)
            plane = start + self.lam * (boundary - start)
            if self.anew:
                start = torch.zeros_like(start)
            gap = (normal * (plane - start)).sum((1, 2, 3))
            reached[rows] = start + cross(normal, gap, low[rows] - start, high[rows] - start)
        return tried(torch.arange(len(images), device=images.device))

    def _deepfool(self, model: nn.Module, victims: Victims, start: Tensor) -> Tensor:
        """The perturbation of the images that DeepFool reaches from ``start``, in the valid pixels."""
        images = victims.images
        low, high = box(images, None)
        delta = start.clone()
        rows = torch.arange(len(images), device=images.device)
        for step in range(self.inner_steps + 1):
            part = victims.rows(rows)
            inputs = (part.images + delta[rows]).requires_grad_()
            with torch.enable_grad():
                logits = model(inputs)
                going = margin(logits.detach(), part.labels) <= 0
                if not going.any() or step == self.inner_steps:
                    break
                away, distance = self._nearest(logits, inputs, part.labels)
            moved = delta[rows] + (1 + self.overshoot) * (distance + 1e-4)[:, None, None, None] * away
            rows, moved = rows[going], moved[going]
            delta[rows] = moved.clamp(low[rows], high[rows])
        return delta

    def _nearest(self, logits: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Unit direction to the nearest of the linearised boundaries, and the distance to it."""
        label = labels[:, None]
        count = min(self.classes, logits.shape[1]) - 1
        others = logits.detach().scatter(1, label, -torch.inf).topk(count, 1).indices
        best = inputs.new_full((len(inputs),), torch.inf)
        direction = torch.zeros_like(inputs)
        for place in range(count):
            lead = (logits.gather(1, others[:, place : place + 1]) - logits.gather(1, label))[:, 0]
            (grad,) = torch.autograd.grad(lead.sum(), inputs, retain_graph=place + 1 < count)
            norm = grad.square().sum((1, 2, 3)).sqrt().clamp_min(1e-12)
            distance = lead.detach().abs() / norm
            nearer = distance < best
            best = torch.where(nearer, distance, best)
            direction = torch.where(nearer[:, None, None, None], grad / norm[:, None, None, None], direction)
        return direction, best


def _normal(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Unit gradient of z_k - z_y, k the likeliest class beside the label."""
    with torch.enable_grad():
        inputs = inputs.detach().requires_grad_()
        (grad,) = torch.autograd.grad(margin(model(inputs), labels).sum(), inputs)
    return grad / grad.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def cross(normal: Tensor, gap: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The perturbation with fewest entries such that <normal, delta> = gap, low <= delta <= high (Algorithm 1).

    Entries move in the order of |normal|, each to its bound, the last one only as far as is needed; all move where all
    together do not suffice. normal, low, high: (B, C, H, W), low <= 0 <= high; gap: (B,).
    """
    w = (normal * gap.sign()[:, None, None, None]).flatten(1)
    room = torch.where(w > 0, high.flatten(1), low.flatten(1))
    order = w.abs().argsort(dim=1, descending=True, stable=True)
    sorted_w, sorted_room = w.gather(1, order), room.gather(1, order)
    gained = sorted_w * sorted_room
    before = gained.cumsum(1) - gained
    share = ((gap.abs()[:, None] - before) / gained.clamp_min(torch.finfo(w.dtype).tiny)).clamp(0, 1) * (gained > 0)
    return torch.zeros_like(w).scatter(1, order, sorted_room * share).view_as(normal)

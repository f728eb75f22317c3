"""CDIEA, the papers' importance: the few pixels that a sparse targeted attack needs in order to change the class.

IPF-RDA, Section III-B, Algorithm 1. This file says what is minimised, from where and how alpha rises; the loop, the
encoders and the constants that every sparse attack has are in `sparse`. Touches nothing but tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from .sparse import Recipe, Start, one_of

Target = Literal["most_likely", "random", "least_likely"]


@dataclass(frozen=True)
class CDIEA(Recipe):
    """Importance of pixels by a sparse attack towards another class y* (IPF-RDA, Algorithm 1).

        L = CE(f(x + delta * m), y*) + mu * mean(m)                                      (Eq. 7)
        mu = nu * share of m above 0.5                                                   (Eq. 8)
        m = sigmoid(alpha * F(delta)),  delta_0 = 0,  alpha from alpha_start to alpha_end
        importance = 1 / max(|delta|, floor) where the final m > 0.5, else 0             (Eq. 10)

    alpha rises linearly; in the last phase it rises faster for images whose mask is not yet binary. The attack has
    succeeded where the image with the sparse perturbation is not taken for its label; otherwise the map is all zero.
    An image that the model mistakes already is attacked like any other, unless ``mistaken`` says otherwise (y* is then
    the class it is taken for): it succeeds with few points, and its map says little about its label.

    delta follows the gradient of the whole loss, through the encoder too, and never leaves the valid pixels; the paper
    does not clip to these and prints no steps, beta, momentum, encoder settings or target class. The defaults of beta,
    momentum and the encoder are the released code's.
    """

    name: ClassVar[str] = "cdiea"

    nu: float = 10.0
    """Weight of sparsity (Eq. 8): more gives fewer points and more failed attacks. The paper's value for CIFAR."""
    target: Target = "most_likely"
    """The wrong class to reach: the clean image's most or least likely one, or a random one."""
    last_phase: float = 0.1
    """Share of the steps in which alpha rises faster while the mask is not binary."""
    last_phase_factor: float = 10.0
    """How much faster alpha then rises."""
    binary_share: float = 0.99
    """Share of the mask below 0.01 or above 0.99 (Eq. 6) from which it counts as binary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.name, "target", self.target, ("most_likely", "random", "least_likely"))
        for name in ("nu", "last_phase_factor"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{self.name}: {name} must be finite and not negative, not {getattr(self, name)}")
        for name in ("last_phase", "binary_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{self.name}: {name} is a share and must lie in [0, 1], not {getattr(self, name)}")

    def start(self, model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, seeds: list[int]) -> Start:  # noqa: ARG002
        one, worth = images.new_ones(len(images)), self.worth(logits, labels)
        return Start(torch.zeros_like(images), wrong_class(logits, labels, self.target, seeds), one, worth)

    def class_loss(self, logits: Tensor, start: Start) -> Tensor:
        return F.cross_entropy(logits, start.targets, reduction="none")

    def sparsity_weight(self, share: Tensor) -> Tensor:
        return self.nu * share

    def next_alpha(self, step: int | Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        rise = (self.last_alpha(*mask.shape[1:]) - self.alpha_start) / self.steps
        faster = (step >= last_begins(self.steps, self.last_phase)) & (binary_share(mask) < self.binary_share)
        return torch.where(faster, alpha + self.last_phase_factor * rise, alpha + rise)


@lru_cache
def last_begins(steps: int, last_phase: float) -> int:
    """The first step of the last phase: the smallest t with t / T > 1 - last_phase, as Algorithm 1 counts."""
    return next((t for t in range(steps) if t / steps > 1 - last_phase), steps)


def binary_share(mask: Tensor) -> Tensor:
    """B(m), how much of a mask is as good as binary: the share below 0.01 or above 0.99 (Eq. 6). (B, H, W) -> (B,)."""
    return ((mask < 0.01) | (mask > 0.99)).to(mask.dtype).mean((1, 2))


def wrong_class(logits: Tensor, labels: Tensor, which: Target, seeds: list[int]) -> Tensor:
    """A class other than the label for each image: (B, K) clean logits, (B,) labels -> (B,) int64.

    "most_likely" and "least_likely" by the logits; "random": uniform over the others, drawn from the image's seed.
    """
    classes = logits.shape[1]
    if classes < 2:
        raise UserError(f"a model with {classes} output has no wrong class to attack towards: use one with two outputs")
    if which == "random":
        draws = [randomness.integers(classes - 1, 1, generator=randomness.generator(s, "target")) for s in seeds]
        other = torch.cat([labels.new_empty(0).cpu(), *draws]).to(labels.device)
        return other + (other >= labels)
    label = F.one_hot(labels, classes).bool()
    if which == "most_likely":
        return logits.masked_fill(label, -torch.inf).argmax(1)
    return logits.masked_fill(label, torch.inf).argmin(1)

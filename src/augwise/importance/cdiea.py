"""CDIEA: which pixels decide the class, by a targeted sparse attack (IPF-RDA, Section III-B, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from .sparse import Recipe, Start, one_of


@dataclass(frozen=True)
class CDIEA(Recipe):
    """The class-discriminative information estimation algorithm of IPF-RDA.

    L = CE(f(x + delta * m), y*) + mu * mean(m),  mu = nu * share of m above 0.5 (Eq. 7, 8)
    """

    name: ClassVar[str] = "cdiea"

    nu: float = 10.0
    target: Literal["most_likely", "random", "least_likely"] = "most_likely"
    last_phase: float = 0.1
    last_phase_factor: float = 10.0
    binary: float = 0.99

    def start(self, model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, seeds: list[int]) -> Start:
        targets = wrong_class(logits, labels, self.target, seeds)
        return Start(torch.zeros_like(images), targets, torch.ones_like(images[:, 0, 0, 0]))

    def class_loss(self, logits: Tensor, start: Start) -> Tensor:
        return F.cross_entropy(logits, start.targets, reduction="none")

    def sparsity_weight(self, share: Tensor) -> Tensor:
        return self.nu * share

    def next_alpha(self, step: int, alpha: Tensor, mask: Tensor) -> Tensor:
        rise = (self.alpha_end - self.alpha_start) / self.steps
        if step <= (1 - self.last_phase) * self.steps:
            return alpha + rise
        binary = ((mask < 0.01) | (mask > 0.99)).to(alpha.dtype).mean((1, 2))
        return alpha + torch.where(binary < self.binary, self.last_phase_factor * rise, rise)


def wrong_class(logits: Tensor, labels: Tensor, which: str, seeds: list[int]) -> Tensor:
    if logits.shape[1] < 2:
        raise UserError("no wrong class")
    if which == "random":
        draws = [randomness.integers(logits.shape[1] - 1, 1, generator=randomness.generator(s, "target")) for s in seeds]
        other = torch.cat(draws).to(labels.device)
        return other + (other >= labels)
    label = F.one_hot(labels, logits.shape[1]).bool()
    if which == "most_likely":
        return logits.masked_fill(label, -torch.inf).argmax(1)
    return logits.masked_fill(label, torch.inf).argmin(1)

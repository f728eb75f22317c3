"""Searching an architecture: weights on one half of the images, the mixture of operations on the other, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...models.supernet import Supernet
from ..halves import Halves, Pair
from .base import Objective, Phase, Step


class ArchitectureSearch(Objective):
    """First-order bi-level search (DARTS, Algorithm 1 with ξ = 0), in every step

        (α, β) ← Adam on ∇ CE(second half; w, α, β),   then   w ← SGD on ∇ CE(first half; w, α, β),

    the first of both only after the warm-up, during which α and β stay as they began. Neither step computes gradients
    of what the other one moves. The supernet keeps no running statistics, so the second half leaves no trace but α and
    β.
    """

    def __init__(self, network: Supernet, weights: Optimizer, architecture: Optimizer, halves: Halves) -> None:
        super().__init__({"supernet": network}, {"weights": weights, "architecture": architecture})
        self.halves = halves
        self.learned = network.architecture()
        for parameter in self.learned:
            parameter.requires_grad_(False)

    def phases(self, epoch: int) -> Iterator[Phase]:
        # The loop asks for nothing of a batch but its images, which a `Pair` has too.
        batches: Any = partial(self.halves.epoch, epoch)
        loss: Any = self.loss
        yield Phase("supernet", "weights", len(self.halves), batches, loss)

    def loss(self, model: nn.Module, pair: Pair) -> Step:
        """Move the mixture on the second half, where there is one, then give the weights' loss on the first."""
        measures: dict[str, Tensor] = {}
        if pair.second is not None:
            measures = self._move(model, pair)
        labels = MixedLabels.of(pair.first.labels)
        logits = model(pair.first.images)
        return Step(labels.cross_entropy(logits), {"train_accuracy": labels.accuracy(logits.detach()), **measures})

    def _move(self, model: nn.Module, pair: Pair) -> dict[str, Tensor]:
        assert pair.second is not None
        for parameter in self.learned:
            parameter.requires_grad_(True)
        labels = MixedLabels.of(pair.second.labels)
        logits = model(pair.second.images)
        loss = labels.cross_entropy(logits)
        for parameter, gradient in zip(self.learned, torch.autograd.grad(loss, self.learned), strict=True):
            parameter.grad = gradient
        optimizer = self.optimizers["architecture"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for parameter in self.learned:
            parameter.requires_grad_(False)
        return {"architecture_loss": loss.detach(), "architecture_accuracy": labels.accuracy(logits.detach())}

"""Ordinary training: one model, one phase, cross-entropy of plain or mixed labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...models.cell_networks import CellNetwork
from ...sample import Batch
from ...schedule import progress_of
from ..batches import Batches
from .base import Objective, Phase, Step
from .farther import Farther

Forward = Callable[[nn.Module, Batch], tuple[Tensor, MixedLabels]]
"""A forward pass of training that mixes inside the model, such as `ManifoldMixup`: logits, and what they are of."""


class Supervised(Objective):
    """Cross-entropy −Σ_c t_c log p_c, t the (mixed, smoothed) label. Train accuracy is the predicted class's weight.

    Where the images of an epoch are drawn (`Redraw`), the mean of a batch is weighted without bias.

    A network with an auxiliary head (`CellNetwork`) adds its weight times that head's loss, on the same labels.

    forward: a `Forward` in place of ``model(batch.images)``. farther: LP-A3 beside it, L(B) + L(A) (its Algorithm 1).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Batches,
        label_smoothing: float = 0.0,
        forward: Forward | None = None,
        farther: Farther | None = None,
    ) -> None:
        super().__init__({"model": model}, {"optimizer": optimizer})
        self.batches = batches
        self.label_smoothing = label_smoothing
        self.forward: Any = _plain if forward is None else forward
        self.farther = farther
        self.epoch = 0

    def phases(self, epoch: int) -> Iterator[Phase]:
        self.epoch = epoch
        yield Phase("model", "optimizer", len(self.batches), lambda start: self.batches.epoch(epoch, start), self.loss)

    def loss(self, model: nn.Module, batch: Batch) -> Step:
        """Loss and train accuracy of one batch, beside whatever was measured while the batch was made."""
        with progress_of(self.epoch, self.batches.epochs):
            logits, labels = self.forward(model, batch)
        measures = {"train_accuracy": labels.accuracy(logits.detach()), **self.batches.measured}
        weights = self.batches.weights(batch)
        loss = self._cross_entropy(logits, labels, weights)
        network = self.models["model"]
        if isinstance(network, CellNetwork) and (auxiliary := network.take_auxiliary()) is not None:
            loss = loss + network.auxiliary_weight * self._cross_entropy(auxiliary.float(), labels, weights)
        if self.farther is None:
            return Step(loss, measures)
        added = self.farther.add(model, batch, logits.detach(), labels, self.epoch)
        return Step(loss + added.loss, measures | added.measures)

    def _cross_entropy(self, logits: Tensor, labels: MixedLabels, weights: Tensor | None) -> Tensor:
        if weights is None:
            return labels.cross_entropy(logits, self.label_smoothing)
        return (weights * labels.cross_entropy(logits, self.label_smoothing, "none")).mean()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({} if self.farther is None else {"farther": self.farther.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.farther is not None:
            self.farther.load_state_dict(state["farther"])


def _plain(model: nn.Module, batch: Batch) -> tuple[Tensor, MixedLabels]:
    return model(batch.images), MixedLabels.of(batch.labels)

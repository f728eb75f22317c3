"""Ordinary training: one model, one phase, cross-entropy of plain or mixed labels."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...sample import Batch
from ..batches import Batches
from .base import Objective, Phase, Step


class Supervised(Objective):
    """Cross-entropy −Σ_c t_c log p_c, t the (mixed, smoothed) label. Train accuracy is the predicted class's weight.

    Where the images of an epoch are drawn (`Redraw`), the mean of a batch is weighted without bias.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, batches: Batches, label_smoothing: float = 0.0) -> None:
        super().__init__({"model": model}, {"optimizer": optimizer})
        self.batches = batches
        self.label_smoothing = label_smoothing

    def phases(self, epoch: int) -> Iterator[Phase]:
        yield Phase("model", "optimizer", len(self.batches), lambda start: self.batches.epoch(epoch, start), self.loss)

    def loss(self, model: nn.Module, batch: Batch) -> Step:
        """Loss and train accuracy of one batch, beside whatever was measured while the batch was made."""
        logits = model(batch.images)
        labels = MixedLabels.of(batch.labels)
        measures = {"train_accuracy": labels.accuracy(logits.detach()), **self.batches.measured}
        weights = self.batches.weights(batch)
        if weights is None:
            return Step(labels.cross_entropy(logits, self.label_smoothing), measures)
        return Step((weights * labels.cross_entropy(logits, self.label_smoothing, "none")).mean(), measures)

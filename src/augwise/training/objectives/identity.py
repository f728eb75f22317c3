"""Re-identification: who is it, and are the images of each closer to one another than to anybody else's?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import UserError
from ...labels import MixedLabels
from ...reid.triplet import batch_hard_triplet
from ...sample import Batch
from ...schedule import progress_of
from ..batches import Batches
from .base import Objective, Phase, Step

MetricLoss = Callable[[Tensor, Tensor], Tensor]
"""Features (N, F) and identities (N,) to a scalar."""


class Identity(Objective):
    """L = mean over heads of CE(logits, identity) + weight · metric loss(features, identity), as Luo et al. 2019, whose
    cross-entropy is smoothed and whose metric loss is the batch-hard triplet's.

    model: an `IdentityNetwork`; batches: of P identities with K images each, see `IdentityOrder`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Batches,
        metric: MetricLoss,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({"model": model}, {"optimizer": optimizer})
        self.batches, self.metric, self.weight = batches, metric, weight
        self.label_smoothing = label_smoothing
        self.epoch = 0

    def phases(self, epoch: int) -> Iterator[Phase]:
        self.epoch = epoch
        yield Phase("model", "optimizer", len(self.batches), lambda start: self.batches.epoch(epoch, start), self.loss)

    def loss(self, model: nn.Module, batch: Batch) -> Step:
        """Loss, train accuracy and both parts of the loss of one batch."""
        with progress_of(self.epoch, self.batches.epochs):
            found = model(batch.images, everything=True)
        labels = MixedLabels.of(batch.labels)
        classify = torch.stack([labels.cross_entropy(logits, self.label_smoothing) for logits in found.logits]).mean()
        metric = self.metric(found.features.float(), labels.classes[:, 0])
        logits = torch.stack(found.logits).mean(0).detach()
        measures = {
            "train_accuracy": labels.accuracy(logits),
            "identity_loss": classify.detach(),
            "metric_loss": metric.detach(),
            **self.batches.measured,
        }
        return Step(classify + self.weight * metric, measures)


def metric_loss(name: Literal["batch_hard", "multi_similarity", "circle"], margin: float) -> MetricLoss:
    """The metric loss of this name; those of pytorch-metric-learning with its usual settings, and its miner."""
    if name == "batch_hard":
        return lambda features, labels: batch_hard_triplet(features, labels, margin)
    try:
        from pytorch_metric_learning import losses, miners
    except ImportError as error:
        raise UserError(
            f"reid_loss={name} is of pytorch-metric-learning: pip install augwise[reid], or use batch_hard"
        ) from error
    if name == "circle":
        return losses.CircleLoss()
    loss: Any = losses.MultiSimilarityLoss()
    miner: Any = miners.MultiSimilarityMiner()
    return lambda features, labels: loss(features, labels, miner(features, labels))

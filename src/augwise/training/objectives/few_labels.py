"""Learning from few labels by what a model says of weakly augmented images: what UDA, FixMatch and FlexMatch share.

A subclass says what it makes of a prediction, `FewLabelsObjective.target`; each stands in a file of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...sample import Batch
from ..few_labels import FewLabels, Views
from .base import Objective, Phase, Step
from .farther import Farther


class Target(NamedTuple):
    """What the strong view of N images is to be: probabilities (N, C), each row sums to 1, and weight (N,), 0 where the
    model is not sure enough."""

    probabilities: Tensor
    weight: Tensor


class FewLabelsObjective(Objective):
    """L = CE(labelled, weak) + weight · mean_i w_i H(t_i, p(strong_i)), one forward pass of all three parts together.

    t and w come from the weak view's prediction, without gradient, see `target`. farther: LP-A3 on the weak view, whose
    label is the class predicted there, of images that it is sure enough of.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: FewLabels,
        confidence: float,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        farther: Farther | None = None,
    ) -> None:
        super().__init__({"model": model}, {"optimizer": optimizer})
        self.batches, self.confidence, self.weight = batches, confidence, weight
        self.label_smoothing, self.farther = label_smoothing, farther
        self.epoch = 0

    @abstractmethod
    def target(self, logits: Tensor, indices: Tensor) -> Target:
        """What the strong view is to be, from the weak view's logits (N, C), detached; indices: rows of the images."""

    def phases(self, epoch: int) -> Iterator[Phase]:
        self.epoch = epoch
        # The loop asks for nothing of a batch but its images, which `Views` have too.
        batches: Any = lambda start: self.batches.epoch(epoch, start)  # noqa: E731
        loss: Any = self.loss
        yield Phase("model", "optimizer", len(self.batches), batches, loss)

    def loss(self, model: nn.Module, views: Views) -> Step:
        """Loss of one step; train accuracy is of the labelled images, sure the mean weight of the others."""
        few, many = len(views.labelled.images), len(views.weak.images)
        labelled, weak, strong = model(torch.cat([_images(part) for part in views])).split([few, many, many])
        labels, weak = MixedLabels.of(views.labelled.labels), weak.detach()
        target = self.target(weak.float(), views.weak.indices)
        entropy = -(target.probabilities * strong.float().log_softmax(1)).sum(1)
        other = (target.weight * entropy).mean()
        loss = labels.cross_entropy(labelled, self.label_smoothing) + self.weight * other
        measures = {
            "train_accuracy": labels.accuracy(labelled.detach()),
            "unlabelled_loss": other,
            "sure": target.weight.mean(),
        }
        if self.farther is not None:
            sure, predicted = weak.float().softmax(1).max(1)
            counts = sure >= self.farther.config.lpa3_confidence
            added = self.farther.add(model, views.weak, weak, MixedLabels.of(predicted), self.epoch, counts)
            loss, measures = loss + added.loss, measures | added.measures
        return Step(loss, measures)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({} if self.farther is None else {"farther": self.farther.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.farther is not None:
            self.farther.load_state_dict(state["farther"])


def _images(batch: Batch) -> Tensor:
    return batch.images.as_subclass(Tensor)

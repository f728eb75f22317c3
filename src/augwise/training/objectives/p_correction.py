"""P-correction (PENCIL): every image's label is a distribution that is learned beside the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...sample import Batch
from ..doubtful import Doubtful
from .base import Objective, Phase, Step


class PCorrectionSettings(NamedTuple):
    """early, correct: epochs of the first and of the second stage; rate: λ, of the label distributions; compatibility:
    α; entropy: β; scale: K, what a label distribution begins from."""

    early: int
    correct: int
    rate: float = 600.0
    compatibility: float = 0.1
    entropy: float = 0.4
    scale: float = 10.0


class PencilLoss(NamedTuple):
    """kl: KL(f ‖ y_d); compatibility: CE(ŷ, y_d); entropy: H(f); each a mean over images, in nats."""

    kl: Tensor
    compatibility: Tensor
    entropy: Tensor


@final
class PCorrection(Objective):
    """Probabilistic end-to-end noise correction (Yi & Wu 2019), y_d = softmax(ỹ), ỹ = K ŷ at the beginning, ŷ the label
    given, f the prediction, c classes.

        1. early epochs of cross-entropy with ŷ;
        2. correct epochs of L = KL(f ‖ y_d) / c + α CE(ŷ, y_d) + β H(f) / c, H the entropy, in which every step
           also moves its images' ỹ ← ỹ − λ ∂L/∂ỹ, L the mean of the batch;
        3. for the other epochs ỹ stays, and L = KL(f ‖ y_d) / c.

    Where ỹ comes to rest, y_d = (α c ŷ + f) / (α c + 1), so above α = 1 / c, the paper's 0.1 for ten classes, no label
    at rest changes its class. The released program takes the softmax of y_d once more in the second term, which pulls
    far less; its α = 0.4 means nothing here. Its stages are 70, 130 and 120 epochs, its λ = 600;
    it also trains the last stage at a higher learning rate than the others.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        data: Doubtful,
        settings: PCorrectionSettings,
        classes: int,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({"model": model}, {"model": optimizer})
        self.data, self.settings, self.label_smoothing = data, settings, label_smoothing
        # ỹ − K ŷ: nothing has to be begun, whichever images a stage happens to see first.
        self.moved = torch.zeros(data.images, classes, device=next(model.parameters()).device)

    def phases(self, epoch: int) -> Iterator[Phase]:
        s = self.settings
        learn = self._correct if epoch < s.early + s.correct else self._fixed
        yield self.data.plain_phase("model", epoch, self._plain if epoch < s.early else learn)

    def _plain(self, model: nn.Module, batch: Batch) -> Step:
        logits, labels = model(batch.images), MixedLabels.of(batch.labels)
        loss = labels.cross_entropy(logits, self.label_smoothing)
        return Step(loss, {"train_accuracy": labels.accuracy(logits.detach())})

    def _correct(self, model: nn.Module, batch: Batch) -> Step:
        s, logits = self.settings, model(batch.images).float()
        given, begun = self._labels(batch)
        parts = pencil_loss(logits, given, begun)
        c = logits.shape[1]
        loss = parts.kl / c + s.compatibility * parts.compatibility + s.entropy * parts.entropy / c
        with torch.no_grad():
            self.moved[batch.indices] -= s.rate * label_gradient(logits, given, begun, s.compatibility)
        return Step(loss, {"kl": parts.kl, **_changed(given, begun)})

    def _fixed(self, model: nn.Module, batch: Batch) -> Step:
        logits = model(batch.images).float()
        given, learned = self._labels(batch)
        kl = pencil_loss(logits, given, learned).kl
        return Step(kl / logits.shape[1], {"kl": kl, **_changed(given, learned)})

    def _labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """ŷ and ỹ of a batch, (B, C) both."""
        given = MixedLabels.of(batch.labels).dense(self.moved.shape[1])
        return given, self.settings.scale * given + self.moved[batch.indices]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"moved": self.moved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.moved = state["moved"].to(self.moved.device)


def pencil_loss(logits: Tensor, given: Tensor, learned: Tensor) -> PencilLoss:
    """The parts of one batch's loss, without their weights. logits, given (ŷ), learned (ỹ): (B, C)."""
    log_f, log_y = logits.log_softmax(1), learned.log_softmax(1)
    f = log_f.exp()
    return PencilLoss((f * (log_f - log_y)).sum(1).mean(), -(given * log_y).sum(1).mean(), -(f * log_f).sum(1).mean())


def label_gradient(logits: Tensor, given: Tensor, learned: Tensor, compatibility: float) -> Tensor:
    """∂L/∂ỹ = ((y_d − f) / c + α (y_d − ŷ)) / B, (B, C); arguments as for `pencil_loss`."""
    images, classes = logits.shape
    y = learned.softmax(1)
    return ((y - logits.softmax(1)) / classes + compatibility * (y - given)) / images


def _changed(given: Tensor, learned: Tensor) -> dict[str, Tensor]:
    return {"changed_labels": (given.argmax(1) != learned.argmax(1)).float().mean()}

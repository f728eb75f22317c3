"""PES: stop early, mend the last layer, then trust the labels that the model agrees with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...models import find_head
from ...sample import Batch
from ..doubtful import Doubtful
from .base import Objective, Phase, Step
from .farther import Farther
from .mixmatch import Pairs, guess, mixmatch_loss, ramp


class PESSettings(NamedTuple):
    """stop: T1, epochs of plain training; refine: T2, passes for the last layer; refine_lr: its learning rate; alpha,
    temperature: of MixMatch; weight: λ_u, reached 16 epochs (ramp) after T1."""

    stop: int
    refine: int = 5
    alpha: float = 4.0
    temperature: float = 0.5
    weight: float = 15.0
    ramp: int = 16
    refine_lr: float = 1e-4


@final
class PES(Objective):
    """Progressive early stopping (Bai et al. 2021) with MixMatch, as in its program for CIFAR with few clean labels.

        1. T1 epochs of cross-entropy: the network has learned more from right labels than from wrong ones;
        2. its last layer, which wrong labels spoil first, begins anew and alone is trained for T2 passes (Adam; the
           schedule's factor of that epoch applies). 5 passes at a rate of 1e-4 are what the program takes for 50 000
           images; of a few thousand they leave the layer as random as it began, so give more of either;
        3. from then on in every epoch: a label is trusted if it is the class that the mean prediction of two augmented
           views names; trusted images keep their labels, the others get the model's sharpened guess;
           L = L_x + λ_u(t) (L_u + L_farther), L_x weighted by class so that all trusted classes count alike.

    farther: LP-A3 on the images that are not trusted, see `mixmatch_loss`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        data: Doubtful,
        settings: PESSettings,
        label_smoothing: float = 0.0,
        farther: Farther | None = None,
    ) -> None:
        self.head = model.get_submodule(find_head(model))
        refine = torch.optim.Adam(self.head.parameters(), lr=settings.refine_lr)
        super().__init__({"model": model}, {"optimizer": optimizer, "refine": refine})
        self.data, self.settings, self.label_smoothing, self.farther = data, settings, label_smoothing, farther
        self.epoch, self.judged, self.renewed = 0, -1, False
        self.agrees = torch.zeros(data.images, dtype=torch.bool)
        self.score = torch.zeros(data.images)
        self.class_weights = torch.ones(0)

    def phases(self, epoch: int) -> Iterator[Phase]:
        self.epoch = epoch
        if epoch < self.settings.stop:
            yield self.data.plain_phase("model", epoch, self._plain, "optimizer")
            return
        if epoch == self.settings.stop and self.settings.refine:
            if not self.renewed:
                self._renew()
            yield self.data.plain_phase("model", epoch, self._plain, "refine", self.settings.refine)
        if self.judged != epoch:  # not anew in the middle of the epoch, when the weights have changed
            self._judge(epoch)
        phase = self.data.pairs_phase("model", epoch, self.agrees.numpy(), self.score.numpy(), self._learn)
        yield phase._replace(optimizer="optimizer")

    def _renew(self) -> None:
        reset: Any = self.head.reset_parameters
        reset()
        self.renewed = True

    def _judge(self, epoch: int) -> None:
        probabilities, labels = self.data.predictions(self.models["model"], epoch)
        self.agrees = probabilities.argmax(1) == labels
        self.score = probabilities.gather(1, labels[:, None])[:, 0]
        counts = torch.bincount(labels[self.agrees], minlength=probabilities.shape[1]).float()
        some = counts > 0
        self.class_weights = torch.where(some, counts[some].mean() / counts.clamp_min(1), 0.0)
        self.judged = epoch

    def _plain(self, model: nn.Module, batch: Batch) -> Step:
        logits, labels = model(batch.images), MixedLabels.of(batch.labels)
        loss = labels.cross_entropy(logits, self.label_smoothing)
        return Step(loss, {"train_accuracy": labels.accuracy(logits.detach())})

    def _learn(self, model: nn.Module, pairs: Pairs) -> Step:
        s = self.settings
        with torch.no_grad():
            views = [part.images.as_subclass(Tensor) for part in pairs[2:]]
            guessed = guess([model(view) for view in views], s.temperature)
        weights = self.class_weights.to(guessed)
        trusted = MixedLabels.of(pairs.x.labels).dense(guessed.shape[1])
        parts = mixmatch_loss(model, pairs, trusted, guessed, s.alpha, weights, self.farther)
        weight = s.weight * ramp(self.epoch, s.stop, s.ramp)
        loss = parts.trusted + weight * (parts.others + parts.farther)
        agreed = torch.tensor(float(np.mean(self.agrees.numpy())), device=loss.device)
        told = {"trusted_share": agreed, "trusted_loss": parts.trusted, "others_loss": parts.others}
        return Step(loss, {**told, **parts.measures})

    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("judged", "renewed", "agrees", "score", "class_weights")}
        return super().state_dict() | own | ({} if self.farther is None else {"farther": self.farther.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name in ("judged", "renewed", "agrees", "score", "class_weights"):
            setattr(self, name, state[name])
        if self.farther is not None:
            self.farther.load_state_dict(state["farther"])

"""LP-A3 beside an objective's own loss: who is moved, how far, and what that adds (LP-A3, Algorithm 1, lines 3 to 5).

Owns the time-consistency scores and the second set of batch-norm layers; the objective saves them with its own state.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...adversarial import LPA3, AuxiliaryBatchNorm, TimeConsistency
from ...data import Normalize
from ...labels import MixedLabels
from ...sample import Batch
from ..learn_config import LearnConfig

_TOLD = ("lpa3_distance", "lpa3_margin_use", "lpa3_kept", "lpa3_loss")


class Added(NamedTuple):
    """What LP-A3 adds to one step. loss: weighted, with gradient; measures: for the curve."""

    loss: Tensor
    measures: dict[str, Tensor]


class Farther:
    """Adds weight · mean loss(x′) over the images chosen of each batch.

    model: the classifier in training, on its device. images: how many the data set has; classes: of the model.
    normalize: the last step of the batches, from which the bounds of the pixels follow.
    """

    def __init__(self, model: nn.Module, config: LearnConfig, images: int, classes: int, normalize: Normalize) -> None:
        self.config = config
        device = next(model.parameters()).device
        mean, std = torch.tensor(normalize.mean), torch.tensor(normalize.std)
        self.attack = LPA3(
            model,
            config.lpa3_layers or None,
            form=config.lpa3_form,
            margin=config.lpa3_margin,
            iterations=config.lpa3_iterations,
            step=config.lpa3_step,
            stride=config.lpa3_stride / float(std.mean()),
            cap=None if config.lpa3_cap is None else config.lpa3_cap / float(std.mean()),
            noise=0.0025 / float(std.mean()),
            back_off=config.lpa3_back_off,
            norms=config.lpa3_norms,
            low=(0 - mean) / std,
            high=(1 - mean) / std,
        )
        self.scores = TimeConsistency(images, classes).to(device)
        own = config.lpa3_auxiliary and any(isinstance(module, _BatchNorm) for module in model.modules())
        # They begin as the model's and follow as fast, since the attack looks through them from the first step on.
        self.auxiliary = AuxiliaryBatchNorm(model, None, copy_now=True).to(device) if own else None

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser has to know beside the model's own."""
        return [] if self.auxiliary is None else list(self.auxiliary.parameters())

    def add(
        self,
        model: nn.Module,
        batch: Batch,
        logits: Tensor,
        labels: MixedLabels,
        epoch: int,
        counts: Tensor | None = None,
    ) -> Added:
        """The loss of the chosen images' x′, and the scores brought up to date.

        logits: (N, C) of the batch, detached. labels: what x′ is to be called, by which the margin is kept as well.
        counts: (N,) bool, False where an image's x′ does not count, by pseudo-labels of little confidence.
        """
        config = self.config
        if epoch < config.lpa3_warmup_epochs:
            self.scores.update(batch.indices, logits)
            return Added(logits.new_zeros(()), {})
        chosen = self._chosen(batch.indices)
        self.scores.update(batch.indices, logits)
        if not len(chosen):
            return Added(logits.new_zeros(()), dict.fromkeys(_TOLD, logits.new_zeros(())))
        targets = MixedLabels(*(t[chosen] for t in labels))
        moved, told = self.move(batch.images.as_subclass(Tensor)[chosen], targets)
        with self.batch_norms():
            losses = targets.cross_entropy(model(moved), reduction="none")
        if counts is not None:
            losses = losses * counts[chosen]
        return Added(config.lpa3_weight * losses.mean(), {**told, "lpa3_loss": losses.detach().mean()})

    def move(self, images: Tensor, labels: Tensor | MixedLabels) -> tuple[Tensor, dict[str, Tensor]]:
        """x′ of these images, and how far they went on average."""
        with self.batch_norms():
            moved = self.attack.augment(images, labels)
        use = (moved.drop / self.config.lpa3_margin).clamp(-1, 1)
        told = (moved.distance.mean(), use.mean(), moved.kept.float().mean())
        return moved.images, dict(zip(_TOLD[:3], told, strict=True))

    def batch_norms(self) -> AbstractContextManager[None]:
        """Inside, the model's batch-norm layers are those that x′ has in training."""
        return nullcontext() if self.auxiliary is None else self.auxiliary.active()

    def _chosen(self, indices: Tensor) -> Tensor:
        if self.config.lpa3_ratio == 1:
            return torch.arange(len(indices), device=indices.device)
        return self.scores.chosen(indices, self.config.lpa3_ratio, self.config.lpa3_among)

    def state_dict(self) -> dict[str, Any]:
        """Scores, and the second set of batch-norm layers where there is one."""
        state = {"scores": self.scores.state_dict()}
        return state if self.auxiliary is None else {**state, "auxiliary": self.auxiliary.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave."""
        self.scores.load_state_dict(state["scores"])
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(state["auxiliary"])

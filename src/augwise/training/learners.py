"""From a configuration to its objective: which models, optimisers and batches each one gets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from .. import randomness
from ..data import Normalize
from . import optimizers
from .batches import Batches, Reader
from .config import TrainConfig
from .doubtful import Doubtful
from .few_labels import FewLabels
from .objectives.base import Objective
from .objectives.dividemix import DivideMix, DivideMixSettings
from .objectives.farther import Farther
from .objectives.fixmatch import FixMatch
from .objectives.flexmatch import FlexMatch
from .objectives.identity import Identity, metric_loss
from .objectives.m_correction import MCorrection, MCorrectionSettings
from .objectives.p_correction import PCorrection, PCorrectionSettings
from .objectives.pes import PES, PESSettings
from .objectives.supervised import Forward, Supervised
from .objectives.uda import UDA


@dataclass(frozen=True)
class Learner:
    """What a run has ready for its objective.

    again: makes another reader of the training images. shared: crop and flip; steps: the method's; ways: this process's
    share of a batch and the layout of images. plain: makes the batches of ordinary training. labelled: rows that keep
    their labels, where not all do.
    """

    config: TrainConfig
    model: nn.Module
    reader: Reader
    again: Callable[[], Reader]
    shared: Sequence[Any]
    steps: Sequence[Any]
    normalize: Normalize
    ways: dict[str, Any]
    plain: Callable[[], Batches]
    classes: int
    labelled: np.ndarray | None = None
    forward: Forward | None = None

    def objective(self) -> Objective:
        """The objective that ``config.learn`` names."""
        learn = self.config.learn
        if learn.objective == "dividemix":
            return self._dividemix()
        farther = self._farther(self.model)
        optimizer = self._optimizer(self.model, farther)
        if learn.objective == "supervised":
            batches = self.plain()
            return Supervised(self.model, optimizer, batches, self.config.label_smoothing, self.forward, farther)
        if learn.of_people:
            metric = metric_loss(learn.reid_loss, learn.reid_margin)
            smoothing = self.config.label_smoothing
            return Identity(self.model, optimizer, self.plain(), metric, learn.reid_weight, smoothing)
        if learn.objective == "pes":
            settings = PESSettings(
                self._early(),
                learn.refine_epochs,
                learn.chosen("mix_alpha"),
                learn.chosen("temperature"),
                learn.chosen("unlabelled_weight"),
                learn.ramp_epochs,
                learn.refine_lr,
            )
            return PES(self.model, optimizer, self._doubtful(), settings, self.config.label_smoothing, farther)
        if learn.objective in ("p_correction", "m_correction"):
            return self._correction(optimizer)
        sure, weight = learn.chosen("confidence"), learn.chosen("unlabelled_weight")
        parts: Any = (self.model, optimizer, self._few(), sure, weight, self.config.label_smoothing, farther)
        if learn.objective == "uda":
            return UDA(*parts, temperature=learn.chosen("temperature"))
        return FixMatch(*parts) if learn.objective == "fixmatch" else FlexMatch(*parts)

    def _dividemix(self) -> DivideMix:
        learn = self.config.learn
        nets = {"a": self.model, "b": another(self.model, self.config.seed)}
        farther = {name: self._farther(net) for name, net in nets.items()}
        settings = DivideMixSettings(
            self._early(),
            learn.clean,
            learn.chosen("mix_alpha"),
            learn.chosen("temperature"),
            learn.chosen("unlabelled_weight"),
            learn.ramp_epochs,
            learn.penalty,
        )
        return DivideMix(
            nets,
            {name: self._optimizer(net, farther[name]) for name, net in nets.items()},
            self._doubtful(),
            settings,
            self.config.label_smoothing,
            {name: part for name, part in farther.items() if part is not None},
        )

    def _correction(self, optimizer: Optimizer) -> PCorrection | MCorrection:
        config, learn = self.config, self.config.learn
        if learn.objective == "m_correction":
            settings = MCorrectionSettings(self._early(), learn.chosen("mix_alpha"), learn.balance)
            parts = self._doubtful(), settings, self.classes, config.label_smoothing
            return MCorrection(self.model, optimizer, *parts)
        epochs = config.epochs * 13 // 32 if learn.correct_epochs is None else learn.correct_epochs
        # A label goes as far as in the program (130 of 320 epochs, 128 images a step): λ acts on the mean of a batch.
        rate = 600 * config.batch_size / 128 * 130 / max(1, epochs) if learn.label_lr is None else learn.label_lr
        compatibility = 1 / self.classes if learn.compatibility is None else learn.compatibility
        settings = PCorrectionSettings(self._early(), epochs, rate, compatibility, learn.entropy)
        return PCorrection(self.model, optimizer, self._doubtful(), settings, self.classes, config.label_smoothing)

    def _early(self) -> int:
        early, third = self.config.learn.early_epochs, self.config.learn.objective == "m_correction"
        return max(1, self.config.epochs // (3 if third else 4)) if early is None else early

    def _farther(self, model: nn.Module) -> Farther | None:
        learn = self.config.learn
        return Farther(model, learn, len(self.reader), self.classes, self.normalize) if learn.lpa3 else None

    def _optimizer(self, model: nn.Module, farther: Farther | None) -> Optimizer:
        config = self.config
        parameters = [*model.parameters(), *(farther.parameters() if farther is not None else ())]
        return optimizers.build(config.optimizer, parameters, config.lr, config.momentum, config.weight_decay)

    def _few(self) -> FewLabels:
        config = self.config
        assert self.labelled is not None
        return FewLabels(
            self.reader,
            self.again(),
            self.labelled,
            self.shared,
            self.steps,
            [self.normalize],
            seed=config.seed,
            batch_size=config.batch_size,
            ratio=config.learn.unlabelled_ratio,
            steps=config.learn.epoch_steps,
            epochs=config.epochs,
            **self.ways,
        )

    def _doubtful(self) -> Doubtful:
        config = self.config
        return Doubtful(
            self.reader,
            self.again(),
            self.shared,
            self.steps,
            self.normalize,
            seed=config.seed,
            batch_size=config.batch_size,
            epochs=config.epochs,
            **self.ways,
        )


def another(model: nn.Module, seed: int) -> nn.Module:
    """A network like ``model`` that begins with other weights: every layer that can be begun anew is."""
    twin = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.derive(seed, "second network"))
        for module in twin.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return twin

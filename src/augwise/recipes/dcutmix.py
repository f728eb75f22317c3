"""What DCutMix's tables share: methods with the paper's settings, networks, and training as in CutMix's program.

CutMix's program (which DCutMix says it follows): SGD with Nesterov momentum, 300 epochs, × 0.1 at 150 and 225; CIFAR
batch 64, lr 0.25, weight decay 1e-4, mixing with probability 0.5; ImageNet batch 256, lr 0.1, × 0.1 at 75, 150 and 225,
always mixing. K and α by table are the paper's (Sections IV-A.1 and IV-A.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..training.config import TrainConfig
from .training import Maps, Training

CIFAR: dict[str, Any] = {
    "epochs": 300, "batch_size": 64, "lr": 0.25, "weight_decay": 1e-4, "schedule": "steps", "milestones": (150, 225),
    "gamma": 0.1, "eval_last": 10,
}  # fmt: skip
IMAGENET: dict[str, Any] = {
    "epochs": 300, "batch_size": 256, "lr": 0.1, "weight_decay": 1e-4, "schedule": "steps",
    "milestones": (75, 150, 225), "gamma": 0.1, "crop": "resized", "size": 224, "loader": "workers", "num_workers": 8,
    "eval_last": 10,
}  # fmt: skip
DIGITS: dict[str, Any] = {
    "data": "digits", "model": "small_cnn", "size": 16, "limit": 300, "epochs": 20, "batch_size": 30, "lr": 0.1,
    "schedule": "cosine", "milestones": (), "eval_last": 1,
}  # fmt: skip
"""Stands in at the scale tiny."""

Options = tuple[tuple[str, Any], ...]


def mixed(train: TrainConfig, method: str, options: Options = (), p: float = 0.5, maps: Maps | None = None) -> Training:
    """The job of one plain mixer, which mixes a batch with probability ``p``."""
    return Training(train, ((method, tuple(sorted((("p", p), *options)))),), maps=maps)


def shorter(train: TrainConfig, epochs: int) -> TrainConfig:
    """The same in fewer epochs, the steps of its schedule at the same shares of them."""
    milestones = tuple(round(m * epochs / train.epochs) for m in train.milestones)
    return replace(train, epochs=epochs, milestones=milestones, eval_last=min(5, epochs))


def cifar(data: str, model: str, words: Mapping[str, Any]) -> TrainConfig:
    """Training on CIFAR at a scale. words: ``epochs`` where fewer, ``stand_in`` where other data or networks."""
    train = TrainConfig(data=data, model=model, **CIFAR)
    if "stand_in" in words:
        return replace(train, **words["stand_in"])
    return shorter(train, words["epochs"]) if "epochs" in words else train


def against_baseline(row: str, column: str, baseline: str = "baseline") -> tuple[str, str] | None:
    """Every row is compared with the one that mixes nothing."""
    return None if row == baseline else (baseline, column)

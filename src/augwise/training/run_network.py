"""The network of one training run: built or given, with its weights, on its device, checked against the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .. import models
from ..errors import UserError
from .config import TrainConfig
from .evaluate import check_output
from .rank_people import check_network

if TYPE_CHECKING:
    from accelerate import Accelerator


def network_of(
    config: TrainConfig, given: nn.Module | None, classes: int, shape: tuple[int, int, int], accelerator: Accelerator
) -> nn.Module:
    """The network to train on images of ``shape`` (C, H, W). given: in place of ``config.model``."""
    if config.only_head and given is None and config.checkpoint is None and not config.pretrained:
        raise UserError(
            "only_head leaves all but the last layer as it is, which here is random: give checkpoint, a file of "
            "weights, or pretrained"
        )
    model = given or models.build(config.model, classes, shape[0], pretrained=config.pretrained, seed=config.seed)
    _set_apart(model, config)
    if config.checkpoint is not None:
        models.load_weights(model, config.checkpoint, new_head=True)
    if config.only_head:
        models.freeze_all_but_head(model)
    model = model.to(accelerator.device)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if config.learn.of_people:
        check_network(model, config.model if given is None else type(given).__name__)
    check_output(model, torch.zeros(2, *shape, device=accelerator.device), classes)
    return model


def check_apart(config: TrainConfig, searched: bool) -> None:
    """`UserError` for settings of searched networks where there is none, or no loss that they could join."""
    for name in ("auxiliary", "drop_path"):
        if getattr(config, name) is not None and not searched:
            raise UserError(f"{name} is for searched networks (model=darts:GENOTYPE): leave it out")
    if config.auxiliary and config.learn.objective != "supervised":
        raise UserError(f"auxiliary goes with objective=supervised, not with {config.learn.objective}: leave it out")


def _set_apart(model: nn.Module, config: TrainConfig) -> None:
    """Give a searched network what it does in training alone."""
    if isinstance(model, models.CellNetwork):
        usual = 0.4 if config.learn.objective == "supervised" else 0.0
        model.auxiliary_weight = usual if config.auxiliary is None else config.auxiliary
        model.auxiliary.requires_grad_(model.auxiliary_weight > 0)  # several processes wait for every gradient
        model.drop_path = (0.0 if model.large else 0.3) if config.drop_path is None else config.drop_path

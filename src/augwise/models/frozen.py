"""Linear probing: a network of which the last layer alone learns, as features are compared by what a line makes of
them."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from .build import find_head

M = TypeVar("M", bound=nn.Module)


def freeze_all_but_head(model: nn.Module) -> None:
    """No parameter outside of the layer that gives the logits (`find_head`) asks for a gradient any more."""
    model.requires_grad_(False)
    model.get_submodule(find_head(model)).requires_grad_(True)


def in_training(model: M) -> M:
    """``model.train()``, but for parts whose parameters are all frozen: those stay as they are in use, so that batch
    normalisation keeps its statistics and dropout inside them rests. A part without any parameters trains as the part
    does that holds it."""
    model.train()
    _rest(model)
    return model


def _rest(part: nn.Module) -> None:
    learns = [parameter.requires_grad for parameter in part.parameters()]
    if learns and not any(learns):
        part.eval()
    elif not all(learns):
        for inner in part.children():
            _rest(inner)

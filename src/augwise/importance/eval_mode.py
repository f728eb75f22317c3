"""A classifier that is asked about images must be in eval mode: else batch-norm and dropout mix its images."""

from __future__ import annotations

from torch import nn

from ..errors import UserError


def check_eval(model: nn.Module) -> None:
    """`UserError` where a part of the model is in training mode, naming the first."""
    for name, module in model.named_modules():
        if module.training:
            raise UserError(
                f"the model is in training mode ({name or 'the model'}): call model.eval() first, or what it says of "
                "an image depends on the others of its batch"
            )

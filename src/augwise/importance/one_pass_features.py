"""What a frozen classifier saw in an image: its last feature maps that still have a place, for one-pass networks that
look at them beside the image. Leaves the classifier as it was.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError

LEAST = 7
"""Rows and columns that feature maps must have at least, to say where something is."""


def feature_layer(model: nn.Module, images: Tensor) -> tuple[str, int]:
    """Name and channels of the last module of the forward pass whose output is (B, C, h, w) with h, w ≥ 7.

    For the small CNN its last convolution, for ResNet-18 at 32 px the third stage, at 224 px the fourth.
    """
    found: list[tuple[str, int]] = []

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[-2:]) >= LEAST:
                found.append((name, output.shape[1]))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UserError(
            f"{type(model).__name__} has no feature maps of {LEAST}x{LEAST} or more for images {tuple(images.shape)}: "
            "let the network look at the image alone (--look image)"
        )
    return found[-1]


@torch.no_grad()
def features_of(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The output of the module called ``layer`` in one forward pass of the model: (B, C, h, w)."""
    held: list[Tensor] = []

    def hold(_module: nn.Module, _inputs: Any, output: Any) -> None:
        held.append(output)

    handle = model.get_submodule(layer).register_forward_hook(hold)
    try:
        model(images)
    finally:
        handle.remove()
    return held[-1]

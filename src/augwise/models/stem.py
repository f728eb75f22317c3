"""Another number of channels for a network made for three."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def replace_stem(model: nn.Module, in_channels: int) -> None:
    """A first convolution of ``in_channels``: the old one's mean over its three channels, so that an image that repeats
    one channel gives what it gave before.
    """
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    geometry: dict[str, Any] = {"kernel_size": old.kernel_size, "stride": old.stride, "padding": old.padding}
    new = nn.Conv2d(in_channels, old.out_channels, **geometry, bias=old.bias is not None)
    with torch.no_grad():
        weight: Tensor = old.weight.mean(1, keepdim=True) * (3 / in_channels)
        new.weight.copy_(weight.expand_as(new.weight))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    model.set_submodule(name, new)

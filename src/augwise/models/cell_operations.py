"""The operations of DARTS's search space, and what its cells are made of beside them (Liu et al. 2019, appendix A)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .parts import conv


def relu_conv_norm(inputs: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    """ReLU, 1×1 convolution, batch-norm."""
    return nn.Sequential(nn.ReLU(), conv(inputs, outputs, 1), norm(outputs))


class FactorizedReduce(nn.Module):
    """Half the map without losing pixels: ReLU, then two 1×1 convolutions of stride 2 and half the channels each, the
    second of the map moved one pixel up and left, side by side, then batch-norm. An odd side is rounded up."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.here, self.moved = conv(inputs, outputs // 2, 1, 2), conv(inputs, outputs - outputs // 2, 1, 2)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        return self.norm(torch.cat([self.here(x), self.moved(moved(x))], 1))


def moved(x: Tensor) -> Tensor:
    """The map without its first row and column, so that stride 2 sees the pixels it would leave out; where a side is
    odd, with a row or column of zeros behind its last."""
    x = x[:, :, 1:, 1:]
    height, width = x.shape[2:]
    return x if height % 2 and width % 2 else functional.pad(x, (0, 1 - width % 2, 0, 1 - height % 2))


def sep_conv(channels: int, size: int, stride: int) -> nn.Sequential:
    """Depthwise separable convolution, applied twice, the stride in the first."""
    return nn.Sequential(*_separated(channels, size, stride, 1), *_separated(channels, size, 1, 1))


def dil_conv(channels: int, size: int, stride: int) -> nn.Sequential:
    """Depthwise separable convolution with every second pixel left out: it reaches as far as one of 2 · size − 1."""
    return nn.Sequential(*_separated(channels, size, stride, 2))


def _separated(channels: int, size: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (size // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, size, stride, padding, dilation, groups=channels, bias=False),
        conv(channels, channels, 1),
        nn.BatchNorm2d(channels),
    ]


def skip_connect(channels: int, stride: int) -> nn.Module:
    """The state as it is, or half of it."""
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


MAKERS: dict[str, Callable[[int, int], nn.Module]] = {
    "max_pool_3x3": lambda _, stride: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda _, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "skip_connect": skip_connect,
    "sep_conv_3x3": lambda channels, stride: sep_conv(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: sep_conv(channels, 5, stride),
    "dil_conv_3x3": lambda channels, stride: dil_conv(channels, 3, stride),
    "dil_conv_5x5": lambda channels, stride: dil_conv(channels, 5, stride),
}
"""Operation to builder, (channels, stride) to a module that keeps the number of channels."""

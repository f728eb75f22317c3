"""Shake-Shake networks (Gastaldi 2017), "26 2x32d" and "26 2x96d"."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .parts import Head, Staged, conv, draw_weights, layers
from .shake import shaken, uniform


class ShakeShakeBlock(nn.Module):
    """skip + α a + (1 − α) b in training, with β and 1 − β on the way back; α, β ~ U(0, 1) of each image: the paper's
    "Shake-Shake-Image". In evaluation both count ½. β is drawn on the way forward, so that a step draws in one order.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = (_branch(inputs, outputs, stride) for _ in range(2))
        self.skip = _Skip(inputs, outputs, stride) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        if not self.training:
            return self.skip(x) + (a + b) / 2
        alpha, beta = uniform(x), uniform(x)
        return self.skip(x) + shaken(a, alpha, beta) + shaken(b, 1 - alpha, 1 - beta)


class _Skip(nn.Module):
    """Where shapes change: two 1×1 convolutions of half the channels, the second of the image moved one pixel right and
    down, so that at stride 2 they see different pixels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.here, self.moved = (conv(inputs, outputs // 2, 1, stride) for _ in range(2))
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        return self.norm(torch.cat([self.here(x), self.moved(functional.pad(x, (1, -1, 1, -1)))], 1))


def _branch(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),  # not in place: the skip sees x as it is
        conv(inputs, outputs, stride=stride),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        conv(outputs, outputs),
        nn.BatchNorm2d(outputs),
    )


class ShakeShake26(Staged):
    """Three stages of four blocks with two branches, of ``width``, 2 and 4 times ``width`` channels; weights begin as
    in the author's program. 2.92 million parameters for 2x32d at 10 classes, 26.19 million for 2x96d.
    """

    def __init__(self, width: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__(
            nn.Sequential(conv(in_channels, 16), nn.BatchNorm2d(16)),
            layers(ShakeShakeBlock, [16, width, 2 * width, 4 * width], 4),
            Head(nn.ReLU(), 4 * width, num_classes),
        )
        draw_weights(self)

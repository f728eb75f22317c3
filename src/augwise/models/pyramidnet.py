"""PyramidNets (Han, Kim and Kim 2017) of bottlenecks, with ShakeDrop where asked (Yamada et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .parts import Head, Staged, conv, draw_weights
from .shake import shaken, uniform


def widths(alpha: int, blocks: int) -> list[int]:
    """Channels in the middle of each block: 16 + α k / K for k = 1 … K, to the nearest whole number, as in the
    authors' program and CutMix's, where the paper rounds down."""
    return [(2 * (16 * blocks + alpha * k) + blocks) // (2 * blocks) for k in range(1, blocks + 1)]


class ShakeDrop(nn.Module):
    """(b + α − b α) x in training, with b + β − b β on the way back; b ~ Bernoulli(keep), α ~ U(−1, 1), β ~ U(0, 1),
    each drawn for every image. In evaluation the mean, keep · x."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.keep * x
        kept = uniform(x) < self.keep
        alpha, beta = uniform(x, -1.0), uniform(x)
        return shaken(x, torch.where(kept, 1.0, alpha), torch.where(kept, 1.0, beta))

    def extra_repr(self) -> str:
        return f"keep={self.keep:.4f}"


class PyramidBlock(nn.Module):
    """norm – 1×1 – norm – ReLU – 3×3 – norm – ReLU – 1×1 – norm, beside x, which is averaged 2×2 at stride 2 and filled
    up with zeros to the new channels, 4 · ``width``."""

    def __init__(self, inputs: int, width: int, stride: int, keep: float | None = None) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            conv(inputs, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            conv(width, width, stride=stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            conv(width, 4 * width, 1),
            nn.BatchNorm2d(4 * width),
            *([] if keep is None else [ShakeDrop(keep)]),
        )
        self.pool = nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        found, skip = self.residual(x), self.pool(x)
        return found + functional.pad(skip, (0, 0, 0, 0, 0, found.shape[1] - skip.shape[1]))


class PyramidNet(Staged):
    """Three stages of (depth − 2) / 9 bottlenecks that widen by ``alpha`` in equal steps, block by block; weights begin
    as in the authors' program. 26.75 million parameters for depth 200, alpha 240 at 10 classes.

    shakedrop: block l of L is kept with probability 1 − l / (2 L).
    """

    def __init__(self, depth: int, alpha: int, num_classes: int, in_channels: int = 3, shakedrop: bool = False) -> None:
        each = (depth - 2) // 9
        count = 3 * each
        inside = widths(alpha, count)
        outside = [16, *(4 * width for width in inside)]
        blocks = [
            PyramidBlock(
                outside[i],
                inside[i],
                2 if i in (each, 2 * each) else 1,
                1 - (i + 1) / (2 * count) if shakedrop else None,
            )
            for i in range(count)
        ]
        super().__init__(
            nn.Sequential(conv(in_channels, 16), nn.BatchNorm2d(16)),
            [nn.Sequential(*blocks[i : i + each]) for i in range(0, count, each)],
            Head(nn.Sequential(nn.BatchNorm2d(outside[-1]), nn.ReLU(inplace=True)), outside[-1], num_classes),
        )
        draw_weights(self)

"""Pre-activation ResNets (He et al. 2016, "Identity mappings in deep residual networks") for small images."""

from __future__ import annotations

from torch import Tensor, nn

from .parts import Head, Staged, conv, layers


class PreActBlock(nn.Module):
    """skip + conv(act(norm(conv(act(norm(x)))))), where the skip is x, or a 1×1 convolution where shapes change.

    raw_skip: that 1×1 convolution sees x rather than act(norm(x)).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, act: nn.Module | None = None, raw_skip: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, stride=stride)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs)
        self.act = nn.ReLU(inplace=True) if act is None else act
        self.skip = conv(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None
        self.raw_skip = raw_skip

    def forward(self, x: Tensor) -> Tensor:
        seen = self.act(self.norm1(x))
        out = self.conv2(self.act(self.norm2(self.conv1(seen))))
        return out + (x if self.skip is None else self.skip(x if self.raw_skip else seen))


class PreActResNet18(Staged):
    """Four stages of two blocks, 64 to 512 channels; 11.17 million parameters at 10 classes.

    As Puzzle Mix, Co-Mixup, PES and DivideMix have it: their last sum is pooled as it is, where He et al. put one more
    batch-norm and ReLU; weights begin as torch draws them.

    stem_norm: batch-norm and ReLU behind the first convolution, as in DivideMix and PES alone.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, stem_norm: bool = False) -> None:
        behind = (nn.BatchNorm2d(64), nn.ReLU(inplace=True)) if stem_norm else ()
        super().__init__(
            nn.Sequential(conv(in_channels, 64), *behind),
            layers(PreActBlock, [64, 64, 128, 256, 512], 2),
            Head(nn.Identity(), 512, num_classes),
        )

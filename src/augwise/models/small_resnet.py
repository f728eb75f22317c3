"""ResNets of three stages, made for CIFAR: He et al. 2016, section 4.2, and Xie et al. 2017, section 5.3."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from .parts import Head, Staged, conv, draw_weights, layers


class _Padded(nn.Module):
    """The shortcut without weights: every second pixel, zeros for the new channels (He et al.'s option A)."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class SmallResNet(Staged):
    """ResNet-depth of (depth − 2) / 6 blocks a stage, 16, 32 and 64 channels, shortcuts without weights; 1.73 million
    parameters for ResNet-110 at 10 classes. Weights begin as in fb.resnet.torch."""

    def __init__(self, depth: int, num_classes: int, in_channels: int = 3) -> None:
        def block(inputs: int, outputs: int, stride: int) -> BasicBlock:
            return BasicBlock(inputs, outputs, stride, _Padded(outputs - inputs, stride) if stride != 1 else None)

        stages = layers(block, [16, 16, 32, 64], (depth - 2) // 6)
        super().__init__(_stem(in_channels, 16), stages, Head(nn.Identity(), 64, num_classes))
        draw_weights(self)


class SmallResNeXt(Staged):
    """ResNeXt-depth of (depth − 2) / 9 bottlenecks a stage with ``groups`` paths of ``base`` channels, doubled at every
    stage; 4.85 million parameters for 29, 4x24d at 10 classes. Weights begin as in the authors' program."""

    def __init__(self, depth: int, groups: int, base: int, num_classes: int, in_channels: int = 3) -> None:
        def block(inputs: int, outputs: int, stride: int) -> Bottleneck:
            changes = stride != 1 or inputs != outputs
            skip = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)) if changes else None
            return Bottleneck(inputs, outputs // 4, stride, skip, groups, base)

        stages = layers(block, [64, 256, 512, 1024], (depth - 2) // 9)
        super().__init__(_stem(in_channels, 64), stages, Head(nn.Identity(), 1024, num_classes))
        draw_weights(self)


def _stem(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

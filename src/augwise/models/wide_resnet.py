"""Wide ResNets for small images (Zagoruyko and Komodakis 2016), and what FixMatch made of them."""

from __future__ import annotations

from functools import partial

from torch import nn

from .parts import Head, Staged, conv, draw_weights, layers
from .preact_resnet import PreActBlock


class WideResNet(Staged):
    """WRN-depth-width: three stages of (depth − 4) / 6 blocks, 16, 32 and 64 times ``width`` channels, without dropout.

    36.48 million parameters for WRN-28-10 at 10 classes. Weights begin as in the authors' program.
    """

    def __init__(self, depth: int, width: int, num_classes: int, in_channels: int = 3) -> None:
        last = nn.Sequential(nn.BatchNorm2d(64 * width), nn.ReLU(inplace=True))
        super().__init__(
            conv(in_channels, 16),
            layers(PreActBlock, [16, 16 * width, 32 * width, 64 * width], (depth - 4) // 6),
            Head(last, 64 * width, num_classes),
        )
        draw_weights(self)


class FixMatchNet(Staged):
    """The Wide ResNet of FixMatch's program (Sohn et al. 2020), four blocks a stage: of three stages its WRN-28, of
    four its WRN-37 for STL-10.

    What differs from Zagoruyko's: leaky ReLU of slope 0.1; running statistics that move by 0.001 (0.999 in TensorFlow's
    words) and ε = 0.001; only the first stage's 1×1 convolution sees activated features; the linear layer begins as
    Glorot normal. TensorFlow's convolutions also have a bias, these have none, as in the PyTorch programs after it.
    """

    def __init__(self, width: int, count: int, num_classes: int, in_channels: int = 3) -> None:
        act = partial(nn.LeakyReLU, 0.1, inplace=True)

        def block(inputs: int, outputs: int, stride: int) -> PreActBlock:
            return PreActBlock(inputs, outputs, stride, act(), raw_skip=stride != 1)

        widths = [16, *(16 * width << i for i in range(count))]
        head = Head(nn.Sequential(nn.BatchNorm2d(widths[-1]), act()), widths[-1], num_classes)
        super().__init__(conv(in_channels, 16), layers(block, widths, 4), head)
        draw_weights(self)
        nn.init.xavier_normal_(head.linear.weight)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum, module.eps = 0.001, 0.001

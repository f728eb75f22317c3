"""A network that learns CIFAR-10 in seconds on a GPU: few wide convolutions, nothing that a device has to wait for."""

from __future__ import annotations

from torch import Tensor, nn

from .parts import conv


class ResNet9(nn.Module):
    """Eight convolutions and a linear layer (Page 2018, "How to train your ResNet"): a stem of 64 channels, three
    stages of 128, 256 and 512 that halve the map by max-pooling, the first and the last with a residual block of two
    convolutions, then the maximum over places, and logits scaled by 1/8. 6.57 million parameters at 10 classes.

    Each convolution is followed by batch-norm and CELU with α = 0.075, which costs as little as ReLU and smooths the
    loss that so few steps have to descend (the same series, part 8).

    Input (N, in_channels, H, W) with H, W ≥ 8; output (N, num_classes) logits.
    """

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = _step(in_channels, 64)
        self.layer1 = nn.Sequential(_step(64, 128), nn.MaxPool2d(2), _Residual(128))
        self.layer2 = nn.Sequential(_step(128, 256), nn.MaxPool2d(2))
        self.layer3 = nn.Sequential(_step(256, 512), nn.MaxPool2d(2), _Residual(512))
        self.head = nn.Linear(512, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return self.head(features.amax((2, 3))) / 8


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(_step(channels, channels), _step(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.steps(features)


def _step(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.CELU(alpha=0.075, inplace=True))

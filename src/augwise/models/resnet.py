"""ResNets for small images: torchvision's, with the stem that CIFAR work uses."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torchvision.models import ResNet
from torchvision.models import resnet18 as imagenet_resnet18
from torchvision.models import resnet50 as imagenet_resnet50


def resnet18(num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-18 (He et al. 2016) with the CIFAR stem; 11.17 million parameters at 10 classes."""
    return _cifar_stem(imagenet_resnet18, num_classes, in_channels)


def resnet50(num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-50 (He et al. 2016) with the CIFAR stem; 23.52 million parameters at 10 classes."""
    return _cifar_stem(imagenet_resnet50, num_classes, in_channels)


def _cifar_stem(make: Callable[..., ResNet], num_classes: int, in_channels: int) -> ResNet:
    """A 3×3 convolution of stride 1 and no max-pooling in place of ImageNet's 7×7 of stride 2 and its pooling, so that
    a 32×32 image still has 4×4 places at the end.
    """
    model = make(weights=None, num_classes=num_classes)
    model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's other ones
    model.maxpool = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    return model

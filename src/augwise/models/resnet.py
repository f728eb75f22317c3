"""ResNets for small images: torchvision's, with the stem that CIFAR work uses."""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import nn
from torchvision.models import ResNet


def small_stem(name: str) -> Callable[[int, int], ResNet]:
    """A builder (num_classes, in_channels) of torchvision's ResNet called ``name`` with a 3×3 convolution of stride 1
    and no max-pooling in place of ImageNet's 7×7 of stride 2 and its pooling, so that a 32×32 image still has 4×4
    places at the end.

    Of He et al. 2016 (resnetN), Zagoruyko and Komodakis 2016 (wide_resnet50_2) and Xie et al. 2017 (resnextN); in
    their bottlenecks the 3×3 convolution has the stride, as torchvision's do.
    """

    def make(num_classes: int, in_channels: int = 3) -> ResNet:
        model: ResNet = torchvision.models.get_model(name, weights=None, num_classes=num_classes)  # pyright: ignore[reportAssignmentType]
        model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's other ones
        model.maxpool = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        return model

    return make

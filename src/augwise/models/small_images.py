"""The networks for small images, by name. One explicit list; everything else is torchvision's or timm's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from .densenet import SmallDenseNet
from .preact_resnet import PreActResNet18
from .pyramidnet import PyramidNet
from .resnet import small_stem
from .resnet9 import ResNet9
from .shake_shake import ShakeShake26
from .small_cnn import SmallCNN
from .small_resnet import SmallResNet, SmallResNeXt
from .wide_resnet import FixMatchNet, WideResNet

SMALL: dict[str, Callable[[int, int], nn.Module]] = {
    "small_cnn": SmallCNN,
    "resnet9": ResNet9,
    "resnet18": small_stem("resnet18"),
    "resnet44": partial(SmallResNet, 44),
    "resnet50": small_stem("resnet50"),
    "resnet110": partial(SmallResNet, 110),
    "resnet152": small_stem("resnet152"),
    "preact_resnet18": PreActResNet18,
    "dividemix_preact_resnet18": partial(PreActResNet18, stem_norm=True),
    "wrn16_8": partial(WideResNet, 16, 8),
    "wrn28_2": partial(WideResNet, 28, 2),
    "wrn28_8": partial(WideResNet, 28, 8),
    "wrn28_10": partial(WideResNet, 28, 10),
    "wrn50_2": small_stem("wide_resnet50_2"),
    "fixmatch_wrn28_2": partial(FixMatchNet, 2, 3),
    "fixmatch_wrn28_8": partial(FixMatchNet, 8, 3),
    "fixmatch_wrn37_2": partial(FixMatchNet, 2, 4),
    "resnext29_4x24d": partial(SmallResNeXt, 29, 4, 24),
    "resnext50_32x4d": small_stem("resnext50_32x4d"),
    "resnext101_32x8d": small_stem("resnext101_32x8d"),
    "shake26_2x32d": partial(ShakeShake26, 32),
    "shake26_2x96d": partial(ShakeShake26, 96),
    "pyramidnet110_a64": partial(PyramidNet, 110, 64),
    "pyramidnet200_a240": partial(PyramidNet, 200, 240),
    "pyramidnet272_a200": partial(PyramidNet, 272, 200, shakedrop=True),
    "densenet121": partial(SmallDenseNet, (6, 12, 24, 16)),
    "densenet201": partial(SmallDenseNet, (6, 12, 48, 32)),
}
"""Name to builder: (num_classes, in_channels) to a classifier that takes images of 32 px a side, or more."""

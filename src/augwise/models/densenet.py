"""DenseNets for small images: torchvision's, with the stem that CIFAR work uses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet


class SmallDenseNet(DenseNet):
    """DenseNet-BC with growth 32 (Huang et al. 2017, Table 1), behind a 3×3 convolution of stride 1 and without
    max-pooling. 6.96 million parameters for DenseNet-121 at 10 classes. Weights begin as torchvision's.

    blocks: dense layers of each of the four stages, (6, 12, 24, 16) for DenseNet-121.
    """

    def __init__(self, blocks: tuple[int, int, int, int], num_classes: int, in_channels: int = 3) -> None:
        super().__init__(32, blocks, 64, num_classes=num_classes)
        stem = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight)
        self.features.conv0, self.features.pool0 = stem, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # torchvision's ReLU writes over the last features, which could then not be looked at.
        return self.classifier(functional.relu(self.features(x)).mean((2, 3)))

"""Networks for re-identification: classifiers of identities whose features also tell people apart that are new."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from .parts import conv, draw_weights
from .stem import replace_stem


class Identified(NamedTuple):
    """What a network says of images. logits: (N, classes) of each of its heads, that of the whole image first;
    features: (N, F), which a triplet loss compares; embedding: (N, E), which rankings compare, by cosine."""

    logits: tuple[Tensor, ...]
    features: Tensor
    embedding: Tensor


class IdentityNetwork(nn.Module, ABC):
    """A classifier of the identities that it was trained on: images (N, C, H, W) to logits (N, classes), the mean over
    its heads. ``model(images, everything=True)`` gives `Identified`."""

    @abstractmethod
    def identify(self, images: Tensor) -> Identified:
        """All that the network says."""

    def forward(self, images: Tensor, everything: bool = False) -> Identified | Tensor:
        found = self.identify(images)
        return found if everything else torch.stack(found.logits).mean(0)


class Neck(nn.Module):
    """BN neck (Luo et al. 2019, Section III-E): batch-norm without shift between the features that triplets compare and
    a linear classifier without bias."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and normed features."""
        normed = self.norm(features)
        return self.classifier(normed), normed


class Baseline(IdentityNetwork):
    """A ResNet whose last stage keeps its resolution, mean over places, BN neck: Luo, Gu, Liao, Lai and Jiang, "Bag of
    Tricks and a Strong Baseline for Deep Person Re-identification" (2019).

    Features are those before the neck, the embedding is behind it. backbone: see `last_stride_1`; channels: of its last
    stage.
    """

    def __init__(self, backbone: ResNet, channels: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(_stem(backbone), *_stages(backbone))
        self.neck = Neck(channels, num_classes)

    def identify(self, images: Tensor) -> Identified:
        features = self.backbone(images).mean((2, 3))
        logits, normed = self.neck(features)
        return Identified((logits,), features, normed)


class FeaturePyramidBranch(IdentityNetwork):
    """A ResNet with a branch that joins its second and third stage in a pyramid and looks at horizontal stripes, in the
    manner of FPB: Zhang, Yin, Wu, Wang, Zhou and Kang, "FPB: Feature Pyramid Branch for Person Re-Identification"
    (arXiv 2108.01901), and its released program where the paper leaves things open.

    Taken from there: attention after the second stage and in the pyramid; stages reduced to ``neck`` channels, joined
    from the coarse to the fine one and back, with a way around (as in BiFPN); the result widened and pooled into
    ``parts`` stripes, each with a reduced vector and a classifier of its own; triplets on unit vectors of the whole
    image and of every stripe side by side. From Luo et al. 2019: last stride 1 and the neck of the whole image. From Fu
    et al. 2019 ("Dual Attention"): the attention's form, without the batch-norm and dropout that FPB adds. Left out:
    FPB's orthogonality penalty and centre loss.
    """

    def __init__(
        self, stem: nn.Module, stages: list[nn.Module], widths: list[int], num_classes: int, neck: int, parts: int = 3
    ) -> None:
        super().__init__()
        self.stem, self.parts = stem, parts
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.attention = Attention(widths[1])
        self.whole = Neck(widths[3], num_classes)
        self.coarse, self.fine = block(widths[2], neck, 1), block(widths[1], neck, 1)
        self.fine_attention = Attention(neck)
        self.first, self.down, self.up, self.last = (block(neck, neck) for _ in range(4))
        self.around_fine, self.around_coarse = block(neck, neck, 1), block(neck, neck, 1)
        self.widen = block(neck, widths[2], 1)
        self.reduce = block(widths[2], neck, 1)
        self.classifiers = nn.ModuleList(nn.Linear(neck, num_classes) for _ in range(parts))
        for classifier in self.classifiers:
            assert isinstance(classifier, nn.Linear)
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)

    def identify(self, images: Tensor) -> Identified:
        second = self.layer2(self.layer1(self.stem(images)))
        third = self.layer3(self.attention(second))
        features = self.layer4(third).mean((2, 3))
        logits, normed = self.whole(features)
        stripes = F.adaptive_avg_pool2d(self.branch(second, third), (self.parts, 1))
        reduced = self.reduce(stripes).flatten(2).unbind(2)
        heads = [head(part) for head, part in zip(self.classifiers, reduced, strict=True)]
        pooled = F.normalize(stripes, dim=1).flatten(1)
        return Identified(
            (logits, *heads),
            torch.cat([F.normalize(features, dim=1), pooled], 1),
            torch.cat([F.normalize(normed, dim=1), pooled], 1),
        )

    def branch(self, second: Tensor, third: Tensor) -> Tensor:
        """The pyramid, at the third stage's resolution."""
        coarse, fine = self.coarse(third), self.fine(second)
        low = self.first(coarse)
        high = self.down(self.fine_attention(fine) + F.interpolate(low, fine.shape[-2:], mode="nearest"))
        high = self.up(high) + self.around_fine(fine)
        low = self.last(low + F.max_pool2d(high, 2, ceil_mode=True)) + self.around_coarse(coarse)
        return self.widen(low)


class Attention(nn.Module):
    """x + γ_p P + γ_c C (Fu et al. 2019, "Dual Attention Network for Scene Segmentation", Eq. 1-4): every place looks
    at all places like it, then every channel at all channels unlike it. Both γ begin at 0, where it does nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query, self.key = nn.Conv2d(channels, inner, 1), nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.places, self.channels = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        alike = (query.transpose(1, 2) @ key).softmax(2)  # (N, places, places)
        x = x + self.places * (value @ alike.transpose(1, 2)).view(x.shape)
        flat = x.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        unlike = (energy.amax(2, keepdim=True) - energy).softmax(2)  # (N, channels, channels)
        return x + self.channels * (unlike @ flat).view(x.shape)


def block(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    """Convolution, batch-norm, ReLU."""
    return nn.Sequential(conv(inputs, outputs, size), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def last_stride_1(model: ResNet) -> ResNet:
    """The ResNet with a last stage that keeps the resolution of the one before (Sun et al. 2018; Luo et al. 2019,
    Section III-D), in place; its weights still fit."""
    first = model.layer4[0]
    for layer in first.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.stride = (1, 1)
    return model


def _resnet50(in_channels: int, pretrained: bool) -> ResNet:
    model = torchvision.models.resnet50(weights="DEFAULT" if pretrained else None)
    if in_channels != 3:
        replace_stem(model, in_channels)
    return last_stride_1(model)


def _stem(model: ResNet) -> nn.Sequential:
    return nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)


def _stages(model: ResNet) -> list[nn.Module]:
    return [model.layer1, model.layer2, model.layer3, model.layer4]


def reid_resnet50(num_classes: int, in_channels: int = 3, pretrained: bool = False) -> Baseline:
    """`Baseline` on torchvision's ResNet-50."""
    return Baseline(_resnet50(in_channels, pretrained), 2048, num_classes)


def reid_fpb(num_classes: int, in_channels: int = 3, pretrained: bool = False) -> FeaturePyramidBranch:
    """`FeaturePyramidBranch` on torchvision's ResNet-50, with 256 channels in the pyramid."""
    model, widths = _resnet50(in_channels, pretrained), [256, 512, 1024, 2048]
    found = FeaturePyramidBranch(_stem(model), _stages(model), widths, num_classes, 256)
    _draw_branch(found)
    return found


def reid_small(num_classes: int, in_channels: int = 3, pretrained: bool = False) -> FeaturePyramidBranch:  # noqa: ARG001
    """The same shape for quick runs on small images: stages of one basic block and 16, 32, 64 and 64 channels, of which
    the second and third halve the resolution, 32 channels in the pyramid."""
    widths = [16, 32, 64, 64]
    stem = nn.Sequential(conv(in_channels, widths[0], stride=2), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
    stages: list[nn.Module] = []
    for i, width in enumerate(widths):
        before, stride = widths[max(0, i - 1)], 2 if i in (1, 2) else 1
        way = None
        if stride > 1 or before != width:
            way = nn.Sequential(conv(before, width, 1, stride), nn.BatchNorm2d(width))
        stages.append(BasicBlock(before, width, stride, way))
    draw_weights(stem)
    for stage in stages:
        draw_weights(stage)
    found = FeaturePyramidBranch(stem, stages, widths, num_classes, 32)
    _draw_branch(found)
    return found


def _draw_branch(model: FeaturePyramidBranch) -> None:
    """He et al. 2015 for the convolutions that the backbone does not bring."""
    for part in (model.coarse, model.fine, model.first, model.down, model.up, model.last, model.around_fine):
        draw_weights(part)
    for part in (model.around_coarse, model.widen, model.reduce):
        draw_weights(part)


REID: dict[str, Callable[[int, int, bool], IdentityNetwork]] = {
    "reid_resnet50": reid_resnet50,
    "reid_fpb": reid_fpb,
    "reid_small": reid_small,
}
"""Name to builder: (num_classes, in_channels, pretrained) to a classifier of identities."""
OF_IMAGENET = {"reid_resnet50": "resnet50", "reid_fpb": "resnet50"}
"""Name to the network of torchvision whose ImageNet weights its backbone can start from."""

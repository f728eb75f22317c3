"""What several networks for small images are made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """Without bias, padded so that stride 1 keeps the map's size."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def layers(make: Callable[[int, int, int], nn.Module], widths: list[int], each: int) -> list[nn.Sequential]:
    """Stages of ``each`` blocks, the first as large as the stem's map, every other half as large as the one before.

    make: (inputs, outputs, stride) to a block; widths: of the stem, then of each stage.
    """
    found = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        first = make(inputs, outputs, 2 if i else 1)
        found.append(nn.Sequential(first, *(make(outputs, outputs, 1) for _ in range(each - 1))))
    return found


class Staged(nn.Sequential):
    """stem, layer1, layer2, … and head: the names that torchvision's ResNets give to their stages."""

    def __init__(self, stem: nn.Module, layers: list[nn.Sequential], head: nn.Module) -> None:
        named = {f"layer{i}": layer for i, layer in enumerate(layers, 1)}
        super().__init__(OrderedDict({"stem": stem, **named, "head": head}))


class Head(nn.Module):
    """The last activation, mean over places, one linear layer.

    One module, so that the last stage's sums are what the network is compared by (`aw.PerceptualDistance`), as in
    LP-A3's programs, and not what its last batch-norm makes of them.
    """

    def __init__(self, activate: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        self.activate = activate
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.activate(features).mean((2, 3)))


def draw_weights(model: nn.Module) -> None:
    """Convolutions from N(0, 2 / (k² · outputs)) (He et al. 2015, backward form), linear layers without bias at first:
    how fb.resnet.torch and all programs that came from it begin."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

"""Networks made of a genotype: a stem, cells of two kinds, a classifier, and in training an auxiliary head."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..schedule import Ramp, current
from .cell_operations import MAKERS, FactorizedReduce, relu_conv_norm
from .genotype import GENOTYPE, NODES, Cell, Genotype, genotype
from .parts import conv

CHANNELS_OF_32_PX, LAYERS_OF_32_PX = 36, 20
CHANNELS_OF_224_PX, LAYERS_OF_224_PX = 48, 14


class DrawnPath(nn.Module):
    """Drop path (Larsson et al. 2017): of each image x becomes 0 with probability p and else x / (1 − p), in training;
    p rises linearly to ``p`` while training proceeds (`Ramp`), as in DARTS."""

    def __init__(self) -> None:
        super().__init__()
        self.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        p = current(Ramp(self.p)) if self.training else 0.0
        if p <= 0:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= p
        return x * (kept / (1 - p)).to(x.dtype)


class CellOf(nn.Module):
    """One cell: (N, inputs of the cell before last, ·), (N, inputs of the last, ·) -> (N, 4 · channels, ·).

    halve: this cell is a reduction. halved: the one before was, so that what comes from before it is to be halved.
    """

    def __init__(self, cell: Cell, before: int, last: int, channels: int, halve: bool, halved: bool) -> None:
        super().__init__()
        self.first = FactorizedReduce(before, channels) if halved else relu_conv_norm(before, channels)
        self.second = relu_conv_norm(last, channels)
        self.states = tuple((a[1], b[1]) for a, b in cell)
        made = []
        for edges in cell:
            for operation, state in edges:
                step = MAKERS[operation](channels, 2 if halve and state < 2 else 1)
                # What is passed on as it is, is never dropped.
                made.append(step if isinstance(step, nn.Identity) else nn.Sequential(step, DrawnPath()))
        self.edges = nn.ModuleList(made)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        states = [self.first(before), self.second(last)]
        for node, (a, b) in enumerate(self.states):
            states.append(self.edges[2 * node](states[a]) + self.edges[2 * node + 1](states[b]))
        return torch.cat(states[2:], 1)


class AuxiliaryHead(nn.Module):
    """A second classifier in the middle of the network, for training alone: ReLU, average pooling to 2×2, 1×1
    convolution of 128, 2×2 convolution of 768 channels, one linear layer.

    Pooling windows are 5 pixels wide on maps of 8 (CIFAR) and of 7 (ImageNet), as in DARTS, and as large a share of
    others. Both convolutions have a batch-norm behind them; DARTS's for ImageNet has none behind its second.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(conv(channels, 128, 1), nn.BatchNorm2d(128), nn.ReLU(inplace=True))
        self.join = nn.Sequential(nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU(inplace=True))
        self.linear = nn.Linear(768, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        side = min(features.shape[2:])
        if side < 2:
            raise UserError("the auxiliary head needs maps of 2×2 and more: give larger images, or auxiliary=0")
        window = min(side - 1, -(-5 * side // 8))
        pooled = nn.functional.avg_pool2d(features.relu(), window, side - window, count_include_pad=False)
        return self.linear(self.join(self.reduce(pooled)[:, :, :2, :2]).flatten(1))


@final
class CellNetwork(nn.Module):
    """Cells of a genotype in a row, (N, in_channels, H, W) -> (N, num_classes) logits.

    large: the shape for ImageNet, whose stem halves three times and which begins with ``channels`` a cell; else that
    for images of 32 px, whose stem has 3 · ``channels``. The cells at a third and two thirds of ``layers`` are
    reductions and double the channels.

    In training, with `auxiliary_weight` above 0, a forward pass leaves the auxiliary head's logits in
    `auxiliary_logits`, which `take_auxiliary` gives; at other times the head is not run. `drop_path`: see `DrawnPath`.
    """

    training_only = ("auxiliary",)
    """Parts that no prediction needs."""

    def __init__(
        self,
        of: Genotype,
        num_classes: int,
        in_channels: int = 3,
        *,
        channels: int = CHANNELS_OF_32_PX,
        layers: int = LAYERS_OF_32_PX,
        large: bool = False,
    ) -> None:
        super().__init__()
        if layers < 3 or channels < 2 or channels % 2:
            raise UserError(
                f"a network of {layers} cells that begin with {channels} channels cannot be built: give 3 cells or "
                "more, and an even number of channels"
            )
        self.large = large
        self.stem = _large_stem(in_channels, channels) if large else _small_stem(in_channels, channels)
        before = last = channels if large else 3 * channels
        cells, halved, seen = [], large, 0
        self.looked = 2 * layers // 3  # behind which the auxiliary head stands
        for place in range(layers):
            halve = place in (layers // 3, self.looked)
            channels *= 2 if halve else 1
            cells.append(CellOf(of.reduction if halve else of.normal, before, last, channels, halve, halved))
            before, last, halved = last, NODES * channels, halve
            if place == self.looked:
                seen = last
        self.cells = nn.ModuleList(cells)
        self.auxiliary = AuxiliaryHead(seen, num_classes)
        self.head = nn.Linear(last, num_classes)  # behind the auxiliary one: the last linear layer is the head
        self.auxiliary_weight, self.auxiliary_logits = 0.0, None
        self.genotype = of

    @property
    def drop_path(self) -> float:
        """Probability of `DrawnPath` at the end of training."""
        return next((m.p for m in self.modules() if isinstance(m, DrawnPath)), 0.0)

    @drop_path.setter
    def drop_path(self, p: float) -> None:
        for module in self.modules():
            if isinstance(module, DrawnPath):
                module.p = p

    def forward(self, images: Tensor) -> Tensor:
        if self.large:
            before = self.stem[0](images)
            last = self.stem[1](before)
        else:
            before = last = self.stem(images)
        self.auxiliary_logits: Tensor | None = None
        for place, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            if place == self.looked and self.training and self.auxiliary_weight > 0:
                self.auxiliary_logits = self.auxiliary(last)
        return self.head(last.mean((2, 3)))

    def take_auxiliary(self) -> Tensor | None:
        """The auxiliary logits of the last forward pass, once; None where there are none."""
        logits, self.auxiliary_logits = self.auxiliary_logits, None
        return logits


def _small_stem(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(conv(inputs, 3 * channels), nn.BatchNorm2d(3 * channels))


def _large_stem(inputs: int, channels: int) -> nn.Sequential:
    """Three convolutions of stride 2; the first cell sees the map before and the map after the third."""
    half = channels // 2
    first = [conv(inputs, half, 3, 2), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
    first += [conv(half, channels, 3, 2), nn.BatchNorm2d(channels)]
    second = [nn.ReLU(), conv(channels, channels, 3, 2), nn.BatchNorm2d(channels)]
    return nn.Sequential(OrderedDict({"0": nn.Sequential(*first), "1": nn.Sequential(*second)}))


class CellShape(NamedTuple):
    """A name such as ``darts_c16_l8:genotype.json`` in its parts."""

    genotype: str
    channels: int
    layers: int
    large: bool


def cell_shape(name: str) -> CellShape | None:
    """What a model's name says of a network made of a genotype; None for names of other models.

    ``darts:GENOTYPE`` is the shape for images of 32 px (36 channels, 20 cells), ``darts_imagenet:GENOTYPE`` that for
    ImageNet (48, 14); ``_c16`` and ``_l8`` behind the word change channels and cells. GENOTYPE: a published one's name
    or a genotype.json.
    """
    word, separator, given = name.partition(":")
    if not separator or not re.match(r"darts($|_)", word):
        return None
    found = re.fullmatch(r"darts(_imagenet)?(?:_c([1-9]\d*))?(?:_l([1-9]\d*))?", word)
    if found is None or not given:
        raise UserError(
            f"model {name!r} is unknown: write darts:GENOTYPE or darts_imagenet:GENOTYPE, smaller as "
            "darts_c16_l8:GENOTYPE (16 channels, 8 cells), with a genotype.json or the name of a published genotype"
        )
    large = found[1] is not None
    usual = (CHANNELS_OF_224_PX, LAYERS_OF_224_PX) if large else (CHANNELS_OF_32_PX, LAYERS_OF_32_PX)
    return CellShape(given, int(found[2] or usual[0]), int(found[3] or usual[1]), large)


def kept_name(name: str, folder: Path) -> str:
    """The name of a run's model with the genotype that the run keeps in its folder, so that it is found wherever the
    folder goes; other names as they are."""
    kept = folder / GENOTYPE
    return f"{name.partition(':')[0]}:{kept}" if cell_shape(name) is not None and kept.is_file() else name


def cell_network(shape: CellShape, num_classes: int, in_channels: int) -> CellNetwork:
    """The network of a name's parts; reads the genotype's file."""
    size = {"channels": shape.channels, "layers": shape.layers, "large": shape.large}
    return CellNetwork(genotype(shape.genotype), num_classes, in_channels, **size)

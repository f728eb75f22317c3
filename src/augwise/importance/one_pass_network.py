"""The small network behind one-pass maps: one image in, one map per class out, in a single forward pass.

Pure architecture: it knows no objective and no file. What its numbers mean is decided by what it was trained for, see
`one_pass`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..labels import MixedLabels

SMALLEST = 8
"""Least height and width of images in pixels: the network halves them three times."""
LARGEST = 64
"""Longest side in pixels at which the network looks; larger images are shrunk to it."""
_GROUPS = 8


class OnePassNetwork(nn.Module):
    """A map of every class's evidence, at a quarter of the image's resolution.

    Convolutions at full, half and quarter resolution with ``width``, 2 and 8/3 × ``width`` channels, two more at an
    eighth for context, joined again at a quarter; then one linear map per class. Group normalisation throughout, so an
    image's maps do not depend on its neighbours, in training as little as later.

    channels, classes: of the images and the labels; features: channels of a classifier's feature maps that the network
    looks at beside the image, joined in at a quarter of the resolution, 0 for none; width: multiple of 24 (24: about
    0.23 million parameters); mean, std: one number per channel, in units of [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 24,
        features: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if width < 24 or width % 24:
            raise UserError(f"width={width}: give a multiple of 24, such as 24 or 48")
        self.channels, self.classes, self.width, self.features = channels, classes, width, features
        for name, values, default in (("mean", mean, 0.5), ("std", std, 0.25)):
            numbers = torch.tensor(list(values) if values is not None else [default] * channels, dtype=torch.float32)
            self.register_buffer(name, numbers[:, None, None])
        first, second, last = width, 2 * width, 8 * width // 3
        self.fine = nn.Sequential(_block(channels, first), _halve(), _block(first, second), _halve())
        self.middle = nn.Sequential(_block(second, last), _block(last, last))
        self.seen = _block(last + features, last) if features else None
        self.coarse = nn.Sequential(_halve(), _block(last, last), _block(last, last))
        self.joined = _block(2 * last, last)
        self.head = nn.Conv2d(last, classes, 1)

    def forward(self, images: Tensor, seen: Tensor | None = None) -> Tensor:
        """(B, channels, H, W) float in [0, 1] -> (B, classes, h, w), h and w about a quarter of H and W.

        seen: (B, features, h', w') what the classifier saw, where the network looks at that.
        """
        self.check(images)
        height, width = images.shape[-2:]
        if max(height, width) > LARGEST:
            size = [max(SMALLEST, round(side * LARGEST / max(height, width))) for side in (height, width)]
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        middle = self.middle(self.fine((images.to(self.mean) - self.mean) / self.std))
        if self.seen is not None:
            if seen is None or seen.shape[1] != self.features:
                raise UserError(
                    f"the one-pass network looks at {self.features} feature maps of its classifier: give them"
                )
            seen = F.interpolate(seen.to(middle), middle.shape[-2:], mode="bilinear")
            middle = self.seen(torch.cat([middle, seen], 1))
        context = F.interpolate(self.coarse(middle), middle.shape[-2:], mode="bilinear")
        return self.head(self.joined(torch.cat([middle, context], 1)))

    def of(self, images: Tensor, labels: Tensor | MixedLabels, seen: Tensor | None = None) -> Tensor:
        """The map of each image's label, stretched over the image: (B, H, W). Of a mixed label every class counts by
        its weight. labels: (B,) int64 below ``classes``, or mixed ones; seen: see `forward`."""
        maps, mixed = self(images, seen), MixedLabels.of(labels)
        at = mixed.classes[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
        one = (maps.gather(1, at) * mixed.weights[:, :, None, None].to(maps)).sum(1, keepdim=True)
        return F.interpolate(one, images.shape[-2:], mode="bilinear")[:, 0]

    def check(self, images: Tensor) -> None:
        """`UserError` for images that the network cannot take."""
        if not images.is_floating_point():
            raise UserError(f"images are {images.dtype}: give float pixels in [0, 1], such as images.float() / 255")
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise UserError(
                f"images of shape {tuple(images.shape)}, but the one-pass network was trained on {self.channels} "
                f"channels: give (N, {self.channels}, H, W), or train one on these images (augwise distil)"
            )
        if min(images.shape[-2:]) < SMALLEST:
            raise UserError(f"images of {images.shape[-2]}x{images.shape[-1]}: give {SMALLEST} pixels a side at least")

    def extra_repr(self) -> str:
        return f"channels={self.channels}, classes={self.classes}, width={self.width}, features={self.features}"


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, outputs), nn.ReLU(inplace=True)
    )


def _halve() -> nn.Module:
    return nn.MaxPool2d(2, ceil_mode=True)

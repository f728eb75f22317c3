"""Random crop and flip for single images and for batches, every image with its own draw, the map moving along.

torchvision's own classes draw one place for a whole batch; these give each image what torchvision's functions `pad`,
`crop` and `horizontal_flip` would have given it. The map is padded with zeros whatever the image is padded with:
padding is never evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from .. import randomness
from ..errors import UserError
from ..schedule import Probability, check_probability, current
from .base import Augmentation, check_fill, check_size, colour

PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]
_LOOP_FROM = 16_384  # elements per image from which, on a CPU, one copy per image beats one indexed copy for all


def crop(images: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut from each image its own window of one size.

    images: (N, ..., H, W); corners: (N, 2) int64 on the CPU, top and left of each window, which lies inside the
    image; size: (h, w). Returns new (N, ..., h, w).
    """
    (height, width), n = size, len(images)
    if images.device.type == "cpu" and n and images[0].numel() >= _LOOP_FROM:
        places = zip(images.unbind(), corners.tolist(), strict=True)
        return torch.stack([x[..., top : top + height, left : left + width] for x, (top, left) in places])
    planes = images.reshape(n, math.prod(images.shape[1:-2]), *images.shape[-2:])
    s0, s1, s2, s3 = planes.stride()
    free = (planes.shape[2] - height + 1, planes.shape[3] - width + 1)
    # Every window of every image as a view: picking one per image is a single indexed copy.
    views = planes.as_strided((n, *free, planes.shape[1], height, width), (s0, s2, s3, s1, s2, s3))
    top, left = corners.to(images.device).unbind(1)
    picked = views[torch.arange(n, device=images.device), top, left]
    return picked.reshape(*images.shape[:-2], height, width)


def flip(images: Tensor, coins: Tensor) -> Tensor:
    """Mirror left and right those images whose coin is true.

    images: (N, ..., H, W); coins: (N,) bool on the CPU. Returns new (N, ..., H, W).
    """
    chosen, out = coins.nonzero()[:, 0], images.clone()
    if images.device.type == "cpu" and len(images) and images[0].numel() >= _LOOP_FROM:
        for i in chosen.tolist():
            out[i] = images[i].flip(-1)
        return out
    chosen = chosen.to(images.device)
    return out.index_copy_(0, chosen, images.index_select(0, chosen).flip(-1))


class RandomCrop(Augmentation):
    """Pad, then cut a window of ``size`` at a uniformly drawn place; every image of a batch its own place.

    size: side of the result in pixels, or (height, width); None: the size of the image itself.
    padding: pixels added before the crop: one number, (left and right, top and bottom), or (left, top, right,
        bottom), as in torchvision; or one float below 1, a share of the image's shorter side on every side.
    fill: colour of constant padding, one number or one per channel, in [0, 1] (uint8 images: times 255, rounded).
    padding_mode: "constant", "edge", "reflect" or "symmetric", as in torchvision.

    The map is padded with zeros in every mode, reflected ones too, so its sum only loses what the crop cuts away.
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        padding: int | float | Sequence[int] = 0,
        fill: float | Sequence[float] = 0.0,
        padding_mode: PaddingMode = "constant",
    ) -> None:
        super().__init__()
        self.size = None if size is None else check_size(size)
        if padding_mode not in get_args(PaddingMode):
            raise UserError(f"padding_mode={padding_mode!r} is unknown: use one of {', '.join(get_args(PaddingMode))}")
        self.padding: float | tuple[int, int, int, int] = (
            _share(padding) if isinstance(padding, float) else _sides(padding)
        )
        self.fill = check_fill(fill)
        self.padding_mode: PaddingMode = padding_mode

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        height, width = images.shape[-2:]
        size, (left, top, right, bottom) = self.size or (height, width), self._padding(height, width)
        free = torch.tensor([height + top + bottom - size[0] + 1, width + left + right - size[1] + 1])
        if free.min() < 1:
            raise UserError(
                f"RandomCrop({size}, padding={self.padding}) does not fit into an image of {height} x {width} "
                "pixels: use a smaller size or more padding"
            )
        return {"corners": randomness.integers(free, len(images), 2, generator=generator)}

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        height, width = images.shape[-2:]
        size, padding = self.size or (height, width), list(self._padding(height, width))
        if any(padding):
            fill = None
            if self.padding_mode == "constant":  # a colour on the CPU: read back from a device, it would have to wait
                fill = colour(self.fill, torch.empty(0, images.shape[1], 1, 1, dtype=images.dtype)).tolist()
            images = vision.pad(images, padding, fill=fill, padding_mode=self.padding_mode)
            if importance is not None:
                importance = vision.pad(importance, padding, fill=0)
        images = crop(images, params["corners"], size)
        return images, None if importance is None else crop(importance, params["corners"], size)

    def move(self, images: Tensor, importance: Tensor | None, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        return self.transform(images, importance, params)

    def _padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of an image of this size."""
        padding = self.padding
        if not isinstance(padding, tuple):
            padding = _sides(math.floor(padding * min(height, width) + 0.5))
        room = {"reflect": -1, "symmetric": 0}.get(self.padding_mode)
        left, top, right, bottom = padding
        if room is not None and (max(left, right) > width + room or max(top, bottom) > height + room):
            raise UserError(
                f"padding={self.padding} mirrors more pixels than an image of {height} x {width} has: "
                "use less padding, or padding_mode='edge'"
            )
        return padding

    def extra_repr(self) -> str:
        return f"size={self.size}, padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode!r}"


class RandomHorizontalFlip(Augmentation):
    """Mirror left and right with probability ``p``; every image of a batch tosses its own coin; the map goes along."""

    def __init__(self, p: Probability = 0.5) -> None:
        super().__init__()
        self.p: Probability = check_probability(p)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        return {"flipped": randomness.uniform(len(images), generator=generator) < current(self.p)}

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        images = flip(images, params["flipped"])
        return images, None if importance is None else flip(importance, params["flipped"])

    def move(self, images: Tensor, importance: Tensor | None, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        return self.transform(images, importance, params)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def random_crop(padding: int | float = 4) -> RandomCrop:
    """Pad every image with black and cut a window of its own size at a random place (He et al. 2016, section 4.2).

    The further it may be shifted, the more of the image, and of its evidence, is cut off; the map goes along, so labels
    softened by `SoftenLabels` know how much.

    padding: pixels on every side (4 for images of 32), or share of the shorter side as a float below 1 (0.125).
    """
    return RandomCrop(padding=padding)


def _share(padding: float) -> float:
    if not 0 <= padding < 1:
        raise UserError(f"padding={padding} is no share of a side: give whole pixels (4), or a float below 1 (0.125)")
    return padding


def _sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Padding as (left, top, right, bottom)."""
    given = [padding] if isinstance(padding, int) else list(padding)
    if len(given) not in (1, 2, 4) or min(given) < 0:
        raise UserError(f"padding={padding} cannot be used: give 1, 2 or 4 numbers of pixels, none negative")
    left, top, right, bottom = given * (4 // len(given))
    return left, top, right, bottom

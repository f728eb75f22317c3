"""Random resized crop for single images and for batches, every image with its own draw, the map moving along.

torchvision's class draws one crop for a whole batch, and its kernel takes one box; here each image gets what
torchvision's `resized_crop` with antialiasing would have given it. Draws nothing but its own numbers.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from .. import randomness
from ..errors import UserError
from ..importance_map import ImportanceMap
from .base import Augmentation, check_size

Interpolation = Literal["bilinear", "bicubic"]
TRIES = 10
"""Crops that are drawn for an image before its largest centred one is taken, as in torchvision."""
DRAWS = 2 * TRIES + 2
"""Uniform numbers per image: (area, aspect) for each try, then the place of the crop."""


class RandomResizedCrop(Augmentation):
    """Cut out a box of random area and aspect and resize it to ``size``; every image of a batch its own box.

    size: side of the result in pixels, or (height, width).
    scale: smallest and largest area of the box, as shares of the image.
    ratio: smallest and largest aspect (width over height) of the box; drawn uniformly on a logarithmic scale.
    interpolation: "bilinear" or "bicubic", with antialiasing.

    Boxes are distributed as in torchvision's class: up to ten draws of area and aspect, the first box that fits is
    placed uniformly; where none fits, the largest box in the middle whose aspect is allowed. On a CPU images are
    exactly those of torchvision's `resized_crop`; elsewhere, where one product of matrices does the whole batch, they
    are those of its float kernel (uint8 pixels then differ by a level from a CPU's, which rounds between two passes;
    by more at sharp edges with bicubic). The map keeps the sum of what the box shows. Bicubic interpolation of float
    images may leave [0, 1] at sharp edges, as torchvision's does.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        self.size = check_size(size)
        if interpolation not in get_args(Interpolation):
            raise UserError(f"interpolation={interpolation!r} is unknown: use one of {', '.join(_FILTERS)}")
        self.scale, self.ratio = check_ranges(scale, ratio)
        self.interpolation: Interpolation = interpolation

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        height, width = images.shape[-2:]
        u = randomness.uniform(len(images), DRAWS, generator=generator)
        return {"boxes": crop_boxes(u, height, width, self.scale, self.ratio)}

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        boxes = params["boxes"]
        moved = None if importance is None else resized_crop_maps(importance, boxes, self.size)
        return resized_crop(images, boxes, self.size, self.interpolation), moved

    def move(self, images: Tensor, importance: Tensor | None, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        return self.transform(images, importance, params)

    def extra_repr(self) -> str:
        return f"size={self.size}, scale={self.scale}, ratio={self.ratio}, interpolation={self.interpolation!r}"


def check_ranges(
    scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both ranges as pairs of floats; `UserError` for what is no range of areas or aspects."""
    if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
        raise UserError(f"scale={scale} is no range of areas: give two shares of the image, such as 0.08 and 1")
    if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] < math.inf:
        raise UserError(f"ratio={ratio} is no range of aspects: give two numbers (width over height), as 0.75 and 1.33")
    return (float(scale[0]), float(scale[1])), (float(ratio[0]), float(ratio[1]))


def crop_boxes(
    u: Tensor,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    stretch: Tensor | None = None,
) -> Tensor:
    """One random box per image, (N, 4) int64 (top, left, bottom, right), inside an image of ``height`` × ``width``.

    u: (N, `DRAWS`) float64 uniforms in [0, 1), which also say on which device the boxes lie.
    stretch: (N,) how many times wider the image was, against its height, before it was brought to this size; areas are
        then shares of the picture as it was, aspects those that the box had there. None: it is as it was.
    """
    tries = u[:, : 2 * TRIES].unflatten(1, (TRIES, 2))
    shape = u.new_ones(1, 1) if stretch is None else stretch.to(u)[:, None]
    area = height * width * (scale[0] + (scale[1] - scale[0]) * tries[..., 0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * tries[..., 1]) / shape
    wide, tall = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    # The largest box in the middle: as wide as the image unless that is too wide for its height, and so for tall.
    most_wide = (height * ratio[1] / shape).round().clamp(1, width)
    most_tall = (width / (ratio[0] / shape)).round().clamp(1, height)
    first, found = fits.to(torch.uint8).argmax(1, keepdim=True), fits.any(1, keepdim=True)
    wide = torch.where(found, wide.gather(1, first), most_wide).long()
    tall = torch.where(found, tall.gather(1, first), most_tall).long()
    top = torch.where(found, (u[:, -2:-1] * (height - tall + 1)).long(), (height - tall) // 2)
    left = torch.where(found, (u[:, -1:] * (width - wide + 1)).long(), (width - wide) // 2)
    return torch.cat([top, left, top + tall, left + wide], dim=1)


def resized_crop(
    images: Tensor, boxes: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Each image's own box, resized with antialiasing: (N, C, H, W) uint8 or float to (N, C, h, w) of the same type.

    boxes: (N, 4) int64 (top, left, bottom, right), inside the image.
    """
    if images.device.type != "cpu":
        return resized_crop_by_matrices(images, boxes, size, interpolation)
    # One image after the other through torchvision's kernel is ten times faster here than the products of matrices.
    mode = InterpolationMode(interpolation)
    cut = [
        vision.resized_crop(image, top, left, bottom - top, right - left, list(size), mode, antialias=True)
        for image, (top, left, bottom, right) in zip(images.unbind(), boxes.tolist(), strict=True)
    ]
    return torch.stack(cut) if cut else images.new_empty((0, images.shape[1], *size))


def resized_crop_by_matrices(
    images: Tensor, boxes: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear"
) -> Tensor:
    """`resized_crop` of a whole batch as two products with matrices of weights, rows Wᵣ · x · W_cᵀ; no wait for the
    device. Arguments and result are those of `resized_crop`."""
    down, across = _both_weights(boxes, images, size, interpolation)
    with torch.autocast(images.device.type, enabled=False):  # half precision would lose a level of 256
        moved = down[:, None] @ images.float() @ across[:, None].mT
    return (moved if images.is_floating_point() else moved.clamp_(0, 255).round_()).to(images.dtype)


def resized_crop_maps(importance: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, H, W) cropped and resized as their images are, (N, h, w): bilinear, each with the sum that its box holds
    (the law of `augwise.importance_map`)."""
    if importance.device.type != "cpu":
        return resized_crop_maps_by_matrices(importance, boxes, size)
    cut = [
        vision.resized_crop(ImportanceMap(m), top, left, bottom - top, right - left, list(size)).as_subclass(Tensor)
        for m, (top, left, bottom, right) in zip(importance.unbind(), boxes.tolist(), strict=True)
    ]
    return torch.stack(cut) if cut else importance.new_empty((0, *size))


def resized_crop_maps_by_matrices(importance: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """`resized_crop_maps` of a whole batch as two products with matrices of weights."""
    down, across = _both_weights(boxes, importance, size, "bilinear")
    boxes = boxes.to(importance.device, non_blocking=True)
    (top, left, bottom, right), (height, width) = boxes.unbind(1), importance.shape[-2:]
    with torch.autocast(importance.device.type, enabled=False):
        moved = down @ importance @ across.mT
        held = (_within(top, bottom, height) @ importance @ _within(left, right, width).mT)[:, 0, 0]
    shown = moved.sum((1, 2))
    return moved * torch.where(shown > 0, held / torch.where(shown > 0, shown, 1), 0)[:, None, None]


def _both_weights(
    boxes: Tensor, images: Tensor, size: tuple[int, int], interpolation: Interpolation
) -> tuple[Tensor, Tensor]:
    top, left, bottom, right = boxes.to(images.device, non_blocking=True).unbind(1)
    height, width = images.shape[-2:]
    return weights(top, bottom, height, size[0], interpolation), weights(left, right, width, size[1], interpolation)


def weights(begin: Tensor, end: Tensor, length: int, size: int, interpolation: Interpolation) -> Tensor:
    """(N, size, length) float32: what each of ``length`` pixels of a side counts for each of ``size`` output pixels.

    begin, end: (N,) int64, the part [begin, end) of the side that is resized. Output pixel i lies at
    begin + s (i + 1/2) with s = (end - begin) / size; a pixel at distance d counts f(d / max(s, 1)), where f is the
    filter, and only pixels within the filter's reach and the part itself; rows sum to 1.
    """
    kernel, reach = _FILTERS[interpolation]
    step = (end - begin).float()[:, None, None] / size
    grow = step.clamp_min(1)  # antialiasing: where the picture shrinks the filter grows
    place = (torch.arange(size, device=begin.device) + 0.5)[:, None] * step
    pixel = torch.arange(length, device=begin.device) - begin[:, None, None] + 0.5
    distance = (pixel - place) / grow
    inside = (pixel > 0) & (pixel < (end - begin)[:, None, None]) & (distance.abs() < reach)
    values = torch.where(inside, kernel(distance.abs()), 0.0)
    return values / values.sum(-1, keepdim=True)


def _triangle(distance: Tensor) -> Tensor:
    return 1 - distance


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -1/2, as Pillow's and torch's antialiased bicubic filter."""
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, far)


_FILTERS = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}


def _within(begin: Tensor, end: Tensor, length: int) -> Tensor:
    """(N, 1, length) float32: 1 for the pixels of the part [begin, end) of a side, else 0."""
    pixel = torch.arange(length, device=begin.device)
    return ((pixel >= begin[:, None]) & (pixel < end[:, None])).float()[:, None]

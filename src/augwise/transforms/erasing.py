"""What every method that erases shares: the fill, the noise, and erasing under a mask of any shape.

Pure: tensors in, new tensors out; `noise` alone draws, for a method's `make_params`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .base import check_fill, colour

__all__ = ["erase", "mean_colour"]  # for users; the rest is for methods

Fill: TypeAlias = Literal["mean", "random"] | float | Sequence[float]
"""What erased pixels show: each image's mean colour, noise, or a colour in [0, 1], one number or one per channel."""


def erase(
    images: Tensor,
    importance: Tensor | None,
    mask: Tensor,
    fill: Literal["mean"] | float | Sequence[float] | Tensor = "mean",
) -> tuple[Tensor, Tensor | None]:
    """Erase the pixels under a mask; the map becomes 0 there.

    images: (N, C, H, W) uint8 or float; importance: (N, H, W) or None; mask: (N, H, W) bool, true where erased; fill:
    "mean" (each image's own mean colour, of all its pixels), a colour in [0, 1], or a tensor in the units of the images
    that broadcasts against them, (N, C, 1, 1) colours or (N, C, H, W) noise.
    """
    if isinstance(fill, str):
        fill = mean_colour(images)[:, :, None, None]
    elif not isinstance(fill, Tensor):
        fill = colour(fill, images)[None, :, None, None]
    mask = mask.to(images.device, non_blocking=True)
    erased = torch.where(mask[:, None], fill, images)
    return erased, None if importance is None else importance.masked_fill(mask, 0)


def check_fill_or_name(fill: Fill) -> Fill:
    """``fill`` itself, if it is one; see `Fill`."""
    if isinstance(fill, str):
        if fill not in ("mean", "random"):
            raise UserError(f"fill={fill!r} is unknown: use 'mean', 'random', or a colour in [0, 1]")
        return fill
    return check_fill(fill)


def noise(fill: Fill, images: Tensor, height: int, width: int, generator: torch.Generator | None) -> Tensor | None:
    """(N, C, height, width) uint8 where the fill is "random", every pixel and channel uniform over 256 levels."""
    return randomness.levels(*images.shape[:2], height, width, generator=generator) if fill == "random" else None


def filled(fill: Fill, images: Tensor, noise: Tensor | None) -> Any:
    """The fill as `erase` and `cutout` take it: the noise, if some was drawn, in the units of the images."""
    if noise is None:
        return fill
    levels = noise.to(images.device, non_blocking=True)
    return levels if images.dtype == torch.uint8 else (levels / 255).to(images.dtype)


def mean_colour(images: Tensor) -> Tensor:
    """(N, C) mean of each image and channel, rounded for uint8."""
    if images.dtype != torch.uint8:
        return images.mean((2, 3))
    pixels = images.shape[2] * images.shape[3]
    if images.device.type == "cpu":  # NumPy adds bytes up nine times faster at 224 px
        exact = np.uint32 if pixels < 2**24 else np.uint64
        sums = images.flatten(2).numpy().sum(2, dtype=exact)
        return torch.from_numpy(np.rint(sums / pixels).astype(np.uint8))
    return (images.sum((2, 3)).double() / pixels).round().to(torch.uint8)

"""What a covered part of an image shows in its place: the image's own mean colour, or one value."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError

Fill = Literal["mean"] | float


def check_fill(fill: Fill) -> None:
    """`UserError` for what cannot cover anything."""
    if fill != "mean" and not (isinstance(fill, int | float) and not isinstance(fill, bool) and 0 <= fill <= 1):
        raise UserError(f"fill={fill!r} cannot be used: give 'mean' or a pixel value in [0, 1]")


def colour_of(images: Tensor, fill: Fill) -> Tensor:
    """The colour that covers each image: (N, C, H, W) float -> (N, C, 1, 1), by channel for "mean"."""
    mean = images.mean((2, 3), keepdim=True)
    return mean if fill == "mean" else torch.full_like(mean, fill)

"""Importance by ink: how far a pixel's colour is from the background. Knows the picture, not the class; no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool

Background = Literal["mean", "border"] | float


def ink(images: Tensor, background: Background = "mean") -> Tensor:
    """η(p) = sqrt(mean over channels of (x_c(p) - b_c)²): how far each pixel's colour is from the background b.

    images: (N, C, H, W) float. background: "mean", each image's own mean colour; "border", the median of its outermost
    ring of pixels, channel by channel, so that an object which touches the border does not become the background; or
    one value for all channels, such as 0.0 for white ink on black. Returns (N, H, W) of the images' type, in units of
    pixel values: in [0, 1] for pixels in [0, 1].
    """
    if background == "mean":
        colour = images.mean((2, 3), keepdim=True)
    elif background == "border":
        rows, columns = images[:, :, [0, -1]].flatten(2), images[:, :, 1:-1, [0, -1]].flatten(2)
        colour = torch.cat([rows, columns], 2).median(2).values[..., None, None]
    else:
        colour = background
    return (images - colour).square().mean(1).sqrt()


@dataclass(frozen=True)
class PixelIntensity(Estimator):
    """η(p) = sqrt(mean over channels of (x_c(p) - b_c)²), the distance of a pixel's colour from the background b.

    What "ink" is on handwritten digits: there it rates pixels better than a sparse attack does. On photographs it knows
    contrast and no class. See `ink` for the backgrounds. Unit: pixel values in [0, 1]; dense. Returns maps (B, H, W),
    or means over the cells of a grid.
    """

    background: Background = "mean"
    """what counts as no ink: the image's own mean colour, the median colour of its border, or one value in [0, 1]"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "intensity"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        value = self.background
        if value not in ("mean", "border") and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise UserError(f"background={value!r} cannot be used: give 'mean', 'border' or a pixel value in [0, 1]")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "no pass through a model"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        importance = pool(ink(images, self.background).float(), *self.map_size(*images.shape[-2:]))
        return Estimated(importance, torch.zeros(len(images), dtype=torch.bool, device=images.device))

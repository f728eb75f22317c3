"""Importance by place alone: objects tend to stand in the middle. The lower bar for every estimator; needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool


@dataclass(frozen=True)
class CentrePrior(Estimator):
    """η(p) = exp(-d² / 2s²), d the distance of pixel p from the image's centre, s = sigma × the shorter side.

    The same map for every image. On data sets whose objects stand in the middle it predicts what erasing costs better
    than sparse attacks do, so a map has to beat it before it may be called evidence. Returns maps (B, H, W)
    in (0, 1], or means over the cells of a grid.
    """

    sigma: float = 0.25
    """standard deviation as a share of the shorter side"""

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "centre"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if not self.sigma > 0:
            raise UserError(f"sigma is {self.sigma}: give a share of the shorter side above 0")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "no pass through a model"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        n, (height, width) = len(images), images.shape[-2:]
        scale = self.sigma * min(height, width)
        down, across = (
            torch.exp(-0.5 * ((torch.arange(length, dtype=torch.float64) - (length - 1) / 2) / scale) ** 2)
            for length in (height, width)
        )
        one = pool(torch.outer(down, across)[None], *self.map_size(height, width)).float().to(images.device)
        importance = one.repeat(n, 1, 1)
        return Estimated(importance, torch.zeros(n, dtype=torch.bool, device=images.device))

"""Importance without information: random key points, as the papers compare with. Needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size


@dataclass(frozen=True)
class UniformRandom(Estimator):
    """η = 1 at a fixed number of pixels, drawn uniformly without replacement for each image; 0 elsewhere.

    What a guard gains with these maps comes from the statistics of its regions, not from evidence. The draw depends on
    the image's seed alone. Returns maps (B, H, W), or of the cells of a grid.
    """

    share: float = 0.16
    """share of the pixels (or cells) that are key points; IPF-RDA reports 164 of 1024 for CDIEA (Table IX)"""

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "uniform"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if not 0 < self.share <= 1:
            raise UserError(f"share is {self.share}: give a share of the pixels above 0 and at most 1")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "no pass through a model"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        n, (height, width) = len(images), self.map_size(*images.shape[-2:])
        points = max(1, round(self.share * height * width))
        importance = torch.zeros(n, height * width)
        for row, seed in zip(importance, seeds, strict=True):
            row[torch.randperm(height * width, generator=randomness.generator(self.name, seed))[:points]] = 1
        importance = importance.view(n, height, width).to(images.device)
        return Estimated(importance, torch.zeros(n, dtype=torch.bool, device=images.device))

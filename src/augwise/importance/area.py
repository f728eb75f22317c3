"""Every pixel alike: no opinion on where the evidence lies, so that its share left is the visible share of the area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size


@dataclass(frozen=True)
class FlatPrior(Estimator):
    """η(p) = 1 at every pixel of every image.

    The account of evidence becomes one of area: after a crop or an erasure, importance.sum() / evidence is the share of
    the image's own pixels that is still to be seen. Labels softened by it know how much was lost but not what, which is
    Soft Augmentation's rule (Liu et al., CVPR 2023). A guard by it can tell regions by their size alone. Returns maps
    (B, H, W) of ones, or of the cells of a grid.
    """

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "area"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "no pass through a model"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        n, size = len(images), self.map_size(*images.shape[-2:])
        return Estimated(
            torch.ones(n, *size, device=images.device), torch.zeros(n, dtype=torch.bool, device=images.device)
        )

"""Importance by corners: a comparison in the papers that knows the picture but not the class. Needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool


@dataclass(frozen=True)
class HarrisCorners(Estimator):
    """η = max(0, det M - k (trace M)²), where that is at least ``threshold`` of the image's largest; else 0.

    Harris and Stephens (1988). M is the 2×2 matrix of products of the grey image's Sobel derivatives, averaged by a
    Gaussian. Borders are continued by their last pixel, so that the frame is no corner. Grey is the mean over channels.
    Returns maps (B, H, W), or means over the cells of a grid; an image without a corner gets zeros.
    """

    k: float = 0.04
    """how much an edge counts against a corner; 0.04 to 0.06 are usual"""
    sigma: float = 1.0
    """standard deviation of the Gaussian window in pixels"""
    threshold: float = 0.01
    """responses below this share of the image's largest are no corners"""

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "corners"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if not self.sigma > 0:
            raise UserError(f"sigma is {self.sigma}: give more than 0 pixels")
        if not 0 <= self.k < 0.25:
            raise UserError(f"k is {self.k}: from 0.25 on nothing can be a corner; 0.04 to 0.06 are usual")
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold is {self.threshold}: give a share in [0, 1]")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "no pass through a model"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        response = harris(images.mean(1), self.k, self.sigma).clamp_min(0)
        least = self.threshold * response.amax((1, 2), keepdim=True)
        importance = pool(torch.where(response >= least, response, 0.0), *self.map_size(*images.shape[-2:]))
        return Estimated(importance, torch.zeros(len(images), dtype=torch.bool, device=images.device))


def harris(grey: Tensor, k: float = 0.04, sigma: float = 1.0) -> Tensor:
    """The response R = det M - k (trace M)², positive at corners, negative at edges; (N, H, W) float to the same."""
    sobel = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    pixels = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")
    x, y = F.conv2d(pixels, torch.stack([sobel, sobel.T])[:, None]).unbind(1)
    xx, yy, xy = _smooth(torch.stack([x * x, y * y, x * y], 1), sigma).unbind(1)
    return xx * yy - xy**2 - k * (xx + yy) ** 2


def _smooth(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian window over (N, C, H, W), cut off at three standard deviations, borders continued."""
    radius = max(1, round(3 * sigma))
    at = torch.arange(-radius, radius + 1, device=planes.device, dtype=planes.dtype)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    weights = weights / weights.sum()
    n, c, height, width = planes.shape
    padded = F.pad(planes, (radius,) * 4, mode="replicate").flatten(0, 1)[:, None]
    down = F.conv2d(padded, weights[None, None, :, None])
    return F.conv2d(down, weights[None, None, None, :]).view(n, c, height, width)

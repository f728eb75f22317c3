"""Importance by covering: what does the classifier lose when it cannot see a pixel's neighbourhood?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..regions import resolve_length
from .class_score import log_probability
from .estimator import Estimated, Estimator
from .fill import Fill, check_fill, colour_of
from .grid import Grid, cells, check_grid, map_size


@dataclass(frozen=True)
class Occlusion(Estimator):
    """η(p) = max(0, mean over all windows S that cover p of  log p_y(x) - log p_y(x with S filled)), in nats.

    The occlusion map of Zeiler and Fergus (2014, section 4.2) with the log-probability of the true class in place of
    its probability. Windows stand on a lattice; the clamp comes after the mean, so that windows whose loss helped and
    windows whose loss hurt cancel. A map costs one forward pass per window, and one more: 82 with the defaults, at
    32 px as at 224. Where windows hang over the border they cover less, so pixels at the border read a little low.

    Returns maps (B, H, W), or of the size `map_size` tells where a grid is used: then a cell is the mean of its pixels
    before the clamp.
    """

    window: int | float = 0.25
    """side of the square that is covered: pixels (8), or a share of the shorter side (0.25)"""
    stride: int | float = 0.125
    """distance between windows: pixels (4), or a share of the shorter side (0.125)"""
    border: Literal["clipped", "inside"] = "clipped"
    """clipped: windows hang over the border, so every pixel is covered as often; inside: fewer passes, equal areas"""
    fill: Fill = "mean"
    """what covers: the image's own mean colour, or one value in [0, 1]"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""
    batch_size: int = 256
    """covered images per forward pass; bounds the memory"""

    name: ClassVar[str] = "occlusion"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}: give at least 1")
        if self.border not in ("clipped", "inside"):
            raise UserError(f"border={self.border!r} is unknown: use 'clipped' or 'inside'")
        check_fill(self.fill)

    def check(self, height: int, width: int) -> None:
        window, stride = self._lengths(height, width)
        if window >= min(height, width):
            raise UserError(
                f"window={self.window} covers all of an image of {height}x{width}: give less than its shorter side"
            )
        if stride > window:
            raise UserError(
                f"stride={self.stride} is longer than window={self.window} at {height}x{width}: some pixels would "
                "never be covered; give at most the window"
            )

    def cost(self, height: int, width: int) -> str:
        return f"{self.forwards(height, width)} forward passes per image"

    def forwards(self, height: int, width: int) -> int:
        """Forward passes per image: one per window and one of the image itself."""
        window, stride = self._lengths(height, width)
        return 1 + len(starts(height, window, stride, self.border)) * len(starts(width, window, stride, self.border))

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        assert model is not None
        height, width = images.shape[-2:]
        self.check(height, width)
        window, stride = self._lengths(height, width)
        rows = covers(height, window, starts(height, window, stride, self.border)).to(images.device)
        columns = covers(width, window, starts(width, window, stride, self.border)).to(images.device)
        drops = self._drops(model, images, labels, rows, columns)
        map_height, map_width = self.map_size(height, width)
        importance = spread(drops.cpu().double(), rows.cpu(), columns.cpu(), map_height, map_width).clamp_min(0)
        failed = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        return Estimated(importance.float().to(images.device), failed)

    def _lengths(self, height: int, width: int) -> tuple[int, int]:
        return resolve_length(self.window, height, width), resolve_length(self.stride, height, width)

    @torch.no_grad()
    def _drops(self, model: nn.Module, images: Tensor, labels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """What each window costs: (B, R, C) drops of log p_y, for R rows and C columns of windows."""
        b, r, c = len(images), len(rows), len(columns)
        fill = colour_of(images, self.fill)
        rows = torch.cat([rows, torch.zeros_like(rows[:1])])  # window r·c covers nothing: the image itself
        scores = []
        for which in torch.arange(b * (r * c + 1), device=images.device).split(self.batch_size):
            image, window = which // (r * c + 1), which % (r * c + 1)
            mask = rows[window // c][:, None, :, None] & columns[window % c][:, None, None, :]
            scores.append(log_probability(model(torch.where(mask, fill[image], images[image])), labels[image]))
        score = torch.cat(scores).view(b, r * c + 1)
        return (score[:, -1:] - score[:, :-1]).view(b, r, c)


def starts(length: int, window: int, stride: int, border: Literal["clipped", "inside"]) -> list[int]:
    """Where windows begin along a side of ``length`` pixels; at clipped borders also before 0.

    Clipped: a lattice, centred on the side, that goes on over both borders until the last pixel is covered as often as
    those in the middle (exactly as often where the stride divides the window). Inside: from 0 in steps, and one more
    that ends at the last pixel.
    """
    if border == "inside":
        inside = list(range(0, length - window + 1, stride))
        return inside if inside[-1] == length - window else [*inside, length - window]
    reach = (
        length + window - 2 * stride
    )  # what the first and last begin apart at least: both overhang by window - stride
    count = 1 - (-reach // stride)
    first = -(((count - 1) * stride + window - length) // 2)
    return [first + stride * i for i in range(count)]


def covers(length: int, window: int, first: list[int]) -> Tensor:
    """(len(first), length) bool: which pixels of a side each window covers."""
    begin, pixel = torch.tensor(first)[:, None], torch.arange(length)
    return (pixel >= begin) & (pixel < begin + window)


def spread(drops: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Mean over the covering windows, at every cell of a grid stretched over the image.

    drops: (B, R, C) float64; rows: (R, H), columns: (C, W) bool, see `covers`. A square window covers a pixel where its
    row and its column do, so the mean over windows is two small matrix products. Returns (B, height, width).
    """
    down, across = (_shares(c, size) for c, size in ((rows, height), (columns, width)))
    return down @ drops @ across.T


def _shares(cover: Tensor, size: int) -> Tensor:
    """(size, windows) float64: weight of each window in the mean at each cell; rows sum to 1."""
    return cells(cover.shape[1], size) @ (cover.double() / cover.sum(0)).T

"""The size of a map: the image's own where that is small, a fixed grid stretched over the image where it is large."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import UserError

Grid = int | tuple[int, int] | None
"""Rows and columns of a map (one number for both); None for one to one up to `LARGE` pixels, `LARGE_GRID` above."""

LARGE = 64
LARGE_GRID = 56


def check_grid(grid: Grid) -> None:
    """`UserError` for a grid without rows or columns."""
    if grid is not None and min((grid,) if isinstance(grid, int) else grid) < 1:
        raise UserError(f"grid={grid} has no cells: give rows and columns of at least 1, or None")


def map_size(grid: Grid, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the map of an image of ``height`` × ``width`` pixels."""
    if grid is not None:
        return (grid, grid) if isinstance(grid, int) else grid
    return (height, width) if max(height, width) <= LARGE else (LARGE_GRID, LARGE_GRID)


def cells(length: int, size: int) -> Tensor:
    """(size, length) float64: the share of each of ``length`` pixels in each of ``size`` equal cells along a side.

    Rows sum to 1; a pixel on the border of two cells counts for each by what lies in it.
    """
    edge = torch.arange(size + 1, dtype=torch.float64) * length / size
    pixel = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(edge[1:, None], pixel + 1) - torch.maximum(edge[:-1, None], pixel)
    return overlap.clamp_min(0) * (size / length)


def pool(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (B, H, W) as the means over the cells of a grid, (B, height, width); unchanged where that is their size."""
    if maps.shape[1:] == (height, width):
        return maps
    down, across = (cells(n, size).to(maps) for n, size in zip(maps.shape[1:], (height, width), strict=True))
    return down @ maps @ across.T


def check_cells(count: int, height: int, width: int) -> None:
    """`UserError` for more cells along the shorter side than it has pixels."""
    if count > min(height, width):
        raise UserError(
            f"cells={count} is finer than the pixels of an image of {height}x{width}: give at most its shorter side"
        )


def square_cells(count: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of about square cells, ``count`` of them along the shorter side."""
    short = min(height, width)
    return round(count * height / short), round(count * width / short)


def tents(length: int, nodes: int) -> Tensor:
    """(length, nodes) float64: weights of bilinear enlargement along a side from ``nodes`` cells to ``length`` pixels.

    Values stand at the centres of cells; beyond the outermost centres they go on as they are. Rows sum to 1.
    """
    at = ((torch.arange(length, dtype=torch.float64) + 0.5) * nodes / length - 0.5).clamp(0, nodes - 1)
    return (1 - (at[:, None] - torch.arange(nodes, dtype=torch.float64)).abs()).clamp_min(0)


def stretch(maps: Tensor, height: int, width: int) -> Tensor:
    """Coarse maps (B, h, w) drawn out bilinearly to (B, height, width); means over cells along a side that shrinks.

    As products with constant matrices, so that the way back is exact and repeatable on every device.
    """
    down, across = stretching(maps, height, width)
    return down @ maps @ across


def stretching(maps: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The matrices of `stretch`, (height, h) and (w, width), for loops: making them waits for the device."""
    down, across = (
        (tents(size, n) if size >= n else cells(n, size)).to(maps)
        for n, size in zip(maps.shape[1:], (height, width), strict=True)
    )
    return down, across.T

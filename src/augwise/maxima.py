"""The largest value of every window of an image: what `regions` scores by where ``reduce="max"``.

Rows first, then columns, each by a table of maxima over lengths that are powers of two: work grows with the logarithm
of the window, and nothing waits for a GPU. Touches tensors alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .windows import Grid


def levels_of(integral: Tensor) -> Tensor:
    """The map (N, H, W) uint8 that an integral image (N, H+1, W+1) sums up."""
    lines = integral[:, 1:] - integral[:, :-1]
    return (lines[:, :, 1:] - lines[:, :, :-1]).to(torch.uint8)


def window_maxima(levels: Tensor, grid: Grid) -> Tensor:
    """The largest value in every window of the grid: (N, H, W) uint8 -> (N, rows, columns) uint8.

    Where sizes differ between images and windows lie inside, cells without a window hold what has no meaning.
    """
    if not isinstance(grid.h, Tensor):
        return _sliding(_sliding(levels, 1, grid.h, grid.window), 2, grid.w, grid.window)
    top, left, bottom, right = (side.expand(len(levels), -1) for side in grid.all_spans(levels.device))
    across = _spanning(levels.mT, left, right).mT
    return _spanning(across, top, bottom)


def _sliding(values: Tensor, dim: int, length: int, window: str) -> Tensor:
    """One length for all: maxima over ever longer runs, each made of two shorter ones that may overlap."""
    n = values.shape[dim]
    if window == "clipped":  # beyond the border lie zeros, which no maximum notices
        before, after = min(length // 2, n), min(length - length // 2 - 1, n)
        shape = list(values.shape)
        shape[dim] = before + n + after
        padded = values.new_zeros(shape)
        padded.narrow(dim, before, n).copy_(values)
        values, length = padded, before + after + 1
    size = 1
    while size < length:
        step = min(size, length - size)
        rest = values.shape[dim] - step
        values = torch.maximum(values.narrow(dim, 0, rest), values.narrow(dim, step, rest))
        size += step
    return values


def _spanning(values: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Maxima of the lines begin:end of each image, (N, L, W), (N, R) both -> (N, R, W); 0 < end − begin ≤ L counts."""
    n, lines, width = values.shape
    tables, size = [values], 1
    while 2 * size <= lines:  # table k holds, at line i, the maximum of the lines i : i + 2^k
        last = tables[-1]
        tables.append(last.clone())
        torch.maximum(last[:, :-size], last[:, size:], out=tables[-1][:, :-size])
        size *= 2
    table = torch.stack(tables, 1).view(n, -1, width)
    powers = torch.tensor([max(0, i.bit_length() - 1) for i in range(lines + 1)]).to(begin.device, non_blocking=True)
    k = powers[(end - begin).clamp(0, lines)]
    first, second = begin.clamp(0, lines - 1), (end - (1 << k)).clamp(0, lines - 1)
    shape = (-1, -1, width)
    return torch.maximum(
        table.gather(1, (k * lines + first)[:, :, None].expand(shape)),
        table.gather(1, (k * lines + second)[:, :, None].expand(shape)),
    )

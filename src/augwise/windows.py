"""Where windows lie: sizes, and the grid of all windows of one size in an image. Geometry only, no pixels.

`regions` scores and draws these windows and offers `resolve_length` and the types under its own name too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .errors import UserError

Window = Literal["clipped", "inside"]
Size: TypeAlias = int | tuple[int, int] | Tensor
"""One length, one (height, width), or per-sample sizes: an (N, 2) integer tensor of (height, width)."""


def resolve_length(length: int | float, height: int, width: int) -> int:
    """Side of a square window in pixels: an int as it is, a float in (0, 1] as a share of the shorter side (≥ 1)."""
    if isinstance(length, Integral) and not isinstance(length, bool) and int(length) >= 1:
        return int(length)
    if isinstance(length, Real) and not isinstance(length, Integral) and 0 < float(length) <= 1:
        return max(1, math.floor(float(length) * min(height, width) + 0.5))
    raise UserError(
        f"length={length!r}: give an int of pixels, at least 1, or a float share of the shorter side (0, 1]"
    )


@dataclass(frozen=True)
class Grid:
    """All windows of one size, or of one per image, in images of height × width: one per cell of a grid.

    h, w: an int, or (N, 1) int64 where every image has a size of its own.
    """

    height: int
    width: int
    h: Any
    w: Any
    window: Window

    @classmethod
    def of(cls, integral: Tensor, size: Size, window: Window) -> Grid:
        n, height, width = integral.shape[0], integral.shape[1] - 1, integral.shape[2] - 1
        if window not in ("clipped", "inside"):
            raise UserError(f"window={window!r}: give 'clipped' or 'inside'")
        if isinstance(size, Tensor):
            if size.shape != (n, 2) or size.is_floating_point() or size.dtype == torch.bool:
                raise UserError(f"sizes {tuple(size.shape)} {size.dtype} for {n} maps: give integers, shape ({n}, 2)")
            if size.device.type == "cpu" and n:
                _check_size(tuple(size.amin(0).tolist()), tuple(size.amax(0).tolist()), height, width, window)
            sides = size.to(integral.device, torch.int64, non_blocking=True)
            return cls(height, width, sides[:, :1], sides[:, 1:], window)
        h, w = size if isinstance(size, tuple) else (size, size)
        _check_size((h, w), (h, w), height, width, window)
        return cls(height, width, int(h), int(w), window)

    @property
    def ragged(self) -> bool:
        """True if the number of windows differs between images, so that some cells of the grid are empty."""
        return isinstance(self.h, Tensor) and self.window == "inside"

    @property
    def shape(self) -> tuple[Any, Any]:
        """Rows and columns of windows, ints or (N, 1)."""
        if self.window == "clipped":
            return self.height, self.width
        return self.height - self.h + 1, self.width - self.w + 1

    def rows_of(self, rows: Any) -> Grid:
        """The grid of some images of the batch."""
        if not isinstance(self.h, Tensor):
            return self
        return replace(self, h=self.h[rows], w=self.w[rows])

    def arrays(self) -> Grid:
        """The same with arrays for tensors."""
        return self if not isinstance(self.h, Tensor) else replace(self, h=self.h.numpy(), w=self.w.numpy())

    def spans(self, row: Any, column: Any) -> tuple[Any, Any, Any, Any]:
        """Top, left, bottom and right of the windows in some cells, clipped at the border."""
        top, bottom = self._span(row, self.height, self.h)
        left, right = self._span(column, self.width, self.w)
        return top, left, bottom, right

    def all_spans(self, device: torch.device | None) -> tuple[Any, Any, Any, Any]:
        """The same for every row and every column of the grid, (1 or N, rows or columns); arrays without a device."""
        shape = (self.height, self.width) if self.ragged else self.shape
        cells = (np.arange(n) if device is None else torch.arange(n, device=device) for n in shape)
        return self.spans(*(cell[None] for cell in cells))

    def _span(self, cell: Any, n: int, length: Any) -> tuple[Any, Any]:
        begin = cell - length // 2 if self.window == "clipped" else cell
        if isinstance(begin, Tensor):
            return begin.clamp_min(0), (begin + length).clamp_max(n)
        return np.maximum(begin, 0), np.minimum(begin + length, n)


def _check_size(least: tuple[int, ...], greatest: tuple[int, ...], height: int, width: int, window: Window) -> None:
    if not all(isinstance(side, Integral) and int(side) >= 1 for side in least):
        raise UserError(f"a window of {least[0]}×{least[1]}: both sides are whole pixels, at least 1")
    if window == "inside" and (greatest[0] > height or greatest[1] > width):
        raise UserError(
            f"a window of {greatest[0]}×{greatest[1]} does not fit inside an image of {height}×{width}: take a smaller "
            "length, or window='clipped'"
        )

"""Regions the slow way: every window summed by itself, exact fractions, and the papers' rejection loop."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

Box = tuple[int, int, int, int]


def window_box(row: int, column: int, height: int, width: int, h: int, w: int, window: str) -> Box:
    """The window of a centre (clipped) or of an upper left corner (inside)."""
    if window == "inside":
        return row, column, row + h, column + w
    top, left = row - h // 2, column - w // 2
    return max(top, 0), max(left, 0), min(top + h, height), min(left + w, width)


def all_windows(height: int, width: int, h: int, w: int, window: str) -> list[Box]:
    rows, columns = (height, width) if window == "clipped" else (height - h + 1, width - w + 1)
    return [window_box(r, c, height, width, h, w, window) for r in range(rows) for c in range(columns)]


def score(levels: Tensor, box: Box, reduce: str) -> Fraction:
    """levels: (H, W) whole numbers."""
    top, left, bottom, right = box
    if reduce == "max":
        return Fraction(max(int(levels[y, x]) for y in range(top, bottom) for x in range(left, right)))
    total = sum(int(levels[y, x]) for y in range(top, bottom) for x in range(left, right))
    return Fraction(total, (bottom - top) * (right - left) if reduce == "mean" else 1)


def threshold(values: list[Fraction], quantile: str) -> Fraction:
    """The smallest score such that a share of at least ``quantile`` (a decimal) of all windows scores no more."""
    enough = Fraction(quantile) * len(values)
    return next(v for v in sorted(values) if sum(other <= v for other in values) >= enough)


def accepted(
    levels: Tensor,
    h: int,
    w: int,
    quantile: str | None,
    keep: str,
    window: str,
    reduce: str,
    positive: bool = False,
    limit: Fraction | None = None,
) -> list[Box]:
    """All windows (with repetitions, where several centres clip to one box) that a draw may return; limit: in place of
    the quantile, an absolute threshold."""
    boxes = all_windows(*levels.shape, h, w, window)
    values = [score(levels, box, reduce) for box in boxes]
    limit = limit if quantile is None else threshold(values, quantile)
    chosen = []
    for box, value in zip(boxes, values, strict=True):
        good = limit is None or (value <= limit if keep == "low" else value >= limit)
        if good and not (positive and value == 0 and levels.any()):
            chosen.append(box)
    return chosen


def rejection_loop(levels: Tensor, length: int, limit: float, generator: torch.Generator) -> Box:
    """IPF-RDA, Algorithm 2: redraw a clipped square until its score is at most the threshold."""
    height, width = levels.shape
    while True:
        row = int(torch.randint(height, (), generator=generator))
        column = int(torch.randint(width, (), generator=generator))
        top, left, bottom, right = box = window_box(row, column, height, width, length, length, "clipped")
        if float(levels[top:bottom, left:right].sum()) <= limit:
            return box


def quantized(importance: Tensor) -> list[list[int]]:
    """One map (H, W) in levels 0 … 255, number by number, halves to even as torch rounds."""
    greatest = float(importance.max())

    def level(value: float) -> int:
        if value == 0:
            return 0
        scaled = value / greatest * 255
        whole = math.floor(scaled)
        rest = scaled - whole
        up = rest > 0.5 or (rest == 0.5 and whole % 2 == 1)
        return max(1, whole + up)

    return [[level(float(v)) for v in row] for row in importance]

"""Slow and obvious: the masks of AdvMask, Hide-and-Seek and GridMask, one pixel and one square at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Box = tuple[int, int, int, int]
Pixels = set[tuple[int, int]]


def square_on(point: tuple[int, int], length: int, height: int, width: int) -> Box:
    """The square of this side about a point (an even one begins at point − l/2), cut off at the border."""
    top, left = point[0] - length // 2, point[1] - length // 2
    return max(top, 0), max(left, 0), min(top + length, height), min(left + length, width)


def pixels_of(box: Box) -> Pixels:
    top, left, bottom, right = box
    return {(y, x) for y in range(top, bottom) for x in range(left, right)}


def adv_mask(
    points: list[tuple[int, int]], height: int, width: int, length: int, overlap: float, target: float, most: float
) -> list[Box]:
    """The squares of one mask, in the order in which they were put: AdvMask, section 3.2, visiting all points given."""
    squares: list[Box] = []
    hidden: Pixels = set()
    for point in points:
        if len(hidden) / (height * width) >= target:
            break
        box = square_on(point, length, height, width)
        square = pixels_of(box)
        if any(len(square & pixels_of(other)) > math.floor(overlap * length**2) for other in squares):
            continue
        if len(hidden | square) / (height * width) > most:
            continue
        squares.append(box)
        hidden |= square
    return squares


def mask_of(squares: list[Box], height: int, width: int) -> Tensor:
    mask = torch.zeros(height, width, dtype=torch.bool)
    for box in squares:
        for y, x in pixels_of(box):
            mask[y, x] = True
    return mask


def patches(side: int, hidden: Tensor, height: int, width: int) -> Tensor:
    """Hide-and-Seek: the patches of one image, row by row."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    if side == 0:
        return mask
    for row, top in enumerate(range(0, height, side)):
        for column, left in enumerate(range(0, width, side)):
            if hidden[row, column]:
                for y, x in pixels_of((top, left, min(top + side, height), min(left + side, width))):
                    mask[y, x] = True
    return mask


def grid(unit: int, kept: int, offset: tuple[int, int], height: int, width: int, angle: float = 0.0) -> Tensor:
    """GridMask: one image, every square of every unit that could reach it, turned about its middle."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    reach = 2 * (height + width) // unit + 2
    for y in range(height):
        for x in range(width):
            # Where this pixel's centre was before the grid was turned counter-clockwise, as it is shown (y downwards).
            down, right = y + 0.5 - height / 2, x + 0.5 - width / 2
            row = down * math.cos(angle) + right * math.sin(angle) + height / 2
            column = right * math.cos(angle) - down * math.sin(angle) + width / 2
            tops = [offset[0] + unit * i + kept for i in range(-reach, reach)]
            lefts = [offset[1] + unit * i + kept for i in range(-reach, reach)]
            mask[y, x] = any(t <= row < t + unit - kept for t in tops) and any(
                s <= column < s + unit - kept for s in lefts
            )
    return mask

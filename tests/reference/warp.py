"""The law of the importance map, pixel by pixel: out(u) = in(T(u)) · |det DT(u)|, T differentiated numerically."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Place = Callable[[float, float], tuple[float, float]]


def warp(values: np.ndarray, back: Place, height: int, width: int) -> np.ndarray:
    """values (H, W) moved onto a canvas of height × width; ``back`` sends (x, y) of the output, in pixels from the
    corner with pixel centres at one half, to the input."""
    out, step = np.zeros((height, width)), 1e-4
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            (x0, y0), (x1, y1) = back(x - step, y), back(x + step, y)
            (x2, y2), (x3, y3) = back(x, y - step), back(x, y + step)
            determinant = ((x1 - x0) * (y3 - y2) - (x3 - x2) * (y1 - y0)) / (2 * step) ** 2
            out[row, column] = bilinear(values, *back(x, y)) * abs(determinant)
    return out


def bilinear(values: np.ndarray, x: float, y: float) -> float:
    """Value at (x, y), zero beyond the picture."""
    x, y = x - 0.5, y - 0.5
    left, top = math.floor(x), math.floor(y)
    total = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
            total += values[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def rotation(angle: float, height: int, width: int, out_height: int, out_width: int) -> Place:
    """Counter-clockwise by ``angle`` degrees about the middle, as a picture with y downwards is turned."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def back(x: float, y: float) -> tuple[float, float]:
        x, y = x - out_width / 2, y - out_height / 2
        return cos * x - sin * y + width / 2, sin * x + cos * y + height / 2

    return back


def zoom(scale: float, dx: float, dy: float, height: int, width: int) -> Place:
    """About the middle by ``scale``, then shifted by (dx, dy) pixels."""

    def back(x: float, y: float) -> tuple[float, float]:
        return (x - dx - width / 2) / scale + width / 2, (y - dy - height / 2) / scale + height / 2

    return back


def projection(coefficients: list[float]) -> Place:
    """torchvision's perspective: ((ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1))."""
    a, b, c, d, e, f, g, h = coefficients

    def back(x: float, y: float) -> tuple[float, float]:
        below = g * x + h * y + 1
        return (a * x + b * y + c) / below, (d * x + e * y + f) / below

    return back

"""Slow and obvious: windows, thresholds, erasing and pasting, one pixel at a time with plain loops.

Maps given here hold whole numbers from 0 to 255, the greatest of each being 255 (or all 0), so that their 8-bit form
is the map itself and scores can be added by hand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def whole_map(height: int, width: int, points: int) -> Tensor:
    """A sparse map of whole numbers with the maximum 255."""
    result = torch.zeros(height * width)
    places = torch.randperm(height * width)[:points]
    result[places] = torch.randint(1, 255, (points,)).float()
    result[places[0]] = 255
    return result.view(height, width)


def windows(height: int, width: int, h: int, w: int, window: str) -> list[tuple[int, int, int, int]]:
    """Every window of h x w as (top, left, bottom, right), clipped ones cut off at the border."""
    if window == "inside":
        return [(y, x, y + h, x + w) for y in range(height - h + 1) for x in range(width - w + 1)]
    result = []
    for y in range(height):
        for x in range(width):
            top, left = y - h // 2, x - w // 2
            result.append((max(top, 0), max(left, 0), min(top + h, height), min(left + w, width)))
    return result


def score(values: Tensor, box: tuple[int, ...], reduce: str = "sum") -> float:
    """Sum, mean or largest value of the map over the box."""
    top, left, bottom, right = box
    if reduce == "max":
        return max(float(values[y, x]) for y in range(top, bottom) for x in range(left, right))
    total = 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            total += float(values[y, x])
    return total if reduce == "sum" else total / ((bottom - top) * (right - left))


def threshold(values: Tensor, h: int, w: int, quantile: float, window: str, reduce: str = "sum") -> float:
    """The ⌈τ n⌉-th smallest score of all n windows."""
    found = sorted(score(values, box, reduce) for box in windows(*values.shape, h, w, window))
    return found[max(1, math.ceil(quantile * len(found) - 1e-9)) - 1]


def erase(image: Tensor, box: tuple[int, ...], colour: list[float]) -> Tensor:
    """The image (C, H, W) with every pixel of the box set to the colour."""
    result = image.clone()
    top, left, bottom, right = box
    for y in range(top, bottom):
        for x in range(left, right):
            for c in range(len(image)):
                result[c, y, x] = colour[c]
    return result


def paste(base: Tensor, partner: Tensor, box: tuple[int, ...], corner: tuple[int, int] | None = None) -> Tensor:
    """The base (..., H, W) with every pixel of the box taken from the partner, at the same place or from a corner."""
    result = base.clone()
    top, left, bottom, right = box
    from_top, from_left = corner or (top, left)
    for y in range(top, bottom):
        for x in range(left, right):
            result[..., y, x] = partner[..., from_top + y - top, from_left + x - left]
    return result


def importance_weight(base: Tensor, partner: Tensor, box: tuple[int, ...], corner: tuple[int, int]) -> float | None:
    """IPF-RDA Eq. 12 by hand: what the partner brought over all that the picture shows; None where nothing shows."""
    brought = kept = 0.0
    top, left, bottom, right = box
    height, width = base.shape
    for y in range(height):
        for x in range(width):
            if top <= y < bottom and left <= x < right:
                brought += float(partner[corner[0] + y - top, corner[1] + x - left])
            else:
                kept += float(base[y, x])
    return None if brought + kept == 0 else brought / (brought + kept)

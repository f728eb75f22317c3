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


def half_weight(base: Tensor, partner: Tensor, box: tuple[int, ...], corner: tuple[int, int]) -> float:
    """The mean of the share of pixels and of Eq. 12."""
    top, left, bottom, right = box
    area = (bottom - top) * (right - left) / base.numel()
    importance = importance_weight(base, partner, box, corner)
    return area if importance is None else (area + importance) / 2


def density(values: Tensor, quantile: float, length: int) -> list[list[float]]:
    """The share of evidence in the square around every pixel, over its greatest value in the image: one at a time."""
    height, width = values.shape
    ordered = sorted(float(v) for v in values.flatten())
    least = ordered[max(1, math.ceil(quantile * len(ordered) - 1e-9)) - 1]
    shares = []
    for top, left, bottom, right in windows(height, width, length, length, "clipped"):
        inside = [float(values[y, x]) for y in range(top, bottom) for x in range(left, right)]
        shares.append(sum(v >= least and v > 0 for v in inside) / len(inside))
    greatest = max(shares) or 1.0
    return [[shares[y * width + x] / greatest for x in range(width)] for y in range(height)]


def mixing_weights(
    ours: list[list[float]], theirs: list[list[float]], share: float, sharpness: float, rescale: bool
) -> list[list[float]]:
    """σ(logit λ + β (s_a - s_b) + c) pixel by pixel, c by halving an interval until nothing is left of it."""

    def at(c: float) -> list[list[float]]:
        logit = math.log(share / (1 - share)) + c
        return [
            [1 / (1 + math.exp(-logit - sharpness * (a - b))) for a, b in zip(row, other, strict=True)]
            for row, other in zip(ours, theirs, strict=True)
        ]

    if not rescale:
        return at(0.0)
    low, high = -2 * sharpness, 2 * sharpness
    for _ in range(80):
        middle = (low + high) / 2
        found = at(middle)
        mean = sum(map(sum, found)) / (len(found) * len(found[0]))
        low, high = (low, middle) if mean > share else (middle, high)
    return at((low + high) / 2)


def softened(shown: float, doubt: float, left: float, strength: float, power: float, classes: int) -> float:
    """The target of a class that a picture shows with this weight: what doubt there was, then what was lost."""
    before = (1 - doubt) * shown + doubt / classes
    lost = strength * (1 - left) ** power
    return (1 - lost) * before + lost / classes


def soft_augmentation(left: float, power: float, classes: int) -> float:
    """Confidence in the true class after Soft Augmentation (Liu et al. 2023): from 1 where all is visible down to
    chance where nothing is."""
    chance = 1 / classes
    return 1 - (1 - chance) * (1 - left) ** power

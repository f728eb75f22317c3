"""Slow and obvious: points, superpixels and what `Preserve` makes of an image, one pixel at a time with plain loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def limit(scores: list[float], quantile: float) -> float:
    """The ⌈τ n⌉-th smallest of n scores."""
    return sorted(scores)[max(1, math.ceil(quantile * len(scores) - 1e-9)) - 1]


def points(values: Tensor, quantile: float) -> set[tuple[int, int]]:
    """The pixels at or above the quantile of all pixels, and above zero."""
    least = limit(values.flatten().tolist(), quantile)
    height, width = values.shape
    return {
        (y, x) for y in range(height) for x in range(width) if float(values[y, x]) >= least and float(values[y, x]) > 0
    }


def segments(values: Tensor) -> dict[float, set[tuple[int, int]]]:
    """The pixels of every value."""
    found: dict[float, set[tuple[int, int]]] = {}
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            found.setdefault(float(values[y, x]), set()).add((y, x))
    return found


def has_core(pixels: set[tuple[int, int]]) -> bool:
    """Whether one of them has another of them beside it and one above or below it."""
    return any(
        {(y, x - 1), (y, x + 1)} & pixels and {(y - 1, x), (y + 1, x)} & pixels for y, x in pixels
    )  # fmt: skip


def accepted_segments(values: Tensor, quantile: float, reduce: str = "sum") -> list[set[tuple[int, int]]]:
    """Those that score at least the quantile of all, and above zero; by ascending value. Slivers do not count."""
    scores = {
        value: math.fsum([value] * len(pixels)) if reduce == "sum" else value
        for value, pixels in segments(values).items()
        if has_core(pixels)
    }
    least = limit(list(scores.values()), quantile)
    return [segments(values)[value] for value in sorted(scores) if scores[value] >= least and value > 0]


def pixels(mask: Tensor) -> set[tuple[int, int]]:
    """Where a mask (H, W) is true."""
    return {(int(y), int(x)) for y, x in mask.nonzero().tolist()}


def in_boxes(boxes: Tensor) -> set[tuple[int, int]]:
    """The pixels of k boxes (k, 4)."""
    return {
        (y, x)
        for top, left, bottom, right in boxes.tolist()
        for y in range(top, bottom)
        for x in range(left, right)
    }  # fmt: skip


def put_back(changed: Tensor, original: Tensor, where: set[tuple[int, int]]) -> Tensor:
    """The changed picture (..., H, W) with these pixels of the original."""
    result = changed.clone()
    for y, x in where:
        result[..., y, x] = original[..., y, x]
    return result


def shifted(picture: Tensor, down: int, right: int) -> Tensor:
    """The picture (..., H, W) moved by whole pixels; what is uncovered is 0."""
    result = torch.zeros_like(picture)
    height, width = picture.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                result[..., y, x] = picture[..., y - down, x - right]
    return result


def patches(height: int, width: int, sides: tuple[int, int], zeros: int = 0) -> Tensor:
    """A superpixel map: a grid of sides[0] × sides[1] patches of unequal size, all of different value, as many of them
    as ``zeros`` without importance."""
    rows = torch.arange(height)[:, None] * sides[0] // height
    columns = torch.arange(width)[None] * sides[1] // width
    values = torch.rand(sides[0] * sides[1]) + 0.1
    values[torch.randperm(len(values))[:zeros]] = 0
    return values[rows * sides[1] + columns]

"""Slow and obvious: several images in one picture, pixel by pixel, in plain loops (DCutMix's Algorithm 1, repaired)."""

from __future__ import annotations

import math

import numpy as np


def nested_boxes(shares: list[float], height: int, width: int, u: list[tuple[float, float]]) -> list[tuple[int, ...]]:
    """Boxes of images 2 ... K as (top, left, bottom, right)."""
    top, left, h, w = 0, 0, height, width
    remaining, boxes = 1.0, []
    for share, (uy, ux) in zip(shares[:-1], u, strict=True):
        visible = min(1.0, share / remaining) if remaining > 0 else 1.0
        h_next, w_next = (int(np.round(side * math.sqrt(1 - visible))) for side in (h, w))
        top += math.floor(uy * (h - h_next + 1))
        left += math.floor(ux * (w - w_next + 1))
        h, w = h_next, w_next
        remaining = max(0.0, remaining - share)
        boxes.append((top, left, top + h, left + w))
    return boxes


def shown(boxes: list[tuple[int, ...]], height: int, width: int) -> np.ndarray:
    """(height, width): the number of the image that each pixel shows, the innermost box that holds it."""
    result = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            for k, (top, left, bottom, right) in enumerate(boxes):
                if top <= y < bottom and left <= x < right:
                    result[y, x] = k + 1
    return result


def two_images(base: list, other: list, visible: float, u: tuple[float, float]) -> tuple[list, list[float]]:
    """Algorithm 1 for K = 2, repaired, on single-channel pictures as lists of rows: the picture, and both weights.

    The first image keeps ``visible`` of the area; the second one's box lies anywhere inside, and shows the same place.
    """
    height, width = len(base), len(base[0])
    h, w = (int(np.round(side * math.sqrt(1 - visible))) for side in (height, width))
    top, left = math.floor(u[0] * (height - h + 1)), math.floor(u[1] * (width - w + 1))
    picture, theirs = [], 0
    for y in range(height):
        row = []
        for x in range(width):
            covered = top <= y < top + h and left <= x < left + w
            row.append(other[y][x] if covered else base[y][x])
            theirs += covered
        picture.append(row)
    return picture, [1 - theirs / (height * width), theirs / (height * width)]

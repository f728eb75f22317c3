"""Occlusion the slow way: one window at a time, one pixel at a time, written from the definition."""

from __future__ import annotations

import torch


def lattice(length, window, stride):
    """First pixels of windows, by growing a lattice until its middle part covers the side and centring that."""
    count = 1
    while (count - 1) * stride + window < length + 2 * (window - stride):
        count += 1
    overhang = (count - 1) * stride + window - length
    return [i * stride - overhang // 2 for i in range(count)]


def inside(length, window, stride):
    found = []
    at = 0
    while at + window <= length:
        found.append(at)
        at += stride
    if found[-1] + window < length:
        found.append(length - window)
    return found


def occlusion(log_probability, image, window, tops, lefts, fill):
    """log_probability: image (C, H, W) -> float. Returns the map (H, W) float64, not yet clamped."""
    _, height, width = image.shape
    clean = log_probability(image)
    total, count = torch.zeros(height, width).double(), torch.zeros(height, width).double()
    for top in tops:
        for left in lefts:
            pixels = [
                (y, x)
                for y in range(max(top, 0), min(top + window, height))
                for x in range(max(left, 0), min(left + window, width))
            ]
            covered = image.clone()
            for y, x in pixels:
                covered[:, y, x] = fill
            drop = clean - log_probability(covered)
            for y, x in pixels:
                total[y, x] += drop
                count[y, x] += 1
    return total / count


def pooled(values, height, width):
    """Mean of (H, W) values over the cells of a (height, width) grid that divides the image evenly."""
    step_y, step_x = values.shape[0] // height, values.shape[1] // width
    result = torch.zeros(height, width).double()
    for y in range(height):
        for x in range(width):
            result[y, x] = values[y * step_y : (y + 1) * step_y, x * step_x : (x + 1) * step_x].mean()
    return result

"""Slow and obvious: fields of low frequencies, unusual spectra, shrunk pictures and mixed style, one number at a time
in plain loops."""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor


def low_frequencies(noise: Tensor, decay: float) -> Tensor:
    """Re F⁻¹(F(noise) / f^δ) of one (H, W) field, by the sums that define the transform."""
    height, width = noise.shape
    values = noise.tolist()
    result = torch.zeros(height, width, dtype=torch.float64)
    for u in range(height):
        for v in range(width):
            fy, fx = (u if u <= height / 2 else u - height) / height, (v if v <= width / 2 else v - width) / width
            total = 0j
            for y in range(height):
                for x in range(width):
                    total += values[y][x] * cmath.exp(-2j * math.pi * (u * y / height + v * x / width))
            total /= max(math.hypot(fy, fx), 1 / max(height, width)) ** decay
            for y in range(height):
                for x in range(width):
                    wave = cmath.exp(2j * math.pi * (u * y / height + v * x / width))
                    result[y, x] += (total * wave).real / (height * width)
    return result


def unusual(grey: Tensor) -> Tensor:
    """Spectral residual of one (H, W) picture of at most 64 px, its maximum 1, by the sums that define it."""
    (height, width), values = grey.shape, grey.tolist()
    places = [(y, x) for y in range(height) for x in range(width)]

    def transform(given: dict[tuple[int, int], complex], sign: int) -> dict[tuple[int, int], complex]:
        return {
            (u, v): sum(
                given[y, x] * cmath.exp(sign * 2j * math.pi * (u * y / height + v * x / width)) for y, x in places
            )
            for u, v in places
        }

    spectrum = transform({(y, x): values[y][x] for y, x in places}, -1)
    log = {at: math.log(abs(value)) for at, value in spectrum.items()}
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    mean = {(u, v): sum(log[(u + i) % height, (v + j) % width] for i, j in around) / 9 for u, v in places}
    back = transform({at: math.exp(log[at] - mean[at]) * value / abs(value) for at, value in spectrum.items()}, 1)
    sigma = max(height, width) / 25
    reach = max(1, round(3 * sigma))
    result = torch.zeros(height, width, dtype=torch.float64)
    for y, x in places:
        total = weight = 0.0
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                w = math.exp(-(i * i + j * j) / (2 * sigma**2))
                at = min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)
                total, weight = total + w * abs(back[at]) ** 2, weight + w
        result[y, x] = total / weight
    return result / result.max()


def shrunk(image: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) made smaller: every pixel the mean under a tent over its middle, as wide as the scale on each side."""
    channels, tall, wide = image.shape
    result = torch.zeros(channels, height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            down, across = tent(y, height, tall), tent(x, width, wide)
            for c in range(channels):
                total = 0.0
                for i, a in enumerate(down):
                    for j, b in enumerate(across):
                        total += a * b * float(image[c, i, j])
                result[c, y, x] = total
    return result


def tent(place: int, small: int, large: int) -> list[float]:
    """Weights of ``large`` pixels in one of ``small``, which sum to 1."""
    scale = large / small
    middle = (place + 0.5) * scale
    weights = [max(0.0, 1 - abs(i + 0.5 - middle) / scale) for i in range(large)]
    return [w / sum(weights) for w in weights]


def restyled(content: Tensor, style: Tensor) -> Tensor:
    """AdaIN of one pair of features (C, H, W), channel by channel."""
    result = torch.empty_like(content)
    for c in range(len(content)):
        values, other = content[c].flatten().tolist(), style[c].flatten().tolist()
        mean, wanted = sum(values) / len(values), sum(other) / len(other)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-5)
        target = math.sqrt(sum((v - wanted) ** 2 for v in other) / len(other) + 1e-5)
        for y in range(content.shape[1]):
            for x in range(content.shape[2]):
                result[c, y, x] = target * (content[c, y, x] - mean) / spread + wanted
    return result

"""What catches the eye in a picture, from its pixels alone: saliency without a classifier and without OpenCV's contrib.

Pure functions: images in, one map per image out, all in plain torch and for whole batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

_LONGEST = 64  # pixels of the longer side at which the spectrum is looked at, as in the paper
_CACHED = 1 << 15  # pixels looked at at once on a CPU: what its second-level cache holds, in float64
_SMALL = 64  # pixels of the longer side up to which a CPU sums faster by matrices than by integral images
_SURROUNDS = (12, 24, 48, 28, 56, 112)


def spectral_residual(images: Tensor) -> Tensor:
    """Saliency as what is unusual in an image's spectrum (Hou and Zhang, CVPR 2007, Eq. 5 to 7).

        R = log|F(x)| - mean_3x3(log|F(x)|),   S = g * |F⁻¹(exp(R + i P))|²

    with F the Fourier transform of the grey picture (at most 64 px on the longer side), P its phase and g a Gaussian of
    σ = 1/25 of that side.

    images: (N, C, H, W), uint8 or float -> (N, H, W) float32, ≥ 0, each with the maximum 1; 0 where a picture is flat.
    """
    grey = _grey(images)
    if not len(grey):
        return grey  # torch 2.11 has no transform of nothing
    height, width = grey.shape[-2:]
    scale = min(1.0, _LONGEST / max(height, width))
    if scale < 1:
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        grey = F.interpolate(grey[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
    spectrum = torch.fft.fft2(grey)
    amplitude = spectrum.abs()
    log = amplitude.clamp_min(1e-8).log()
    residual = log - F.avg_pool2d(F.pad(log[:, None], (1, 1, 1, 1), mode="circular"), 3, stride=1)[:, 0]
    phase = spectrum / amplitude.clamp_min(1e-8)  # of a frequency that is not there: none
    found = torch.fft.ifft2(residual.exp() * phase).abs().square()
    found = _smooth(found, max(grey.shape[-2:]) / 25)
    if scale < 1:
        found = F.interpolate(found[:, None], size=(height, width), mode="bilinear")[:, 0]
    flat = grey.amax((1, 2)) - grey.amin((1, 2)) < 1e-6
    return _to_one(found.masked_fill(flat[:, None, None], 0))


def fine_grained(images: Tensor) -> Tensor:
    """Saliency as the difference between a pixel and its surroundings at six scales (Montabone and Soto, 2010), the
    kind that SaliencyMix and Saliency-DCutMix take from OpenCV.

        S(p) = Σ_s max(x(p) - mean_s(p), 0) + max(mean_s(p) - x(p), 0)

    where mean_s(p) is the mean grey of the square of side 2 s + 1 around p without p itself, cut off at the border, and
    s = 12, 24, 28, 48, 56, 112 px, each with pixels measured on a picture of 224 px.

    images: (N, C, H, W), uint8 or float -> (N, H, W) float32, ≥ 0, each with the maximum 1; 0 where a picture is flat.
    """
    grey = _grey(images)
    side = min(grey.shape[-2:])
    reaches = sorted({max(1, round(s * side / 224)) for s in _SURROUNDS})
    total = torch.empty_like(grey)
    n = max(1, len(grey))
    step = max(1, _CACHED * n // max(1, grey.numel())) if grey.device.type == "cpu" else n
    sums = _by_bands if grey.device.type == "cpu" and max(grey.shape[-2:]) <= _SMALL else _by_integral
    counts = sums(torch.ones_like(grey[:1]), reaches)
    numbers = [(count - 1).clamp_min_(1) for count in counts]
    for start in range(0, len(grey), step):
        part = grey[start : start + step]
        found = torch.zeros_like(part)
        for around, number in zip(sums(part, reaches), numbers, strict=True):
            found += around.sub_(part).div_(number).sub_(part).abs_()
        total[start : start + step] = found
    flat = grey.amax((1, 2)) - grey.amin((1, 2)) < 1e-6
    return _to_one(total.masked_fill(flat[:, None, None], 0))


def _grey(images: Tensor) -> Tensor:
    """(N, H, W) float32 mean over the channels, in [0, 1]."""
    images = images.as_subclass(Tensor)
    grey = images.float().mean(1)
    return grey / 255 if images.dtype == torch.uint8 else grey


def _by_bands(maps: Tensor, reaches: list[int]) -> Iterator[Tensor]:
    """Sums over squares of side 2 reach + 1 around every pixel, cut off at the border, for each reach in turn: products
    with matrices of ones around the diagonal."""
    y, x = (torch.arange(side, device=maps.device) for side in maps.shape[-2:])
    for reach in reaches:
        down, across = ((place[:, None] - place).abs() <= reach for place in (y, x))
        yield down.to(maps.dtype) @ maps @ across.to(maps.dtype)


def _by_integral(maps: Tensor, reaches: list[int]) -> Iterator[Tensor]:
    """What `_by_bands` gives, from integral images in float64: its work does not grow with the picture's side."""
    height, width = maps.shape[-2:]
    integral = F.pad(maps.double().cumsum(1).cumsum_(2), (1, 0, 1, 0))
    for reach in reaches:
        side = 2 * reach + 1
        # Beyond the border an integral image goes on as it ends, so that every window is a difference of two slices.
        rows = F.pad(integral[:, None], (0, 0, reach, reach), mode="replicate")
        rows = rows[:, :, side : side + height] - rows[:, :, :height]
        columns = F.pad(rows, (reach, reach, 0, 0), mode="replicate")[:, 0]
        yield (columns[:, :, side : side + width] - columns[:, :, :width]).to(maps.dtype)


def _smooth(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with the border repeated."""
    reach = max(1, round(3 * sigma))
    offset = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-(offset**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(maps[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


def _to_one(maps: Tensor) -> Tensor:
    greatest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(greatest > 0, greatest, 1.0)

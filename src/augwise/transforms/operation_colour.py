"""Operations that change colours and move nothing, on a batch, every image with a magnitude of its own.

What maps each value of a channel to another one (brightness, contrast, posterize, solarize, auto-contrast, invert) is
one function of values: uint8 images apply it to the 256 that there are and look the rest up, float images to their
pixels. torchvision's blends are fused multiply-adds on a CPU; they are imitated in float64, since one rounding more
turns a level of brightness here and there. From 100 px or so a table no longer pays on a CPU, and torchvision's own
kernels do one image at a time. Pure functions, except that `recolour_` writes into the batch it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

NAMES = (
    "Brightness",
    "Contrast",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Invert",
    "Color",
    "Sharpness",
    "Equalize",
)

_LOOP_FROM = 30_000  # elements per image from which, on a CPU, torchvision's kernels on one image at a time are faster


def recolour_(images: Tensor, runs: Sequence[tuple[str, slice]], magnitudes: Tensor) -> None:
    """Images whose operation is of colour, in place.

    images: (N, C, H, W) uint8, float32 or float64; runs: names of `NAMES` in their order, and the rows that each is
    for; magnitudes: (N,) float64 on the CPU, see `operations.apply_operations`.
    """
    if images.device.type == "cpu" and images[0].numel() >= _LOOP_FROM:
        for name, rows in runs:
            for image, magnitude in zip(images[rows], magnitudes[rows].tolist(), strict=True):
                image.copy_(_SINGLE[name](image, magnitude))
        return
    strengths = magnitudes.to(images.device, non_blocking=True)
    pointwise = [(name, rows) for name, rows in runs if name in _POINTWISE]
    if pointwise:
        whole = slice(pointwise[0][1].start, pointwise[-1][1].stop)
        images[whole] = _values(images, pointwise, strengths, whole)
    for name, rows in runs:
        if name in _SPATIAL:
            images[rows] = _SPATIAL[name](images[rows], strengths[rows])


def _values(images: Tensor, runs: Sequence[tuple[str, slice]], magnitudes: Tensor, whole: slice) -> Tensor:
    """The rows ``whole`` after functions of a channel's values: tables of uint8 images, the pixels of others."""
    pictures = images[whole].flatten(2)
    if images.dtype != torch.uint8:
        changed = torch.empty_like(pictures)
    else:
        levels = torch.arange(256, dtype=torch.float32, device=images.device)
        changed = levels.expand(*pictures.shape[:2], 256).clone()
    for name, rows in runs:
        here = slice(rows.start - whole.start, rows.stop - whole.start)
        values = changed[here] if images.dtype == torch.uint8 else pictures[here]
        changed[here] = _POINTWISE[name](values, images[rows], magnitudes[rows, None, None])
    if images.dtype == torch.uint8:
        changed = changed.to(torch.uint8).gather(2, pictures.long())
    return changed.view(-1, *images.shape[1:])


# Functions of a channel's values (N, C, V), given the images (N, C, H, W) and the magnitudes (N, 1, 1) ----------------


def _brightness(values: Tensor, images: Tensor, magnitude: Tensor) -> Tensor:
    return (values * (1 + magnitude).to(values.dtype)).clamp_(0, _white(images))


def _contrast(values: Tensor, images: Tensor, magnitude: Tensor) -> Tensor:
    grey = _grey(images) if images.shape[1] == 3 else images.to(values.dtype)
    # Whole levels add up exactly in whatever order; in float64 also those of float images, as good as.
    mean = grey.sum((1, 2, 3), dtype=torch.float64).to(values.dtype) / grey[0].numel()
    return _blend(values, mean[:, None, None], magnitude, _white(images))


def _posterize(values: Tensor, images: Tensor, magnitude: Tensor) -> Tensor:
    levels = torch.ones_like(magnitude, dtype=torch.int64).bitwise_left_shift(magnitude.long()).to(values.dtype)
    step = (256 if images.dtype == torch.uint8 else 1) / levels
    return torch.minimum((values / step).floor(), levels - 1) * step


def _solarize(values: Tensor, images: Tensor, magnitude: Tensor) -> Tensor:
    white = _white(images)
    return torch.where(values >= (white * magnitude).to(values.dtype), white - values, values)


def _auto_contrast(values: Tensor, images: Tensor, _: Tensor) -> Tensor:
    low, high = images.flatten(2).aminmax(dim=2, keepdim=True)
    low, high, white = low.to(values.dtype), high.to(values.dtype), _white(images)
    flat = low == high
    low, scale = low.masked_fill(flat, 0), ((high - low) * (1 / white)).masked_fill_(flat, 1)
    return ((values - low) / scale).clamp_(0, white)


def _invert(values: Tensor, images: Tensor, _: Tensor) -> Tensor:
    return _white(images) - values


# Functions of images (N, C, H, W) and magnitudes (N,) ----------------------------------------------------------------


def _saturation(images: Tensor, magnitude: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    values = images if images.is_floating_point() else images.float()
    return _blend(values, _grey(images), magnitude[:, None, None, None], _white(images)).to(images.dtype)


def _sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    if min(images.shape[-2:]) <= 2:
        return images
    values = images if images.is_floating_point() else images.float()
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    inner = values[:, :, 1:-1, 1:-1]
    blurred = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) / 13  # weight 1, and 5 in the middle
    if not images.is_floating_point():
        blurred = blurred.round_()  # never halfway between two levels: 13 is odd
    result = images.clone()
    weight = 1 - (1 + magnitude[:, None, None, None])
    sharp = _fused(inner, blurred - inner, weight).clamp_(0, _white(images))
    result[:, :, 1:-1, 1:-1] = sharp.to(images.dtype)
    return result


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    return vision.equalize(images)


def _blend(values: Tensor, other: Tensor, magnitude: Tensor, white: float) -> Tensor:
    """factor · values + (1 − factor) · other, clamped, with factor = 1 + magnitude."""
    factor = 1 + magnitude
    return _fused(values * factor.to(values.dtype), other, 1 - factor).clamp_(0, white)


def _fused(start: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """start + other · weight, rounded once; the weight itself has the type of the images."""
    return (start.double() + other.double() * weight.to(start.dtype).double()).to(start.dtype)


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) luminance, of uint8 images whole levels as floats."""
    red, green, blue = images.unbind(1)
    grey = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)[:, None]
    return grey if images.is_floating_point() else grey.floor_()


def _white(images: Tensor) -> float:
    return 1.0 if images.is_floating_point() else 255.0


_POINTWISE: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Brightness": _brightness,
    "Contrast": _contrast,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Invert": _invert,
}
_SPATIAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Color": _saturation,
    "Sharpness": _sharpness,
    "Equalize": _equalize,
}
_SINGLE: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Brightness": lambda image, m: vision.adjust_brightness(image, 1 + m),
    "Contrast": lambda image, m: vision.adjust_contrast(image, 1 + m),
    "Posterize": lambda image, m: vision.posterize(image, int(m)),
    "Solarize": lambda image, m: vision.solarize(image, _white(image) * m) if m <= 1 else image,
    "AutoContrast": lambda image, _: vision.autocontrast(image),
    "Invert": lambda image, _: vision.invert(image),
    "Color": lambda image, m: vision.adjust_saturation(image, 1 + m),
    "Sharpness": lambda image, m: vision.adjust_sharpness(image, 1 + m),
    "Equalize": lambda image, _: vision.equalize(image),
}

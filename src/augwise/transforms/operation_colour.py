"""Operations that change colours and move nothing, on a batch, every image with a magnitude of its own.

Each follows the arithmetic of torchvision's v2 kernel, so that an image comes out the same alone and in a batch. Where
that kernel blends two pictures it is a fused multiply-add on most CPUs; the blend is the same call here, image by image
(it takes one number), and everything around it is done for the whole batch. Pure functions of tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision


def recolour(images: Tensor, name: str, magnitudes: Tensor) -> Tensor:
    """The images after the operation ``name``, one of `NAMES`: new, or themselves where nothing changes.

    Of uint8 images some kernels return float32 in [0, 255], whose fraction is to be dropped.

    images: (N, C, H, W) uint8, float32 or float64; magnitudes: (N,) float64 on the CPU, see
    `operations.apply_operations`.
    """
    return _KERNELS[name](images, magnitudes)


def _brightness(images: Tensor, magnitudes: Tensor) -> Tensor:
    values = _floats(images)
    factors = _column(1 + magnitudes, values)
    return _clamped_(values * factors, images)


def _contrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    values = _floats(images)
    grey = _grey(images) if images.shape[1] == 3 else values
    # Whole levels add up exactly in whatever order; in float64 also those of float images, as good as.
    mean = grey.sum((1, 2, 3), keepdim=True, dtype=torch.float64).to(values.dtype) / grey[0].numel()
    return _blend(images, values, mean, magnitudes)


def _saturation(images: Tensor, magnitudes: Tensor) -> Tensor:
    return images if images.shape[1] == 1 else _blend(images, _floats(images), _grey(images), magnitudes)


def _sharpness(images: Tensor, magnitudes: Tensor) -> Tensor:
    if min(images.shape[-2:]) <= 2:
        return images
    values = _floats(images)
    values = values.clone() if values is images else values
    inner = values[:, :, 1:-1, 1:-1]
    rows = (values[:, :, :-2] + values[:, :, 1:-1]).add_(values[:, :, 2:])
    blurred = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:])
    blurred.add_(inner, alpha=4).div_(13)  # weight 1, and 5 in the middle
    if not images.is_floating_point():
        blurred.round_()  # never halfway between two levels: 13 is odd
    _add_(inner, blurred.sub_(inner), 1 - (1 + magnitudes))
    return _clamped_(values, images)


def _posterize(images: Tensor, magnitudes: Tensor) -> Tensor:
    levels = torch.ones(len(images), dtype=torch.int64).bitwise_left_shift(magnitudes.long())
    if images.dtype == torch.uint8:
        return images & _column(256 - 256 // levels, images)
    levels = _column(levels, images)
    return torch.minimum((images * levels).floor_(), levels - 1).div_(levels)


def _solarize(images: Tensor, magnitudes: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        # As torchvision compares, in float32; what no level reaches inverts none.
        least = (255 * magnitudes).float().ceil()
        flip = _column((least <= 255) * 255, images)
        return images ^ ((images >= _column(least.clamp(0, 255), images)) * flip)  # ten times faster than `where`
    return torch.where(images >= _column(magnitudes, images), 1 - images, images)


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    values = _floats(images)
    low, high = (bound(images, (2, 3), keepdim=True).to(values.dtype) for bound in (torch.amin, torch.amax))
    flat = low == high
    scale = ((high - low) * (1 / _white(images))).masked_fill_(flat, 1)
    stretched = (values - low.masked_fill(flat, 0)).div_(scale)
    return _clamped_(stretched, images)


def _invert(images: Tensor, _: Tensor) -> Tensor:
    return images.bitwise_not() if images.dtype == torch.uint8 else 1 - images


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    return vision.equalize(images)


def _blend(images: Tensor, values: Tensor, other: Tensor, magnitudes: Tensor) -> Tensor:
    """factor · values + (1 − factor) · other, with factor = 1 + magnitude."""
    blended = values * _column(1 + magnitudes, values)
    _add_(blended, other, 1 - (1 + magnitudes))
    return _clamped_(blended, images)


def _add_(values: Tensor, other: Tensor, weights: Tensor) -> None:
    """values + weight · other, in place, one weight per image."""
    if values.device.type == "cpu":
        for value, more, weight in zip(values, other, weights.tolist(), strict=True):
            value.add_(more, alpha=weight)
    else:
        values.addcmul_(other, _column(weights, values))


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) luminance, of uint8 images whole levels as floats."""
    red, green, blue = images.unbind(1)
    grey = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)[:, None]
    return grey if images.is_floating_point() else grey.floor_()


def _floats(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else images.float()


def _clamped_(values: Tensor, images: Tensor) -> Tensor:
    return values.clamp_(0, _white(images))


def _white(images: Tensor) -> float:
    return 1.0 if images.is_floating_point() else 255.0


def _column(numbers: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """(N,) numbers of the host as (N, 1, 1, 1), to be multiplied with images."""
    return numbers.to(dtype or like.dtype).to(like.device, non_blocking=True)[:, None, None, None]


_KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": _brightness,
    "Contrast": _contrast,
    "Color": _saturation,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Invert": _invert,
    "Equalize": _equalize,
}
NAMES = tuple(_KERNELS)

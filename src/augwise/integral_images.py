"""Importance maps as exact numbers: 8 bits each, summed in int32 through integral images.

`regions` scores windows by these sums and offers the functions under its own name too. It may touch tensors alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from numbers import Real
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .errors import UserError

_CACHED = 1 << 17  # elements worked on at once on a CPU: what its second-level cache holds
_LARGEST = (2**31 - 1) // 255  # pixels of a map whose sum is certain to fit into int32


def quantize(importance: Tensor) -> Tensor:
    """Maps in 8 bits, each by its own maximum: ``round(255 · η / max η)``, but 1 at least where η > 0.

    importance: (N, H, W) of any real type, ≥ 0. Returns (N, H, W) uint8; a map of zeros stays zeros. A negative or
    non-finite value is an error on the CPU; a GPU would have to stall for that check, so there it is not made.
    """
    maps = importance.detach().as_subclass(Tensor)
    _check_maps(maps)
    maps = maps if maps.is_floating_point() and maps.element_size() >= 4 else maps.float()
    # Dividing by the maximum first keeps it at exactly 255, whatever its size.
    if maps.device.type != "cpu":
        greatest = maps.amax((1, 2), keepdim=True)
        scaled = maps / torch.where(greatest > 0, greatest, 1)
        return scaled.mul_(255).round_().maximum(maps.sign()).to(torch.uint8)
    values, result = maps.numpy(), np.empty(maps.shape, np.uint8)
    for rows in chunks(maps):
        part, levels = values[rows], result[rows]
        greatest, least = part.max((1, 2), keepdims=True), part.min()
        _check_range(least, greatest.max())
        levels[:] = np.rint(part / (greatest + (greatest == 0)) * 255)
        np.maximum(levels, part > 0, out=levels)
    return torch.from_numpy(result)


def check_values(importance: Tensor) -> None:
    """`UserError` where maps hold a negative or non-finite value; on a GPU, which would have to stall, nothing."""
    if importance.device.type == "cpu" and importance.numel():
        least, greatest = torch.aminmax(importance.as_subclass(Tensor))
        _check_range(float(least), float(greatest))


def _check_range(least: float, greatest: float) -> None:
    if not (least >= 0 and math.isfinite(greatest)):
        value = least if not least >= 0 else greatest
        raise UserError(f"an importance map holds the value {value}: maps are finite and nowhere negative")


def in_levels(threshold: float, importance: Tensor, keep: Literal["low", "high"] = "low") -> Tensor:
    """A threshold in units of the maps as `sample` takes it, in the units of each map's 8 bits: (N,) float64.

    ``threshold · 255 / max η``: the largest value of a map counts 255 there, so a score S of `scores` means
    ``S · max η / 255`` in units of the map, of a sum, a mean or a largest value alike. Every pixel of that score is
    rounded to a level, so it is off by max η / 510 at most (max η / 255 where a value too small for 8 bits counts 1).
    importance: (N, H, W) as given to `quantize`; uint8 maps are taken as they are. Scores within a millionth of the
    threshold count as equal to it, whatever is kept (see `sample`): the rounding of a float32 maximum breaks no tie.
    A negative or non-finite threshold is an error.
    """
    check_threshold(threshold)
    maps = importance.as_subclass(Tensor)
    _check_maps(maps)
    if maps.dtype == torch.uint8:
        scale = torch.ones(len(maps), dtype=torch.float64, device=maps.device)
    else:
        greatest = maps.amax((1, 2)).double()
        scale = 255 / torch.where(greatest > 0, greatest, 255.0)  # an empty map scores 0, whatever its unit
    return threshold * scale * (1 + 1e-6 if keep == "low" else 1 - 1e-6)


def check_threshold(threshold: float) -> float:
    """``threshold`` itself, if it can be an absolute one."""
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not (math.isfinite(threshold) and threshold >= 0):
        raise UserError(
            f"threshold={threshold!r} is no score of a region: give a number of 0 or more, in units of the maps "
            "(0.6 for maps from 0 to 1), or None"
        )
    return threshold


def integral(importance: Tensor) -> Tensor:
    """Integral images: ``I[n, y, x]`` is the sum of map n over its first y rows and x columns.

    importance: (N, H, W), float (quantised here, see `quantize`) or uint8 (taken as it is). Returns (N, H+1, W+1)
    int32.
    """
    maps = importance.as_subclass(Tensor)
    _check_maps(maps)
    maps = maps if maps.dtype == torch.uint8 else quantize(maps)
    n, height, width = maps.shape
    result = torch.zeros((n, height + 1, width + 1), dtype=torch.int32, device=maps.device)
    if maps.device.type != "cpu":
        result[:, 1:, 1:] = maps.cumsum(2, dtype=torch.int32).cumsum(1, dtype=torch.int32)
        return result
    sums = result.numpy()
    for rows in chunks(maps):
        part = sums[rows]
        part[:, 1:, 1:] = maps[rows].cumsum(2, dtype=torch.int32).numpy()
        if len(part) <= 16:
            np.cumsum(part, 1, out=part)
        else:  # of many small maps whole lines at once are twice as fast
            for above, line in pairwise(part.swapaxes(0, 1)):
                np.add(above, line, out=line)
    return result


def _check_maps(maps: Tensor) -> None:
    if maps.ndim != 3 or not maps.shape[1] or not maps.shape[2]:
        raise UserError(f"importance has shape {tuple(maps.shape)}: give one map per image, (N, H, W)")
    if maps.shape[1] * maps.shape[2] > _LARGEST:
        raise UserError(
            f"a map of {maps.shape[1]}×{maps.shape[2]} is too large for exact sums: at most {_LARGEST} pixels"
        )


def chunks(batch: Tensor) -> Iterator[slice]:
    """Slices of the batch that fit into the cache of a CPU."""
    step = max(1, _CACHED // math.prod(batch.shape[1:]))
    return (slice(start, start + step) for start in range(0, len(batch), step))

"""What `Preserve` puts back: rectangles, key points, or superpixels. Chosen here, cleared from a map, and pasted.

A choice is one tensor: (N, k, 4) int64 boxes (top, left, bottom, right), k rectangles per image, or an (N, H, W) bool
mask of single pixels. Takes its random numbers as an argument; batched, and nothing here makes a GPU wait.

A *superpixel map* is constant over each segment of its image, and no two segments have the same value, so the segments
are read back as the map's level sets, wherever flips, crops and warps have brought them: see `aw.superpixels`.
Where interpolation mixes two segments along their border it makes level sets that no segment has. A true segment is
told from those by its core: pixels that have a neighbour of the same value beside them and another above or below.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import regions
from ..errors import UserError

TOLERANCE = 2**-17
"""Values this close, relatively, are one level: more than float32 interpolation of a constant loses, and an eighth of
what sets the segments of a superpixel map apart."""

_LEAST_CORE = 0.1
"""Least share of the pixels with importance that lie in a segment's core. Measured at 32 px: superpixel maps 0.7 to
0.95, turned by 15° 0.45 (50 segments) or 0.16 (100 segments); saliency 0.002, corners 0.02, random points 0.08."""


def important_points(importance: Tensor, quantile: float | None, threshold: float = 0.0) -> Tensor:
    """The pixels with η ≥ Q_τ and η > 0 (point-level preservation, IPF-RDA Table X): (N, H, W) bool.

    importance: (N, H, W) ≥ 0. Q_τ: the ⌈τ n⌉-th smallest of the image's n = H·W values, none of them rounded; ties
    belong to the points. Without a quantile the limit is ``threshold``, in units of the map. A map of zeros has none.
    """
    values = _wide(importance).flatten(1)
    count = torch.full((len(values), 1), values.shape[1], device=values.device)
    limit = threshold if quantile is None else _order_statistic(values, count, quantile)
    return ((values >= limit) & (values > 0)).view(importance.shape)


def draw_superpixels(
    importance: Tensor,
    quantile: float | None,
    u: Tensor,
    reduce: regions.Reduce = "sum",
    threshold: float = 0.0,
) -> Tensor:
    """Segments of superpixel maps, drawn uniformly among those that score at least Q_τ and above 0: (N, H, W) bool.

    importance: (N, H, W) superpixel maps, see the head of this module; u: (N, k) uniforms in [0, 1), one per segment
    to be drawn. The score of a segment is the "sum" of the map over it, or its "mean"; Q_τ the ⌈τ n⌉-th smallest of
    the scores of the image's n segments, of which all pixels without importance are one. Without a quantile the limit
    is ``threshold``, in units of the score. What interpolation smeared over the borders between segments is no segment.
    The mask of an image is empty where no segment is accepted.
    """
    maps = _wide(importance)
    level, count = levels(maps)
    values, core = maps.flatten(1).double(), _core(maps).flatten(1)
    empty = torch.zeros((len(maps), count), dtype=torch.float64, device=maps.device)
    scores = empty.scatter_add(1, level, values)
    if reduce != "sum":
        scores = scores / empty.scatter_add(1, level, torch.ones_like(values)).clamp_min(1)
    segment = empty.scatter_add(1, level, core.double()) > 0
    limit: Tensor | float = threshold
    if quantile is not None:
        limit = _order_statistic(scores.masked_fill(~segment, torch.inf), segment.sum(1, keepdim=True), quantile)
    accepted = (segment & (scores >= limit) & (scores > 0)).cumsum(1)
    total = accepted[:, -1:]
    rank = (u.to(maps.device, torch.float64, non_blocking=True) * total).long()
    chosen = torch.searchsorted(accepted, rank + 1).clamp_max(count - 1)
    drawn = torch.zeros_like(segment).scatter_(1, chosen, True) & (total > 0)
    return drawn.gather(1, level).view(maps.shape)


def check_segments(importance: Tensor) -> None:
    """Raise `UserError` where maps (N, H, W) look like no superpixel maps, on a CPU: a GPU would have to stall.

    All maps are judged together, by the share of their importance that lies in segments wide enough to be known. Not
    noticed are other maps of constant patches: occlusion with a stride makes squares of the stride.
    """
    maps = _wide(importance)
    if maps.device.type != "cpu":
        return
    above = maps > 0
    known, pixels = int((above & _core(maps)).sum()), int(above.sum())
    if known < _LEAST_CORE * pixels:
        raise UserError(
            f"these are no superpixel maps: of {pixels} pixels with importance only {known} have neighbours of equal "
            "value. Give maps that are constant over segments, WithImportance(source, aw.superpixels(store, source)), "
            "or use shape='rectangle'. If they are: fewer segments survive being turned or shrunk better"
        )


def levels(maps: Tensor) -> tuple[Tensor, int]:
    """Level sets of maps (N, H, W) ≥ 0: the number of each pixel's level, (N, H·W) int64, ascending by value from 0,
    and how many numbers there may be (on a CPU the most that an image has, elsewhere the pixels)."""
    flat = maps.flatten(1)
    on_cpu = flat.device.type == "cpu"  # there NumPy sorts several times faster
    order = torch.from_numpy(np.argsort(flat.numpy(), axis=1)) if on_cpu else flat.argsort(1)
    ordered = flat.gather(1, order)
    steps = (ordered[:, 1:] > ordered[:, :-1] * (1 + TOLERANCE)).cumsum(1)
    level = torch.zeros_like(order)
    level.scatter_(1, order[:, 1:], steps)
    return level, int(level.max()) + 1 if on_cpu and flat.numel() else flat.shape[1]


def paste(target: Tensor, source: Tensor, chosen: Tensor) -> Tensor:
    """The target with what was chosen taken from the same place of the source: (N, C, H, W) or (N, H, W) both."""
    target, source = target.as_subclass(Tensor), source.as_subclass(Tensor)
    if chosen.dtype == torch.bool:
        return torch.where(_like(chosen, target), source.to(target.dtype), target)
    for j in range(chosen.shape[1]):
        target = regions.paste_boxes(target, source, chosen[:, j], inplace=j > 0)
    return target


def clear(maps: Tensor, chosen: Tensor) -> Tensor:
    """The maps (N, H, W) with what was chosen set to 0."""
    if chosen.dtype == torch.bool:
        return maps.masked_fill(chosen, 0)
    for j in range(chosen.shape[1]):
        maps = regions.fill_boxes(maps, chosen[:, j], 0, inplace=j > 0)
    return maps


def _core(maps: Tensor) -> Tensor:
    """(N, H, W) bool: a neighbour beside the pixel and one above or below it are on its level."""
    beside, above = (_has_twin(maps, dim) for dim in (2, 1))
    return beside & above


def _has_twin(maps: Tensor, dim: int) -> Tensor:
    """(N, H, W) bool: one of the two neighbours along ``dim`` is on the pixel's level."""
    n = maps.shape[dim] - 1
    first, second = maps.narrow(dim, 0, n), maps.narrow(dim, 1, n)
    same = (first - second).abs() <= TOLERANCE * first.minimum(second)
    result = torch.zeros(maps.shape, dtype=torch.bool, device=maps.device)
    result.narrow(dim, 0, n).copy_(same)
    result.narrow(dim, 1, n).logical_or_(same)
    return result


def _order_statistic(values: Tensor, count: Tensor, quantile: float) -> Tensor:
    """The ⌈τ n⌉-th smallest of each row's n smallest values: (N, P), (N, 1) -> (N, 1)."""
    if values.device.type == "cpu":
        ordered = torch.from_numpy(np.sort(values.numpy(), axis=1))
    else:
        ordered = values.sort(1).values
    # 0.07 · 100 is a little more than 7 in binary: the decimal number is meant.
    place = (quantile * count.double() - 1e-9).ceil().long().clamp_min(1) - 1
    return ordered.gather(1, place)


def _wide(importance: Tensor) -> Tensor:
    maps = importance.as_subclass(Tensor)
    return maps if maps.dtype in (torch.float32, torch.float64) else maps.float()


def _like(mask: Tensor, images: Tensor) -> Tensor:
    return mask[:, None] if images.ndim == 4 else mask

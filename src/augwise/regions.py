"""Rectangles in an image and what they are worth: scores, thresholds, exact draws, filling and pasting.

Every guarded method asks here. Each map is quantised to 8 bits and summed in int32 through its integral image, so
scores are exact and ties, which are the rule on sparse maps, are ties. The draw among the accepted windows is exactly
uniform with bounded work, the distribution of the papers' rejection loop. Everything is batched, takes its random
numbers as an argument and never makes a GPU wait; it may touch tensors alone, no files, no generators.

A window is *clipped* (its centre is any pixel and what reaches over the border is cut off, as in Cutout; an even one
of length l begins at centre − l/2) or *inside* (wholly in the image, so all windows have one area). A box is
(top, left, bottom, right), the last two exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .boxes import box_mask, box_sums, fill_boxes, paste_boxes
from .errors import UserError
from .integral_images import check_threshold as check_threshold
from .integral_images import check_values as check_values
from .integral_images import chunks, in_levels, integral, quantize
from .maxima import levels_of, window_maxima
from .windows import Grid, Size, Window, resolve_length

__all__ = [
    "DRAWS",
    "Reduce",
    "Size",
    "Window",
    "box_mask",
    "box_sums",
    "fill_boxes",
    "in_levels",
    "integral",
    "paste_boxes",
    "quantize",
    "resolve_length",
    "sample",
    "scores",
    "thresholds",
]

Reduce = Literal["sum", "mean", "max"]

DRAWS = 12
"""Uniform numbers per image that `sample` is best given: all but the last try one window each, the last decides among
all accepted windows where every try failed (at tau = 0.6 once in 24 000 images that erase, once in 280 that keep).
With one number alone every image is enumerated: the same distribution, more work."""


def scores(integral: Tensor, size: Size, window: Window = "clipped", reduce: Reduce = "sum") -> Tensor:
    """The importance score of every window, IS(S) = Σ_S η (IPF-RDA Eq. 11), or the mean or the largest of its pixels.

    integral: from `integral`. Returns (N, H, W), one per centre (clipped), or (N, H−h+1, W−w+1), one per upper left
    corner (inside; with per-sample sizes (N, H, W) with −1 where a window does not fit). In units of the quantised map;
    int32 for sum and maximum, float64 for the mean: divided by the area left after clipping, equal means compare equal.
    """
    return _scores(integral, Grid.of(integral, size, window), reduce)


def _scores(integral: Tensor, grid: Grid, reduce: Reduce) -> Tensor:
    result = _maxima(integral, grid) if _checked(reduce) == "max" else _sums(integral, grid, reduce)
    if grid.ragged:
        rows, columns = (torch.arange(n, device=integral.device)[None] for n in (grid.height, grid.width))
        fits = (rows < grid.shape[0])[:, :, None] & (columns < grid.shape[1])[:, None]
        result = result.masked_fill_(~fits, -1)
    return result


def _checked(reduce: Reduce) -> Reduce:
    if reduce not in get_args(Reduce):
        raise UserError(f"reduce={reduce!r}: give 'sum', 'mean' or 'max'")
    return reduce


def _maxima(integral: Tensor, grid: Grid) -> Tensor:
    if integral.device.type != "cpu" or not len(integral):
        return window_maxima(levels_of(integral), grid).int()
    parts = [window_maxima(levels_of(integral[rows]), grid.rows_of(rows)).int() for rows in chunks(integral)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _sums(field: Any, grid: Grid, reduce: Reduce) -> Any:
    """Sums or means of all windows; field: integral images, arrays if all windows are of one size, or tensors."""
    if isinstance(grid.h, Tensor):
        top, left, bottom, right = grid.all_spans(field.device)
        image = torch.arange(len(field), device=field.device)[:, None]
        bands = field[image, bottom] - field[image, top]
        left, right = (side.expand(len(field), -1) for side in (left, right))
        shape = (-1, bands.shape[1], -1)
        result = bands.gather(2, right[:, None].expand(shape)) - bands.gather(2, left[:, None].expand(shape))
    else:
        result = _difference(_difference(field, 1, grid.h, grid.window), 2, grid.w, grid.window)
    if reduce == "mean":
        top, left, bottom, right = grid.all_spans(field.device if isinstance(field, Tensor) else None)
        result = result / _real((bottom - top)[:, :, None] * (right - left)[:, None])
    return result


def _difference(field: Any, dim: int, length: int, window: Window) -> Any:
    """End minus begin of every window along one axis of integral images, arrays or tensors; slices, far faster than
    gathers."""

    def cut(lines: Any, begin: int, end: int) -> Any:
        return lines[:, begin:end] if dim == 1 else lines[:, :, begin:end]

    n = field.shape[dim] - 1
    if window == "inside":
        return cut(field, length, n + 1) - cut(field, 0, n - length + 1)
    before, after = min(length // 2, n), min(length - length // 2, n)
    whole = n - after + 1  # windows that end before the border, or just there; the others are cut off
    result = (torch if isinstance(field, Tensor) else np).empty_like(cut(field, 0, n))
    cut(result, 0, whole)[:] = cut(field, after, n + 1)
    cut(result, whole, n)[:] = cut(field, n, n + 1)
    begun = cut(result, before, n)
    begun -= cut(field, 0, n - before)
    return result


def check_quantile(quantile: float) -> float:
    """``quantile`` itself, if it can be one."""
    if isinstance(quantile, bool) or not (isinstance(quantile, Real) and 0 < float(quantile) <= 1):
        raise UserError(f"quantile={quantile!r}: give the share of windows that may be erased, 0 < quantile <= 1")
    return quantile


def thresholds(
    integral: Tensor, size: Size, quantile: float, window: Window = "clipped", reduce: Reduce = "sum"
) -> Tensor:
    """The quantile τ of each image's window scores: the ⌈τ n⌉-th smallest of n scores, no interpolation.

    So a share of at least τ of the windows scores at most the threshold, and more than 1 − τ at least it (ties belong
    to both). quantile: 0 < τ ≤ 1. Returns (N,), float64 for means, else int32.
    """
    return _thresholds(integral, Grid.of(integral, size, window), check_quantile(quantile), reduce)


def _thresholds(integral: Tensor, grid: Grid, quantile: float, reduce: Reduce) -> Tensor:
    if integral.device.type != "cpu" or _checked(reduce) == "max":
        return _order_statistic(_scores(integral, grid, reduce), grid, quantile)
    field, result = integral.numpy(), np.empty(len(integral), np.float64 if reduce == "mean" else np.int32)
    for rows, part in _parts(integral, grid):
        values = _sums(field[rows], part, reduce)
        result[rows] = _at_quantile(values.reshape(len(values), -1), quantile)
    return torch.from_numpy(result)


def _parts(integral: Tensor, grid: Grid) -> Iterator[tuple[slice, Grid]]:
    """A batch on a CPU in parts whose windows are of one size: image by image where every image has its own, since
    slices are far faster than gathers."""
    if not isinstance(grid.h, Tensor):
        return ((rows, grid) for rows in chunks(integral))
    sizes = zip(grid.h[:, 0].tolist(), grid.w[:, 0].tolist(), strict=True)
    return ((slice(i, i + 1), Grid(grid.height, grid.width, h, w, grid.window)) for i, (h, w) in enumerate(sizes))


def _order_statistic(grids: Tensor, grid: Grid, quantile: float) -> Tensor:
    values = grids.flatten(1)
    if grid.ragged:
        count = grid.shape[0] * grid.shape[1]
        place = (quantile * count.double() - 1e-9).ceil().long().clamp_min(1) - 1
        empty = values.shape[1] - count  # cells of -1, which come first
        if values.device.type == "cpu":
            values.numpy().sort(1)  # vectorised in NumPy, 20 to 60 times faster
        else:
            values = values.sort(1).values
        return values.gather(1, empty + place)[:, 0]
    if values.device.type != "cpu":
        return values.kthvalue(_place(quantile, values.shape[1]) + 1, 1).values
    return torch.from_numpy(_at_quantile(values.numpy(), quantile))


def _at_quantile(values: np.ndarray, quantile: float) -> np.ndarray:
    """The quantile of each row, which is partly sorted for it: 18 times faster than torch's kthvalue."""
    place = _place(quantile, values.shape[1])
    if 2 * np.count_nonzero(values) < values.size:  # of many equal values a partition takes up to 25 times as long
        values.sort(1)
    else:
        values.partition(place, axis=1)
    return values[:, place]


def _place(quantile: float, count: int) -> int:
    # 0.07 · 100 is a little more than 7 in binary: the decimal number is meant.
    return max(1, math.ceil(float(quantile) * count - 1e-9)) - 1


def sample(
    integral: Tensor,
    size: Size,
    u: Tensor,
    *,
    quantile: float | None = None,
    keep: Literal["low", "high"] = "low",
    window: Window = "clipped",
    reduce: Reduce = "sum",
    threshold: Tensor | None = None,
    positive: bool = False,
    nearest: bool = True,
) -> Tensor:
    """One window per image, drawn uniformly among those accepted: IPF-RDA's Algorithm 2 without its rejection loop.

    u: (N, D) float64 uniforms in [0, 1), best D = `DRAWS` from `randomness.uniform(n, DRAWS)`.
    quantile: the threshold is `thresholds(…, quantile)`; or give it as ``threshold``, (N,) in the units of `scores`
    (from `thresholds`, or absolute from `in_levels`); neither: every window is accepted.
    keep: "low" accepts scores ≤ threshold (what may be erased), "high" ≥ (what is worth keeping).
    positive: accept only scores > 0, unless the whole map is zero.

    nearest: where a given threshold accepts no window, accept those that come nearest to it; if False, the box is
    empty there, all zeros.

    Returns (N, 4) int64 boxes on the device of ``integral``, clipped at the border.
    """
    if u.ndim != 2 or len(u) != len(integral) or not u.shape[1]:
        raise UserError(f"u has shape {tuple(u.shape)} for {len(integral)} maps: give randomness.uniform(n, DRAWS)")
    if keep not in ("low", "high"):
        raise UserError(f"keep={keep!r}: give 'low' or 'high'")
    if quantile is not None and threshold is not None:
        raise UserError(f"both quantile={quantile} and threshold are given: give one of them")
    grid = Grid.of(integral, size, window)
    u = u.to(integral.device, torch.float64, non_blocking=True)
    on_cpu = integral.device.type == "cpu"  # there NumPy's calls on arrays as small as these cost a third of torch's
    if quantile is None and threshold is None and not positive:
        if on_cpu:
            grid = grid.arrays()
            return torch.from_numpy(np.concatenate(grid.spans(*_cells(grid, u[:, :1].numpy())), 1))
        return torch.cat(grid.spans(*_cells(grid, u[:, :1])), 1)
    # A largest value costs as much for one window as for all, so then all are looked at once.
    values = _scores(integral, grid, reduce) if reduce == "max" else None
    if quantile is not None:
        threshold = (
            _thresholds(integral, grid, check_quantile(quantile), reduce)
            if values is None
            else _order_statistic(values.clone(), grid, check_quantile(quantile))
        )
    accept = _Acceptance.of(integral, threshold, keep, positive, nearest)

    def all_of(rows: Tensor | slice) -> Tensor:
        return _scores(integral[rows], grid.rows_of(rows), reduce) if values is None else values[rows]

    if u.shape[1] == 1:
        return _enumerate(all_of(slice(None)), grid, accept, u)
    field = integral if values is None else values
    if not on_cpu:  # whether the exact draw is needed cannot be known without waiting
        boxes, found = _try(torch.arange(len(u), device=u.device), field, grid, reduce, accept, u[:, :-1])
        return torch.where(found[:, None], boxes, _enumerate(all_of(slice(None)), grid, accept, u[:, -1:]))
    arrays = np.arange(len(u)), field.numpy(), grid.arrays(), reduce, accept.arrays(), u[:, :-1].numpy()
    boxes, found = _try(*arrays)
    boxes = torch.from_numpy(boxes)
    if not found.all():
        rows = torch.from_numpy(np.flatnonzero(~found))
        boxes[rows] = _enumerate(all_of(rows), grid.rows_of(rows), accept.rows_of(rows), u[rows, -1:])
    return boxes


def _cells(grid: Grid, u: Any) -> tuple[Any, Any]:
    """Uniform cells of the grid, rows and columns, from one number each: a digit in base rows, then the rest."""
    rows, columns = grid.shape
    down = u * rows
    row = _whole(down)  # a double below 1, times a whole number, stays below that number
    return row, _whole((down - row) * columns)


def _try(image: Any, field: Any, grid: Grid, reduce: Reduce, accept: _Acceptance, u: Any) -> tuple[Any, Any]:
    """The first accepted window among those that the columns of u choose, (N, 4), and whether there is one, (N,).

    image: 0 … N−1; field: integral images, for ``reduce="max"`` the scores of all windows. All arrays or all tensors.
    """
    cells = _cells(grid, u)
    top, left, bottom, right = spans = grid.spans(*cells)
    _, lines, line = field.shape
    start = (image * (lines * line))[:, None]
    if reduce == "max":
        values = field.take(start + cells[0] * line + cells[1])
    else:
        above, below = top * line + start, bottom * line + start
        values = field.take(below + right) - field.take(below + left)
        values = values - field.take(above + right) + field.take(above + left)
    accepted = accept(values / _real((bottom - top) * (right - left)) if reduce == "mean" else values)
    first = _whole(accepted).argmax(1) + image * u.shape[1]
    stack = torch.stack if isinstance(first, Tensor) else np.stack
    return stack([side.take(first) for side in spans], 1), accepted.take(first)


def _whole(values: Any) -> Any:
    return values.long() if isinstance(values, Tensor) else values.astype(np.int64)


def _real(values: Any) -> Any:
    return values.double() if isinstance(values, Tensor) else values.astype(np.float64)


@dataclass(frozen=True)
class _Acceptance:
    """Which scores are accepted. threshold: (N, 1) or None; zero: (N, 1) bool, the map is empty, or None (no rule);
    nearest: where none would be accepted, take those nearest to the threshold."""

    threshold: Any
    zero: Any
    low: bool
    nearest: bool

    @classmethod
    def of(cls, integral: Tensor, threshold: Tensor | None, keep: str, positive: bool, nearest: bool) -> _Acceptance:
        if threshold is not None:
            if threshold.shape != integral.shape[:1]:
                raise UserError(f"threshold has shape {tuple(threshold.shape)}: give one per map, ({len(integral)},)")
            threshold = threshold.to(integral.device, non_blocking=True)[:, None]
            threshold = threshold.double() if threshold.is_floating_point() else threshold
        zero = integral[:, -1, -1:] == 0 if positive else None
        return cls(threshold, zero, keep == "low", nearest)

    def rows_of(self, rows: Tensor) -> _Acceptance:
        threshold, zero = (None if t is None else t[rows] for t in (self.threshold, self.zero))
        return replace(self, threshold=threshold, zero=zero)

    def arrays(self) -> _Acceptance:
        """The same with arrays for tensors."""
        threshold, zero = (None if t is None else t.numpy() for t in (self.threshold, self.zero))
        return replace(self, threshold=threshold, zero=zero)

    def eligible(self, values: Any) -> Any:
        """(N, K) bool: the cell holds a window, and one above zero where that is asked for."""
        return values >= 0 if self.zero is None else (values > 0) | ((values == 0) & self.zero)

    def __call__(self, values: Any) -> Any:
        """(N, K) scores of windows -> (N, K) bool."""
        if self.threshold is None:
            return self.eligible(values)
        within = values <= self.threshold if self.low else values >= self.threshold
        return within if self.zero is None else within & self.eligible(values)

    def relaxed(self, values: Tensor) -> Tensor:
        """As the call, on all windows of an image, but the nearest ones are accepted where none would be."""
        eligible = self.eligible(values)
        if self.threshold is None:
            return eligible
        if not self.nearest:
            return eligible & self(values)
        if self.low:
            nearest = values.masked_fill(~eligible, torch.iinfo(torch.int32).max).amin(1, keepdim=True)
            return eligible & (values <= self.threshold.maximum(nearest))
        nearest = values.masked_fill(~eligible, -1).amax(1, keepdim=True)
        return eligible & (values >= self.threshold.minimum(nearest))


def _enumerate(values: Tensor, grid: Grid, accept: _Acceptance, u: Tensor) -> Tensor:
    """The exact draw: of all scores (N, R, C) count the accepted ones, take the one of rank ⌊u · count⌋: (N, 4)."""
    columns = values.shape[2]
    count = accept.relaxed(values.flatten(1)).cumsum(1, dtype=torch.int32)
    rank = (u * count[:, -1:]).int()
    cell = torch.searchsorted(count, rank + 1).clamp_max(count.shape[1] - 1)
    return torch.cat(grid.spans(cell // columns, cell % columns), 1) * (count[:, -1:] > 0)

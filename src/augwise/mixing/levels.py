"""Masks of a few levels on a grid, smooth where it costs little: the problem that PuzzleMix solves by graph cuts.

Every site i of a grid takes a level k_i in 0 ... M, z_i = k_i / M, and

    E(k) = Σ_i Σ_{j <= k_i} s_ij + Σ_(i, i') w_ii' (z_i - z_i')²

with slopes s_i1 <= ... <= s_iM, what each step up costs at a site, and couplings w >= 0 between neighbours. Both parts
are convex, and that is used twice. The linear relaxation has no gap (an exact graph exists: Ishikawa, PAMI 2003), so
tree-reweighted message passing (Wainwright, Jaakkola and Willsky, IEEE Trans. Inf. Theory 2005) heads for the true
minimum. And a message, itself convex, is M slopes: the infimal convolution that makes it takes the middle M of the 3 M
slopes that meet, by minima and maxima alone. All sites of all images send at once.

How close that comes is measured by `benchmarks.mixing_solvers`, against the exact graph cut.

Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DAMPING = 0.2  # of the messages: without it some maps swing between two masks
_CACHED = 1 << 15  # slopes solved at once on a CPU: their messages are what its second-level cache holds


def minimise(slopes: Tensor, down: Tensor, right: Tensor, iterations: int | None = None) -> Tensor:
    """Levels that minimise E, nearly: (N, h, w) int64 in 0 ... M. Never worse than one level, 0 or M, everywhere.

    slopes: (M, N, h, w) float32, ascending in M at every site; down: w between a site and the one below it, >= 0,
    (N, h - 1, w); right: the same to its right, (N, h, w - 1). iterations: each carries a message one site further; by
    default h + w + 4. Without coupling the result is exact, the number of negative slopes, and so it is on trees.
    """
    count, n, height, width = slopes.shape
    if iterations is None:
        iterations = height + width + 4
    step = max(1, _CACHED // max(1, count * height * width)) if slopes.device.type == "cpu" else max(1, n)
    parts = []
    for first in range(0, n, step):
        rows = slice(first, first + step)
        found = _solve(slopes[:, rows].contiguous(), down[rows], right[rows], iterations)
        parts.append(_or_one_level(found, slopes[:, rows], down[rows], right[rows]))
    return torch.cat(parts) if parts else torch.zeros(0, height, width, dtype=torch.int64, device=slopes.device)


def energy(levels: Tensor, slopes: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """E of each mask, (N,) float64; arguments as for `minimise`. Level 0 everywhere has E = 0."""
    count = len(slopes)
    steps = torch.arange(count, device=levels.device).view(-1, 1, 1, 1)
    own = (slopes.double() * (levels > steps)).sum((0, 2, 3))
    z = levels.double() / count
    return own + (down * z.diff(dim=1).square()).sum((1, 2)) + (right * z.diff(dim=2).square()).sum((1, 2))


def _solve(slopes: Tensor, down: Tensor, right: Tensor, iterations: int) -> Tensor:
    """Message passing. What a site has heard is kept by axis and by the side it came from: (M, 2, 2, N h w).

    The grids lie one after the other in one row, so that a neighbour is a step along it and no slice is cut up. Steps
    over a border have coupling 0 and say exactly 0.
    """
    count, n, height, width = slopes.shape
    edges = 2 * height * width - height - width
    share = (height * width - 1) / edges if edges else 1.0  # of the grid's spanning trees, those that hold an edge
    coupling = slopes.new_zeros(2, 2, n, height, width)  # to the neighbour on that side
    coupling[0, 0, :, 1:], coupling[0, 1, :, :-1] = down, down
    coupling[1, 0, :, :, 1:], coupling[1, 1, :, :, :-1] = right, right
    coupling = coupling.flatten(2)
    bends = [coupling * ((2 * k - 1) / (count * count * share)) for k in range(1 - count, count + 1)]
    slopes = slopes.flatten(1)
    heard = slopes.new_zeros(count, 2, 2, n * height * width)
    own, told = torch.empty_like(heard), torch.empty_like(heard)
    ways = [(heard[:, axis, 0, step:], told[:, axis, 1, :-step]) for axis, step in ((0, width), (1, 1))]
    ways += [(heard[:, axis, 1, :-step], told[:, axis, 0, step:]) for axis, step in ((0, width), (1, 1))]
    sides = [heard[:, axis, side] for axis in (0, 1) for side in (0, 1)]
    known = torch.empty_like(slopes)
    for _ in range(iterations):
        # A site tells its neighbour what it knows from all others.
        torch.sub(_known(slopes, sides, share, known)[:, None, None], heard, out=own)
        _convolve(own, bends, told)
        for ear, mouth in ways:
            ear.lerp_(mouth, 1 - _DAMPING)
    return (_known(slopes, sides, share, known) < 0).sum(0).view(n, height, width)


def _known(slopes: Tensor, sides: list[Tensor], share: float, known: Tensor) -> Tensor:
    """Each site's own slopes and what it has heard from all sides, into ``known``; addends one by one, three times as
    fast as a sum over two dimensions."""
    torch.add(sides[0], sides[1], out=known).add_(sides[2]).add_(sides[3])
    return torch.add(slopes, known, alpha=share, out=known)


def _convolve(own: Tensor, bends: list[Tensor], told: Tensor) -> None:
    """Slopes of min_k (f(k) + g(k - l)) over l = 0 ... M: the middle M in the order of f's and g's slopes together.

    own: f's M slopes along dimension 0; bends: g's 2 M slopes; told: where the result goes. All ascend, so the r-th
    smallest of both is the least, over how many it may take from f, of the larger of the two last ones taken; none and
    one together are a clamp.
    """
    count = len(own)
    for r in range(count, 2 * count):
        least = torch.clamp(own[0], bends[r - 1], bends[r], out=told[r - count])
        for taken in range(2, count + 1):
            torch.minimum(least, torch.maximum(own[taken - 1], bends[r - taken]), out=least)


def _or_one_level(levels: Tensor, slopes: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The mask itself, or one level everywhere where that is better."""
    count = len(slopes)
    every = slopes.double().sum((0, 2, 3))
    level = torch.where(every < 0, count, 0)
    better = every.clamp(max=0) < energy(levels, slopes, down, right)
    return torch.where(better[:, None, None], level[:, None, None], levels)

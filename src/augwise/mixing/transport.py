"""Blocks of a picture moved to where the mask shows them: PuzzleMix's transport.

A plan says of every place j which block i_j lies there, a permutation. It pays for what is seen,

    T = Σ_j v_j (ξ |i_j - j|² / (n - 1)² - s_{i_j})

with v_j the share of place j that is seen, s_i the share of the image's saliency in block i, |i - j| in blocks and n
the blocks of the longer side. It is an assignment problem. A block that is hidden pays nothing for lying where it does,
as in the released code, whose plan decides about visible places alone; as printed, every way is paid.

Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

_REACH = 2  # blocks that one swap may bridge; ξ = 0.8 hardly lets a block go further
_LEAST = 1e-7  # of a gain: below it is rounding


def transport(saliency: Tensor, seen: Tensor, cost: float = 0.8, sweeps: int = 1) -> Tensor:
    """A plan of small T, (N, h, w) int64: which block, in reading order, lies at each place. Always a permutation, and
    never worse than leaving all blocks where they are.

    From there pairs of places swap what lies in them where that lowers T: those next to one another first, then up to 2
    blocks apart, as far as the image's most salient block is worth the way; of the swaps of one direction that share a
    place the better one is done.

    saliency: s, (N, h, w); seen: v in [0, 1], (N, h, w); cost: ξ; sweeps: over all distances.
    """
    n, height, width = saliency.shape
    step = cost / max(1, max(height, width) - 1) ** 2
    # Of the block at each place: its saliency less what its way costs, and how far below and to the right its home is.
    state = torch.cat([saliency[None], saliency.new_zeros(2, n, height, width)])
    seen = seen.to(saliency.dtype)
    greatest = saliency.amax((1, 2), keepdim=True)
    for _ in range(sweeps):
        for down, right in _offsets(height, width):
            worth = greatest > step * (down**2 + right**2)
            if saliency.device.type == "cpu" and not worth.any():
                break  # all that follow are further; elsewhere looking would wait for the device
            _swap(state, seen, step, worth, down, right)
    place = torch.arange(height * width, device=saliency.device).view(height, width)
    return place + (state[1] * width + state[2]).long()


def transport_cost(plan: Tensor, saliency: Tensor, seen: Tensor, cost: float = 0.8) -> Tensor:
    """T of each plan, (N,) float64; arguments as for `transport`, plan as it returns it."""
    n, height, width = plan.shape
    place = torch.arange(height * width, device=plan.device).view(height, width)
    down = plan.div(width, rounding_mode="floor") - place.div(width, rounding_mode="floor")
    way = (down.square() + (plan % width - place % width).square()).double() / max(1, max(height, width) - 1) ** 2
    moved = saliency.double().flatten(1).gather(1, plan.flatten(1)).view(n, height, width)
    return (seen.double() * (cost * way - moved)).sum((1, 2))


def _offsets(height: int, width: int) -> list[tuple[int, int]]:
    """Half of the offsets within reach, the other half being the same pairs; the nearest first."""
    reach = range(-_REACH, _REACH + 1)
    half = [(y, x) for y in range(_REACH + 1) for x in reach if (y, x) > (0, 0) and y * y + x * x <= _REACH**2]
    return sorted((o for o in half if o[0] < height and abs(o[1]) < width), key=lambda o: o[0] ** 2 + o[1] ** 2)


def _swap(state: Tensor, seen: Tensor, step: float, worth: Tensor, down: int, right: int) -> None:
    """Swap, in place, what lies at places p and p + (down, right), where T falls by it."""
    height, width = seen.shape[1:]
    p = (..., slice(0, height - down), slice(max(0, -right), width - max(0, right)))
    q = (..., slice(down, height), slice(max(0, right), width + min(0, right)))
    a, b, v_p, v_q = state[p], state[q], seen[p], seen[q]
    # |r ± o|² = |r|² ± 2 o · r + |o|²: what more a block at p pays at q, and one at q pays at p.
    far, turn = step * (down**2 + right**2), torch.add(state[1] * (2 * step * down), state[2], alpha=2 * step * right)
    there, here = far - turn[p], far + turn[q]
    gain = torch.zeros_like(seen)
    gain[p] = ((v_p - v_q) * (b[0] - a[0])).addcmul_(v_p, here, value=-1).addcmul_(v_q, there, value=-1)
    # Pairs hang together in chains, p, p + o, p + 2 o: one that gains more than both its neighbours is swapped.
    before, after = torch.zeros_like(gain), torch.zeros_like(gain)
    before[q], after[p] = gain[p], gain[q]
    do = ((gain > after.clamp_min_(_LEAST)) & (gain >= before) & worth)[p]
    here, there = (
        torch.stack([b[0] - here, b[1] + down, b[2] + right]),
        torch.stack([a[0] - there, a[1] - down, a[2] - right]),
    )
    state[p] = torch.where(do, here, a)
    state[q] = torch.where(do, there, state[q])  # read anew: most places are the p of one pair and the q of another

"""Squares on points, as many as a mask may hold: AdvMask's masks for a whole batch at once.

Tensors in, tensors out; takes its random numbers as arguments and never makes a GPU wait.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

VISITS = 256
"""Uniform numbers per image that `visit_points` is best given: so many points are tried. More than the 104 to 243 key
points of AdvMask's published CIFAR-10 masks, so that all of those are."""


def visit_points(points: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Points in random order: (N, H, W) bool, (N, V) uniforms -> (N, V, 2) int64 rows and columns, (N, V) bool valid.

    Of an image with at most V points each comes once. Of one with more, V are drawn with replacement; for
    `square_masks` that is a random order too, since a point that comes again changes nothing.
    """
    found = points.flatten(1).cumsum(1, dtype=torch.int32)
    count, turn = found[:, -1:], torch.arange(u.shape[1], device=u.device)
    shuffled = u.masked_fill(turn >= count, 2).argsort(1)
    rank = torch.where(count > u.shape[1], (u * count).long(), shuffled)
    place = torch.searchsorted(found, (rank + 1).int()).clamp_max(found.shape[1] - 1)
    width = points.shape[2]
    return torch.stack([place // width, place % width], 2), turn < count


def square_masks(
    visited: tuple[Tensor, Tensor],
    height: int,
    width: int,
    length: Tensor,
    overlap: Tensor,
    target: Tensor,
    most: float,
) -> Tensor:
    """AdvMask's masks (section 3.2), all images at once: (N, height, width) bool, true where hidden.

    Points are visited in the order given. On each stands a square of the image's side l (an even one begins at
    point − l/2), cut off at the border, unless it shares more than ⌊o l²⌋ pixels with a square that stands already, or
    would lift the share hidden above ``most``. An image is finished when the share reaches its target.

    visited: points and validity, from `visit_points`; length: (N,) int64 l; overlap: (N,) o; target: (N,) p, a share of
    the picture, 0 for an image that is to stay as it is; most: p_max.
    """
    state = _start(visited, height, width, length, overlap, target, most)
    if state.mask.device.type != "cpu":  # one would have to wait for the device to learn which images are finished
        for _ in range(state.free.shape[1]):
            state = _next_square(state, torch)
        return state.mask
    # NumPy's calls on arrays as small as these cost a third of torch's.
    state, images = _Masks(*(values.numpy() for values in state)), np.arange(len(length))
    masks = np.zeros_like(state.mask)
    while len(images):
        busy = state.free.any(1)
        if 2 * busy.sum() > len(images):
            state = _next_square(state, np)
        else:  # go on with those alone that are not finished
            masks[images] = state.mask
            state, images = _Masks(*(values[busy] for values in state)), images[busy]
    return torch.from_numpy(masks)


class _Masks(NamedTuple):
    """Masks in the making, (N, …), int32 and bool, all arrays or all tensors.

    mask: (N, H, W) what is hidden, hidden: (N,) how much. Of every visited point (N, V): adds: how many pixels its
    square would hide at least, free: whether it may still be tried, and its square. shared: (N,) most pixels that two
    squares may share; goal, room: (N,) pixels to be hidden at least and at most.
    """

    mask: Any
    hidden: Any
    adds: Any
    free: Any
    top: Any
    left: Any
    bottom: Any
    right: Any
    shared: Any
    goal: Any
    room: Any


def _start(
    visited: tuple[Tensor, Tensor],
    height: int,
    width: int,
    length: Tensor,
    overlap: Tensor,
    target: Tensor,
    most: float,
) -> _Masks:
    """Empty masks, and what each of the points would hide."""
    centre, valid = visited
    device, pixels = centre.device, height * width
    sides = [_sides_of(at, length[:, None], n) for at, n in zip(centre.unbind(2), (height, width), strict=True)]
    (top, bottom), (left, right) = sides
    room = math.floor(most * pixels + 1e-6)  # whole pixels against a share that is a decimal number
    return _Masks(
        mask=torch.zeros(len(centre), height, width, dtype=torch.bool, device=device),
        hidden=torch.zeros(len(centre), dtype=torch.int32, device=device),
        adds=(bottom - top) * (right - left),
        free=valid & (target > 0)[:, None],
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        shared=(overlap * length**2).floor().int(),
        goal=(target * pixels - 1e-6).ceil().int(),
        room=torch.full((len(centre),), room, dtype=torch.int32, device=device),
    )


def _next_square(m: _Masks, xp: Any) -> _Masks:
    """Every mask with the square on its first free point, if that fits. xp: NumPy for arrays, torch for tensors."""
    n, height, width = m.mask.shape
    at = {} if xp is np else {"device": m.mask.device}
    image, y, x = (xp.arange(count, **at) for count in (n, height, width))
    point = m.free.argmax(1) if xp is np else m.free.int().argmax(1)
    top, left, bottom, right = (side[image, point][:, None] for side in (m.top, m.left, m.bottom, m.right))
    together = m.mask | (((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None])
    hidden = together.reshape(n, height * width).sum(1, dtype=xp.int32)
    stands = m.free.any(1) & (hidden <= m.room)
    mask, hidden = xp.where(stands[:, None, None], together, m.mask), xp.where(stands, hidden, m.hidden)
    common = (xp.minimum(m.bottom, bottom) - xp.maximum(m.top, top)).clip(0)
    common *= (xp.minimum(m.right, right) - xp.maximum(m.left, left)).clip(0)
    common *= stands[:, None]
    # What a square shares with each of those that stand is at most what it does not add: where even that is too much,
    # it need not be tried.
    adds = m.adds - common
    free = m.free & (common <= m.shared[:, None]) & (adds <= (m.room - hidden)[:, None]) & (hidden < m.goal)[:, None]
    free[image, point] = False
    return m._replace(mask=mask, hidden=hidden, adds=adds, free=free)


def _sides_of(at: Tensor, length: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Begin and end of an interval of this length about a pixel, cut off at the border, int32."""
    begin = at - length // 2
    return begin.clamp_min(0).int(), (begin + length).clamp_max(n).int()

"""Moving importance maps by what a foreign transform did to coordinates.

Whoever cannot be asked for a matrix can be shown a picture of coordinates: a transform that is handed the three
channels of `grid` tells by what comes out where every pixel it shows was taken from, be it a crop, a zoom, an elastic
warp or a hole. `carry` then moves maps by the law of `augwise.importance_map`: out(u) = in(T(u)) · |det DT(u)|.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..importance_map import MAX_SUPERSAMPLING

_HARDLY = 1e-3  # a pixel of which less than this share comes from the picture shows none of it


def grid(height: int, width: int) -> Tensor:
    """(3, height, width) float32 in [0, 1]: of every pixel centre x / width, y / height, and 1 for "in the picture"."""
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.ones(height, width)])


def carry(maps: Tensor, shown: Tensor) -> Tensor:
    """The maps of the picture that a transform made, when of `grid` it made ``shown``.

    maps: (K, H, W) float; shown: (3, h, w), with 0 in all channels where the result shows nothing of the picture
    (padding, holes). Returns (K, h, w). Evidence that is shown twice (reflected borders) counts once, so that a sum
    never grows; where an input pixel is in the picture with all its neighbours, its evidence is kept exactly.
    """
    height, width = maps.shape[-2:]
    x, y, share = shown.double().unbind(0)
    share = share.clamp(0, 1)
    seen = share > _HARDLY
    x = torch.where(seen, x / share.clamp_min(_HARDLY) * width, 0.0)  # what is half padding was halved, too
    y = torch.where(seen, y / share.clamp_min(_HARDLY) * height, 0.0)
    (xx, yx), (xy, yy) = _slope(x, y, seen, 1), _slope(x, y, seen, 0)
    weight = share * (xx * yy - xy * yx).abs()
    if not bool(seen.any()):
        return maps.new_zeros(len(maps), *x.shape)
    longest = float(torch.maximum(torch.hypot(xx, yx), torch.hypot(xy, yy))[seen].quantile(0.99))
    k = min(max(math.ceil(longest / 1.25), 1), MAX_SUPERSAMPLING)
    places = [(i + 0.5) / k - 0.5 for i in range(k)]
    parts = [
        _corners(x + xx * dx + xy * dy, y + yx * dx + yy * dy, weight / k**2, height, width)
        for dy in places
        for dx in places
    ]
    indices, weights = (torch.stack(t) for t in zip(*parts, strict=True))  # (k², 4, h, w)
    covered = torch.zeros(height * width, dtype=torch.float64).index_add_(0, indices.flatten(), weights.flatten())
    flat = maps.double().flatten(1) * _once(covered.view(height, width)).flatten()
    moved = (flat[:, indices.flatten()] * weights.flatten()).view(len(maps), *weights.shape).sum((1, 2))
    return moved.to(maps.dtype)


def _slope(x: Tensor, y: Tensor, seen: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """How far (x, y) moves per pixel along ``dim``: of the two steps before a pixel and the two after it the one that
    is most like the rest of the picture, so that neither a border (where a resize stands still for half a pixel) nor a
    seam between two pieces counts as a stretch."""
    x, y, seen = (t.movedim(dim, 0) for t in (x, y, seen))
    steps = torch.stack([x.diff(dim=0), y.diff(dim=0)])
    whole = seen[:-1] & seen[1:]
    length = steps.norm(dim=0)
    usual = length[whole].median() if bool(whole.any()) else torch.ones((), dtype=torch.float64)
    strange = torch.where(whole, (length - usual).abs(), torch.inf)
    n = len(x)
    # Step i leads from pixel i to pixel i + 1; beyond the ends there is none.
    padded = torch.nn.functional.pad(strange, (0, 0, 2, 2), value=torch.inf)
    least, which = torch.stack([padded[k : k + n] for k in (1, 2, 0, 3)]).min(0)
    at = torch.arange(n)[:, None] + torch.tensor([-1, 0, -2, 1])[which]
    alone = torch.isinf(least)  # a pixel without neighbours is taken to be as large as the others
    straight = usual * torch.tensor([dim == 1, dim == 0])
    if n == 1:
        chosen = straight[:, None, None].expand(2, *x.shape)
    else:
        chosen = steps.gather(1, at.clamp(0, n - 2).expand(2, *x.shape))
        chosen = torch.where(alone, straight[:, None, None], chosen)
    return chosen[0].movedim(0, dim), chosen[1].movedim(0, dim)


def _corners(x: Tensor, y: Tensor, weight: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat indices and weights (4, h, w) of the four pixels around each place, bilinear; the border goes on."""
    left, top = (x - 0.5).floor(), (y - 0.5).floor()
    right_share, low_share = x - 0.5 - left, y - 0.5 - top
    indices, weights = [], []
    for down in (0, 1):
        for across in (0, 1):
            row = (top + down).clamp(0, height - 1).long()
            column = (left + across).clamp(0, width - 1).long()
            indices.append(row * width + column)
            share = (low_share if down else 1 - low_share) * (right_share if across else 1 - right_share)
            weights.append(share * weight)
    return torch.stack(indices), torch.stack(weights)


def _once(covered: Tensor) -> Tensor:
    """What to multiply each input pixel by so that it counts for what is visible of it: 1 / coverage where it is
    covered more than once, or wholly (all its neighbours are in the picture as well) and only the grid rounds."""
    around = torch.nn.functional.pad((covered > 0.5)[None, None].double(), (1, 1, 1, 1), value=1.0)
    whole = -torch.nn.functional.max_pool2d(-around, 3, stride=1)[0, 0] > 0.5
    fixed = whole | (covered > 1)
    return torch.where(fixed, 1 / covered.clamp_min(0.25), 1.0)

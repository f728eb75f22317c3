"""Masks of several pictures at once, each of blocks of several images, and no image in too many: Co-Mixup's problem.

Of K images, J pictures are made on a grid of n blocks. z_js, over the K images and of sum 1, says what picture j shows
in block s; o_j = Σ_s z_js counts. Up to a constant

    F(z) = Σ_j [ Σ_s c_s · z_js + β/(2 n) Σ_(s,t) |z_js - z_jt|² ] + γ/n Σ_j Σ_k o_jk h((A Σ_(i≠j) o_i)_k)

with c the cost of an image in a block, its negative saliency; smooth masks; and the price of an image that the other
pictures show already, h(x) = x above τ n and 0 up to it (Kim, Choo, Jeong and Song, ICLR 2021, section 3, with the
threshold for every image on its own as in the released code). A weighs pairs of images. The price is supermodular; as
in the paper one picture after the other is solved with the price of what the others show now, which is linear. Where
the paper then cuts a graph per picture, here the masks of all groups of images are solved together by mean field under
falling temperature (Parisi 1988): one matrix product and one softmax a step.

Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_WARM, _COOLING, _STEPS = 0.32, 0.6, 3  # first temperature in units of a block's mean saliency, its fall, how often
_SETTLING = 3  # last iterations, in which a picture takes in only images that others show in half a picture at most
_BLENDING = 3  # last iterations, in which a block may show two images half and half
_PARTING = 2  # last iterations, in which pictures that showed the same images before them are told to part
_BONUS = 5e-4  # what half and half is preferred by, as released


class Weights(NamedTuple):
    """β, γ and τ of the objective, as published for the whole grid."""

    beta: float = 0.32
    gamma: float = 1.0
    threshold: float = 0.83


def joint_cost(masks: Tensor, cost: Tensor, pairs: Tensor, size: tuple[int, int], weights: Weights) -> Tensor:
    """F of each group of pictures, (P,) of the masks' type.

    masks: z, (P, J, n, K); cost: c, (P, n, K); pairs: A, (P, K, K); size: rows and columns of the grid, n in all.
    """
    n = cost.shape[1]
    grid = masks.unflatten(2, size)
    rough = grid.diff(dim=2).square().sum((1, 2, 3, 4)) + grid.diff(dim=3).square().sum((1, 2, 3, 4))
    counts = masks.sum(2)
    others = (counts.sum(1, keepdim=True) - counts) @ pairs.mT
    price = torch.where(others > weights.threshold * n, others, 0)
    shown = (cost[:, None] * masks).sum((1, 2, 3))
    return shown + weights.beta / (2 * n) * rough + weights.gamma / n * (price * counts).sum((1, 2))


def joint_masks(
    cost: Tensor,
    pairs: Tensor,
    start: Tensor,
    size: tuple[int, int],
    weights: Weights,
    iterations: int = 5,
    blend: bool = True,
    distinct: bool = True,
) -> Tensor:
    """Masks of small F, (P, J, n, K) float32: every block one image, or two half and half.

    cost: c, (P, n, K) float32; pairs: A, (P, K, K); start: (P, J, n, K) masks to begin with, which must differ from one
    another; one of zeros stands for no picture and stays. size: rows and columns; iterations: over all J pictures;
    blend: whether two images may share a block. distinct: of two pictures of the same images, charge one γ / n a block
    for the first of them in the last iterations and the other for the second, as released, so that they part; no part
    of F.
    """
    n = cost.shape[1]
    counts = start.sum(2)
    # Blocks last, (P, K, n): softmax over the images and the product with the neighbours take half the time.
    cost, masks = cost.mT.contiguous(), start.mT.contiguous()
    present = (counts.sum(2) > 0).to(cost.dtype)[..., None, None].expand(-1, -1, 1, n)
    neighbours = _neighbours(*size, cost)
    total, most, few = counts.sum(1), cost.new_tensor(weights.threshold * n), cost.new_tensor(n / 2)
    bonus = _BONUS + weights.beta / (4 * n) * neighbours.sum(1)  # |z|² is 1/2: a smaller step to anything
    pairs_of_three = torch.combinations(torch.arange(min(3, cost.shape[1]), device=cost.device))
    blend = blend and len(pairs_of_three) > 0
    charge = torch.zeros_like(counts)
    pictures = list(zip(masks.unbind(1), counts.unbind(1), present.unbind(1), charge.unbind(1), strict=True))
    for left in range(iterations, 0, -1):
        if distinct and left == _PARTING:
            charge.copy_(_parted(counts)).mul_(weights.gamma / n)
        for mask, count, there, charged in pictures:
            total -= count
            seen = torch.bmm(pairs, total[..., None])
            limit = most if left > _SETTLING else torch.where(count[..., None] > 0, most, few)
            now = torch.add(cost, seen * (seen > limit), alpha=2 * weights.gamma / n)
            if left <= _PARTING:
                now += charged[..., None]
            value = _values(now, neighbours, weights.beta / n)
            best, which = value.max(1, keepdim=True)
            mask.zero_().scatter_(1, which, there)
            if blend and left <= _BLENDING:
                _share(value, best, bonus, pairs_of_three, count, mask)
            total += torch.sum(mask, 2, out=count)
    return masks.mT


def own_pictures(counts: Tensor, present: Tensor) -> Tensor:
    """Which picture to call whose: (P, K) int64, for each image of a group one picture, no two the same.

    counts: (P, K, K) how much picture j shows of image k; present: (P, K) bool, images that exist, to which pictures
    that exist go. The largest count is settled first, then the largest of what is left.
    """
    size = counts.shape[1]
    known = present[:, :, None] & present[:, None]
    spare = ~present[:, :, None] & ~present[:, None]
    left = torch.where(known, counts, torch.where(spare, -1.0, -2.0))
    picture = torch.zeros(counts.shape[:2], dtype=torch.int64, device=counts.device)
    for _ in range(size):
        best = left.flatten(1).argmax(1, keepdim=True)
        j, k = best.div(size, rounding_mode="floor"), best % size
        picture.scatter_(1, k, j)
        left.scatter_(1, j[:, :, None].expand(-1, -1, size), -3.0)
        left.scatter_(2, k[:, None].expand(-1, size, -1), -3.0)
    return picture


def _neighbours(rows: int, columns: int, like: Tensor) -> Tensor:
    """(n, n): 1 where two blocks meet."""
    place = torch.arange(rows * columns, device=like.device)
    y, x = place.div(columns, rounding_mode="floor"), place % columns
    apart = (y[:, None] - y).abs() + (x[:, None] - x).abs()
    return (apart == 1).to(like.dtype)


def _values(cost: Tensor, neighbours: Tensor, beta: float) -> Tensor:
    """What each image is worth in each block, (P, K, n), given what the neighbours are likely to show."""
    heat, rows = _WARM / cost.shape[2], cost.flatten(0, 1)
    soft = (cost * (-1 / heat)).softmax(1)
    for _ in range(_STEPS - 1):
        heat *= _COOLING
        told = torch.addmm(rows, soft.flatten(0, 1), neighbours, beta=-1 / heat, alpha=beta / heat)
        soft = told.view_as(cost).softmax(1)
    return torch.addmm(rows, soft.flatten(0, 1), neighbours, beta=-1, alpha=beta).view_as(cost)


def _share(value: Tensor, alone: Tensor, bonus: Tensor, pairs: Tensor, counts: Tensor, mask: Tensor) -> None:
    """Let blocks show two of the three images that the picture showed most of, half and half, where that is better.

    value: (P, K, n); alone: (P, 1, n), the best of one image; bonus: (n,) what half and half is preferred by; pairs:
    (pairs, 2) of ranks, the smaller first; counts: (P, K) what the picture showed; mask: (P, K, n) what it is to show,
    changed in place.
    """
    shown, which = counts.topk(min(3, counts.shape[1]), 1)
    both = which.index_select(1, pairs.flatten()).unflatten(1, pairs.shape)
    halves = counts.new_zeros(len(counts), len(pairs), counts.shape[1]).scatter_(2, both, 0.5)
    unseen = shown.index_select(1, pairs[:, 1])[..., None] == 0
    best, pair = torch.bmm(halves, value).add_(bonus).masked_fill_(unseen, -torch.inf).max(1, keepdim=True)
    shared = halves.mT.gather(2, pair.expand_as(mask))
    mask.copy_(torch.where(best > alone, shared, mask))


def _parted(counts: Tensor) -> Tensor:
    """(P, J, K): 1 for the image that a picture is to do without since another picture shows the same ones."""
    shown = counts > 0
    same = (shown[:, :, None] == shown[:, None]).all(3)
    later = same.triu(1).any(2)
    earlier = same.tril(-1).any(2)
    first = shown & (shown.cumsum(2) == 1)
    second = shown & (shown.cumsum(2) == 2)
    several = shown.sum(2) > 1
    avoid = (first & (later & several)[..., None]) | (second & (earlier & several)[..., None])
    return avoid.to(counts.dtype)

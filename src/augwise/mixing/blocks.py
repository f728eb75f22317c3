"""A picture as a grid of blocks: sums over blocks, pixels of blocks, and pictures made of other pictures' pixels.

Pixel y of H belongs to block row ⌊y h / H⌋ of h, so any number of blocks up to H goes, equal in size where h divides H.
Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def block_of(pixels: int, blocks: int, device: torch.device | None = None) -> Tensor:
    """(pixels,) int64: which of ``blocks`` each pixel of a side belongs to; none is empty where blocks <= pixels."""
    return (torch.arange(pixels, device=device) * blocks).div(pixels, rounding_mode="floor")


def block_means(values: Tensor, height: int, width: int) -> Tensor:
    """Means over the blocks of a grid: (..., H, W) float -> (..., height, width)."""
    high, wide = values.shape[-2:]
    if (high, wide) == (height, width):
        return values
    if high % height or wide % width or not values.numel():
        rows, columns = _members(high, height, values), _members(wide, width, values)
        return rows / rows.sum(1, keepdim=True) @ (values @ (columns / columns.sum(1, keepdim=True)).T)
    return F.avg_pool2d(values, (high // height, wide // width))


def block_sums(values: Tensor, height: int, width: int) -> Tensor:
    """Sums over the blocks of a grid: (..., H, W) float -> (..., height, width)."""
    high, wide = values.shape[-2:]
    if high % height or wide % width:
        return _members(high, height, values) @ (values @ _members(wide, width, values).T)
    return block_means(values, height, width) * (high // height * (wide // width))


def block_areas(size: tuple[int, int], height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(height, width) float64: each block's share of the pixels of a picture of this size; they sum to 1."""
    rows = torch.bincount(block_of(size[0], height, device), minlength=height).double() / size[0]
    columns = torch.bincount(block_of(size[1], width, device), minlength=width).double() / size[1]
    return rows[:, None] * columns


def shares(maps: Tensor, height: int, width: int) -> Tensor:
    """How much of each map lies in each block, (N, height, width) float32; a map's shares sum to 1, and of a map of
    zeros, of which nothing is known, all are equal."""
    sums = block_sums(maps.float(), height, width)
    total = sums.sum((1, 2), keepdim=True)
    return torch.where(total > 0, sums / torch.where(total > 0, total, 1.0), 1 / (height * width))


def to_pixels(blocks: Tensor, height: int, width: int) -> Tensor:
    """Every pixel's block's value: (..., h, w) -> (..., height, width)."""
    rows = block_of(height, blocks.shape[-2], blocks.device)
    columns = block_of(width, blocks.shape[-1], blocks.device)
    return blocks.index_select(-2, rows).index_select(-1, columns)


def pick(images: Tensor, rows: Tensor, pixels: Tensor) -> Tensor:
    """Pictures whose every pixel comes from some place of some image.

    images: (N, C, H, W), or maps (N, H, W); rows: which image, int64; pixels: which of its H W pixels in reading order,
    int64; the two broadcast to (M, H W). Returns (M, C, H, W) or (M, H, W).
    """
    size = images.shape[-2] * images.shape[-1]
    channels = images.shape[1] if images.ndim == 4 else 1
    index = rows * (channels * size) + pixels
    index = index[:, None] + size * torch.arange(channels, device=images.device)[:, None]
    chosen = images.reshape(-1).index_select(0, index.flatten())  # twice as fast as take
    return chosen.view(len(index), *images.shape[1:])


def blended(ours: Tensor, theirs: Tensor, share: Tensor) -> Tensor:
    """(1 - z) ours + z theirs, of their type; exact where z is 0 or 1, integers are rounded.

    ours, theirs: (N, C, H, W), or maps (N, H, W); share: z, (N, H, W).
    """
    exact = torch.float64 if ours.dtype == torch.float64 else torch.float32
    share = (share[:, None] if ours.ndim == 4 else share).to(exact)
    mixed = ours.to(exact).lerp(theirs.to(exact), share)
    return (mixed if ours.is_floating_point() else mixed.round_()).to(ours.dtype)


def _members(pixels: int, blocks: int, like: Tensor) -> Tensor:
    """(blocks, pixels) of the type of ``like``: 1 where a pixel belongs to a block."""
    return (block_of(pixels, blocks, like.device) == torch.arange(blocks, device=like.device)[:, None]).to(like.dtype)

"""Shears, translations and rotations of a batch, one matrix per image, and the maps that follow them.

One grid serves all images, made as torchvision makes its grid for one: matrices in float64 and then in the images'
type, a base grid centred on the picture, divided by half a side, `bmm`. Any other order of rounding (`affine_grid`, a
grid in float64) tips pixels that lie halfway between two. Pure functions of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..importance_map import MAX_SUPERSAMPLING

NAMES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")

_CACHED = 1 << 17  # elements of maps worked on at once on a CPU: what its second-level cache holds


def inverse_matrices(names: Sequence[str], magnitudes: Tensor, height: int, width: int) -> Tensor:
    """(N, 2, 3) float64 on the CPU: where in its input each output pixel of image i looks, (x, y) from the middle.

    names: N of `NAMES`; magnitudes: (N,) float64, see `operations.apply_operations`. Shears leave the top left corner
    of the image where it is, rotations its middle. The numbers are those of torchvision's `affine` and `rotate`.
    """
    m = magnitudes.numpy()
    of = np.array([NAMES.index(name) for name in names])
    shears = np.radians(np.degrees(np.arctan(np.where(of < 2, m, 0.0))))
    shear_x, shear_y = np.where(of == 0, shears, 0.0), np.where(of == 1, shears, 0.0)
    shift = np.where((of == 2) | (of == 3), np.trunc(m), 0.0)
    shift_x, shift_y = np.where(of == 2, shift, 0.0), np.where(of == 3, shift, 0.0)
    turn = np.radians(np.where(of == 4, -np.mod(m, 360.0), 0.0))
    centre_x, centre_y = np.where(of < 2, -width / 2, 0.0), np.where(of < 2, -height / 2, 0.0)
    a = np.cos(turn - shear_y) / np.cos(shear_y)
    b = -(a * np.tan(shear_x) + np.sin(turn))
    c = np.sin(turn - shear_y) / np.cos(shear_y)
    d = np.cos(turn) - c * np.tan(shear_x)
    to_x, to_y = centre_x + shift_x, centre_y + shift_y
    rows = [[d, -b, centre_x - d * to_x + b * to_y], [-c, a, centre_y + c * to_x - a * to_y]]
    return torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1))


def warp(images: Tensor, matrices: Tensor, interpolation: str, colour: Tensor | None) -> Tensor:
    """Image i seen through ``matrices[i]``; of uint8 images whole levels as floats.

    images: (N, C, H, W) uint8, float32 or float64; matrices: see `inverse_matrices`; interpolation: "nearest" or
    "bilinear"; colour: (C,) of what lies beyond the border, in the units of the images, or None: black.
    """
    pictures = images if images.is_floating_point() else images.float()
    if colour is not None:
        pictures = torch.cat([pictures, torch.ones_like(pictures[:, :1])], 1)
    seen = _sample(pictures, matrices, interpolation)
    if colour is not None:
        seen, inside = seen[:, :-1], seen[:, -1:]
        beyond = colour.to(seen.dtype)[:, None, None]
        if interpolation == "nearest":
            seen = torch.where(inside < 0.5, beyond, seen)
        else:
            seen = (seen - beyond) * inside + beyond
    return seen if images.is_floating_point() else seen.round_()


def warp_maps(maps: Tensor, matrices: Tensor) -> Tensor:
    """Maps (N, H, W) moved by the same matrices, each with the sum of what stays in its picture.

    The law of `ImportanceMap`, out(u) = in(T(u)) |det DT|, where |det DT| = 1: bilinear on the image's own grid, k²
    samples a pixel where a shear steps over more than 1.25 pixels, nothing from beyond the border; one factor per map
    takes out what the grid rounds. Moves by whole pixels are exact.
    """
    moved = torch.empty_like(maps)
    samples = _samples(matrices)
    for k in sorted(set(samples)):
        rows = torch.tensor([i for i, count in enumerate(samples) if count == k])
        there = rows.to(maps.device, non_blocking=True)
        kernel = partial(_follow, samples=k) if k else _shift
        moved.index_copy_(0, there, _in_chunks(kernel, maps.index_select(0, there), matrices[rows]))
    return moved


def _samples(matrices: Tensor) -> list[int]:
    """Samples per pixel and direction that each map needs; 0 for a move by whole pixels."""
    a, b, c, d = matrices[:, :, :2].flatten(1).unbind(1)
    squares, area = a**2 + b**2 + c**2 + d**2, a * d - b * c
    step = ((squares + (squares**2 - 4 * area**2).clamp_min(0).sqrt()) / 2).sqrt()  # the largest singular value
    whole = (matrices[:, :, :2] == torch.eye(2, dtype=torch.float64)).flatten(1).all(1)
    return (step / 1.25).ceil().clamp(1, MAX_SUPERSAMPLING).masked_fill(whole, 0).int().tolist()


def _shift(maps: Tensor, matrices: Tensor) -> Tensor:
    return _sample(maps[:, None], matrices, "nearest")[:, 0]


def _follow(maps: Tensor, matrices: Tensor, samples: int) -> Tensor:
    places = [(i + 0.5) / samples - 0.5 for i in range(samples)]
    moved = torch.zeros_like(maps)
    for dx, dy in product(places, places):
        moved += _sample(maps[:, None], matrices, "bilinear", dx, dy)[:, 0]
    wanted, found = (maps * _visible(matrices, maps)).sum((1, 2)), moved.sum((1, 2))
    factor = torch.where(found > 0, wanted / torch.where(found > 0, found, 1), 0)
    return moved.mul_(factor[:, None, None])


def _visible(matrices: Tensor, maps: Tensor) -> Tensor:
    """(N, H, W): how much of each input pixel lands in the picture: one inside, zero outside, a ramp one pixel wide."""
    forward = torch.linalg.inv(matrices[:, :, :2])
    forward = torch.cat([forward, -forward @ matrices[:, :, 2:]], 2)
    x, y = _places(forward, maps)
    height, width = maps.shape[-2:]
    across, down = ((side + 1) / 2 - place.abs_() for place, side in ((x, width), (y, height)))
    return across.clamp_(0, 1).mul_(down.clamp_(0, 1))


def _sample(pictures: Tensor, matrices: Tensor, mode: str, dx: float = 0.0, dy: float = 0.0) -> Tensor:
    """Pictures (N, C, H, W) through their matrices, each output pixel at (dx, dy) from its middle; zero beyond."""
    height, width = pictures.shape[-2:]
    halves = torch.tensor([[0.5 * width], [0.5 * height]], dtype=pictures.dtype)
    scaled = matrices.to(pictures.dtype) / halves
    if pictures.device.type == "cpu":
        base = _base_grid(height, width, dx, dy, pictures.dtype).expand(len(pictures), -1, -1)
        grid = base.bmm(scaled.mT).view(-1, height, width, 2)
    else:  # not `bmm`: reduced precision of products, which training likes, would tear the picture
        grid = torch.stack(_places(scaled, pictures, dx, dy), -1)
    return grid_sample(pictures, grid, mode, "zeros", align_corners=False)


@lru_cache(maxsize=16)
def _base_grid(height: int, width: int, dx: float, dy: float, dtype: torch.dtype) -> Tensor:
    """(1, H·W, 3) on the CPU: (x, y, 1) of every place, read only."""
    grid = torch.ones(height, width, 3, dtype=dtype)
    grid[..., 0] = torch.arange(width, dtype=dtype) - (width - 1) / 2 + dx
    grid[..., 1] = (torch.arange(height, dtype=dtype) - (height - 1) / 2 + dy)[:, None]
    return grid.view(1, -1, 3)


def _places(matrices: Tensor, like: Tensor, dx: float = 0.0, dy: float = 0.0) -> tuple[Tensor, Tensor]:
    """(N, H, W) x and y to which each matrix sends every pixel."""
    entries = matrices.to(like.dtype).to(like.device, non_blocking=True)[..., None, None]
    x, y = _axes(like)
    x, y = x + dx, (y + dy)[:, None]
    first, second = (row[:, 0] * x + (row[:, 1] * y + row[:, 2]) for row in entries.unbind(1))
    return first, second


def _axes(like: Tensor) -> tuple[Tensor, Tensor]:
    """(W,) x and (H,) y of the pixels, counted from the middle of the picture."""
    height, width = like.shape[-2:]
    x, y = ((torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2) for n in (width, height))
    return x, y


def _in_chunks(kernel: Callable[[Tensor, Tensor], Tensor], maps: Tensor, matrices: Tensor) -> Tensor:
    """The kernel on all maps, or on a CPU on as many at a time as its cache holds."""
    step = max(1, _CACHED // maps[0].numel())
    if maps.device.type != "cpu" or step >= len(maps):
        return kernel(maps, matrices)
    return torch.cat([kernel(*part) for part in zip(maps.split(step), matrices.split(step), strict=True)])

"""The operations of the AutoAugment family on a batch, every image with an operation and a magnitude of its own.

Pure functions: images, maps and host-side numbers in, images and maps out. Which image gets which operation is known
on the host, so the batch is sorted by operation there and each family is computed once for all of its images; on a GPU
nothing waits for the device. On the CPU the results are those of torchvision's v2 kernels applied image by image, uint8
pixel by pixel. The arithmetic stands in `operation_geometry` and `operation_colour`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .. import regions
from ..errors import UserError
from . import operation_colour, operation_geometry
from .base import colour

Interpolation = Literal["nearest", "bilinear"]

OPERATIONS = (
    "Identity",
    *operation_geometry.NAMES,
    *operation_colour.NAMES,
    "Cutout",
)
"""Every operation; a policy's parameters name it by its place here. Families stand side by side."""

IDENTITY = OPERATIONS.index("Identity")
_CUTOUT = OPERATIONS.index("Cutout")
_GEOMETRIC = range(1, 1 + len(operation_geometry.NAMES))
_GREY = (125 / 255, 123 / 255, 114 / 255)
_LUMINANCE = 123 / 255


class _Run(NamedTuple):
    """Rows ``start:stop`` of the sorted batch, all with one operation."""

    operation: int
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)


def apply_operations(
    images: Tensor,
    importance: Tensor | None,
    operations: Tensor,
    magnitudes: Tensor,
    places: Tensor | None = None,
    interpolation: Interpolation = "nearest",
    fill: float | Sequence[float] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """One operation per image: image i becomes ``OPERATIONS[operations[i]]`` of itself at ``magnitudes[i]``.

    images: (N, C, H, W) uint8 or float in [0, 1], C = 1 or 3; importance: (N, H, W) or None.
    operations: (N,) int64, magnitudes: (N,) float64, both on the CPU. A magnitude is what torchvision's policies hand
    to their operation, the sign included: ShearX, ShearY the slope; TranslateX, TranslateY pixels (the fraction is
    dropped); Rotate degrees, counter-clockwise; Brightness, Color, Contrast, Sharpness m for the factor 1 + m >= 0;
    Posterize the bits that are kept, 0 to 8 (the fraction is dropped); Solarize the threshold as a share of white;
    Cutout the side of the square in pixels. Identity, AutoContrast, Equalize and Invert have none.
    places: (N, 2) float64 uniforms in [0, 1), of Cutout alone: where the centre of its square lies, y then x.
    interpolation: of the geometric ones, "nearest" or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black, as torchvision's None.

    The map follows the geometric operations by the law of `ImportanceMap`, with its mass; it becomes 0 where Cutout
    erases (in grey, as Fast AutoAugment's release does); colour operations leave it alone. Float16 and bfloat16 are
    computed in float32. Returns new tensors, or those given where nothing changes.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(f"the images have {images.shape[1]} channels: operations of colour are defined for 1 or 3")
    order, runs = _sorted(operations, magnitudes)
    if not order:
        return images, importance
    index = torch.tensor(order)
    strengths = magnitudes[index]
    on_device = index.to(images.device, non_blocking=True)
    picked = images.index_select(0, on_device)
    work = picked if picked.element_size() != 2 else picked.float()
    moved = None if importance is None else importance.index_select(0, on_device)
    shapes = [r for r in runs if r.operation in _GEOMETRIC]
    if shapes:
        rows = slice(shapes[0].start, shapes[-1].stop)
        names = [OPERATIONS[r.operation] for r in shapes for _ in range(r.start, r.stop)]
        matrices = operation_geometry.inverse_matrices(names, strengths[rows], *images.shape[-2:])
        colours = None if fill is None else colour(fill, work)
        work[rows] = operation_geometry.warp(work[rows], matrices, interpolation, colours)
        if moved is not None:
            moved[rows] = operation_geometry.warp_maps(moved[rows], matrices)
    coloured = [(OPERATIONS[r.operation], r.rows) for r in runs if _GEOMETRIC.stop <= r.operation < _CUTOUT]
    if coloured:
        operation_colour.recolour_(work, coloured, strengths)
    if runs[-1].operation == _CUTOUT:
        rows = runs[-1].rows
        if places is None:
            raise UserError("Cutout needs places: give (N, 2) uniform numbers, y then x")
        boxes = cutout_boxes(strengths[rows], places[index[rows]], *images.shape[-2:])
        grey = colour(_GREY if images.shape[1] == 3 else _LUMINANCE, work)
        work[rows] = regions.fill_boxes(work[rows], boxes, grey[None, :, None, None])
        if moved is not None:
            moved[rows] = regions.fill_boxes(moved[rows], boxes, 0)
    if moved is not None and importance is not None:
        importance = importance.index_copy(0, on_device, moved)
    return images.index_copy(0, on_device, work.to(images.dtype)), importance


def geometry_of(operations: Tensor) -> Tensor:
    """The operations with everything that moves no pixel replaced by Identity."""
    geometric = (operations >= _GEOMETRIC.start) & (operations < _GEOMETRIC.stop)
    return torch.where(geometric, operations, IDENTITY)


def cutout_boxes(sides: Tensor, places: Tensor, height: int, width: int) -> Tensor:
    """The squares of the operation Cutout, (N, 4) int64 (top, left, bottom, right), cut off at the border.

    sides: (N,) pixels; places: (N, 2) uniforms, the centre, y then x. As in Fast AutoAugment's release the corner is
    rounded down to whole pixels and the last pixel counts as inside, so a square is a pixel larger than its side.
    """
    size = torch.tensor([height, width], dtype=torch.float64)
    corner = (places * size - sides[:, None] / 2).clamp_min(0).floor()
    end = torch.minimum((corner + sides[:, None]).floor() + 1, size)
    return torch.cat([corner, end], 1).long()


def _sorted(operations: Tensor, magnitudes: Tensor) -> tuple[list[int], list[_Run]]:
    """The images that change at all, those of one operation side by side."""
    given = list(zip(operations.tolist(), magnitudes.tolist(), range(len(operations)), strict=True))
    changing = sorted((op, row) for op, magnitude, row in given if op != IDENTITY and not _still(op, magnitude))
    runs, start = [], 0
    for op, members in groupby(op for op, _ in changing):
        stop = start + sum(1 for _ in members)
        runs.append(_Run(op, start, stop))
        start = stop
    return [row for _, row in changing], runs


def _still(operation: int, magnitude: float) -> bool:
    """Whether a geometric operation moves nothing, or a square has no side."""
    if operation in _GEOMETRIC:
        return (int(magnitude) if OPERATIONS[operation].startswith("Translate") else magnitude) == 0
    return operation == _CUTOUT and magnitude <= 0

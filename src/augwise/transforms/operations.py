"""The operations of the AutoAugment family on a batch, every image with an operation and a magnitude of its own.

Pure functions: images, maps and host-side numbers in, images and maps out. Which image gets which operation is known
on the host, so the batch is sorted by operation there and each kind is computed for all of its images at once; on a GPU
nothing waits for the device. On the CPU the results are those of torchvision's v2 kernels applied image by image, uint8
pixel by pixel. The arithmetic stands in `operation_geometry` and `operation_colour`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .. import regions
from ..boxes import as_array
from ..errors import UserError
from . import operation_colour, operation_geometry
from .base import colour

Interpolation = Literal["nearest", "bilinear"]

OPERATIONS = ("Identity", *operation_geometry.NAMES, *operation_colour.NAMES, "Cutout")
"""Every operation; a policy's parameters name it by its place here."""

IDENTITY = OPERATIONS.index("Identity")
_GEOMETRIC = range(1, 1 + len(operation_geometry.NAMES))
_GREY = (125 / 255, 123 / 255, 114 / 255)
_LUMINANCE = 123 / 255
_CACHED = 1 << 17  # elements worked on at once on a CPU: what its second-level cache holds


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
    places: (N, 2) float64 uniforms in [0, 1), for Cutout alone: where the centre of its square lies, y then x.
    interpolation: of the geometric ones, "nearest" or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black, as torchvision's None.

    The map follows the geometric operations by the law of `ImportanceMap`, with its mass; it becomes 0 where Cutout
    erases (in grey, as Fast AutoAugment's release does); colour operations leave it alone. Float16 and bfloat16 are
    computed in float32. Returns new tensors, or those given where nothing changes.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(f"the images have {images.shape[1]} channels: operations of colour are defined for 1 or 3")
    order, kinds = _sorted(operations, magnitudes)
    if all(kind == "Identity" for kind, _ in kinds):
        return images, importance
    index = torch.tensor(order)
    operations, magnitudes, places = operations[index], magnitudes[index], None if places is None else places[index]
    there = index.to(images.device, non_blocking=True)
    result, moved = torch.empty_like(images), None if importance is None else importance.clone()
    for kind, rows in kinds:
        if kind == "geometry":
            work = _geometry(operations[rows], magnitudes[rows], images, interpolation, fill)
        elif kind == "Cutout":
            if places is None:
                raise UserError("Cutout needs places: give (N, 2) uniform numbers in [0, 1), y then x")
            work = _cutout(magnitudes[rows], places[rows], images)
        else:
            work = _colour(kind, magnitudes[rows])
        if moved is not None and work.on_maps is not None:
            _put(moved, there[rows], work.on_maps(moved.index_select(0, there[rows])))
        for part in _parts(images, rows):
            alone = part.stop - part.start == 1
            source = images[order[part.start]][None] if alone else images.index_select(0, there[part])
            wide = source.float() if source.is_floating_point() and source.element_size() == 2 else source
            within = slice(part.start - rows.start, part.stop - rows.start)
            _put(result, there[part], work.on_images(wide, within))
    return result, moved


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


class _Work(NamedTuple):
    """What is done to the images of one kind, given some of them and which these are, and to their maps.

    The results are new tensors or the images themselves; of uint8 images also the levels as floats, in [0, 255].
    """

    on_images: Callable[[Tensor, slice], Tensor]
    on_maps: Callable[[Tensor], Tensor] | None = None


def _geometry(
    operations: Tensor,
    magnitudes: Tensor,
    images: Tensor,
    interpolation: Interpolation,
    fill: float | Sequence[float] | None,
) -> _Work:
    names = [OPERATIONS[op] for op in operations.tolist()]
    matrices = operation_geometry.inverse_matrices(names, magnitudes, *images.shape[-2:])

    def warp(images: Tensor, which: slice) -> Tensor:
        beyond = None if fill is None else colour(fill, images)
        return operation_geometry.warp(images, matrices[which], interpolation, beyond)

    return _Work(warp, partial(operation_geometry.warp_maps, matrices=matrices))


def _colour(name: str, magnitudes: Tensor) -> _Work:
    if name == "Identity":
        return _Work(lambda images, _: images)
    return _Work(lambda images, which: operation_colour.recolour(images, name, magnitudes[which]))


def _cutout(sides: Tensor, places: Tensor, images: Tensor) -> _Work:
    boxes = cutout_boxes(sides, places, *images.shape[-2:])
    fill = _GREY if images.shape[1] == 3 else _LUMINANCE

    def erase(images: Tensor, which: slice) -> Tensor:
        return regions.fill_boxes(images, boxes[which], colour(fill, images)[None, :, None, None])

    return _Work(erase, lambda maps: regions.fill_boxes(maps, boxes, 0))


def _sorted(operations: Tensor, magnitudes: Tensor) -> tuple[list[int], list[tuple[str, slice]]]:
    """The rows of the batch, those of one kind side by side, and where each kind stands: "geometry", or a name.

    An operation that changes nothing counts as Identity.
    """
    given = zip(operations.tolist(), magnitudes.tolist(), strict=True)
    effective = [IDENTITY if _still(op, magnitude) else op for op, magnitude in given]
    order = sorted(range(len(effective)), key=effective.__getitem__)
    kinds, start = [], 0
    for kind, rows in groupby(order, key=lambda row: _kind(effective[row])):
        stop = start + sum(1 for _ in rows)
        kinds.append((kind, slice(start, stop)))
        start = stop
    return order, kinds


def _kind(operation: int) -> str:
    return "geometry" if operation in _GEOMETRIC else OPERATIONS[operation]


def _still(operation: int, magnitude: float) -> bool:
    """Whether a geometric operation moves nothing, or a square has no side."""
    name = OPERATIONS[operation]
    if operation in _GEOMETRIC:
        return (int(magnitude) if name.startswith("Translate") else magnitude) == 0
    return name == "Cutout" and magnitude <= 0


def _parts(images: Tensor, rows: slice) -> Iterator[slice]:
    """The rows, on a CPU in slices of as many images as its cache holds."""
    step = rows.stop - rows.start
    if images.device.type == "cpu":
        step = max(1, min(step, _CACHED // images[0].numel()))
    return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))


def _put(target: Tensor, rows: Tensor, values: Tensor) -> None:
    """Write the values into these rows; a fraction of a level is dropped."""
    if target.device.type != "cpu" or values.requires_grad:
        target.index_copy_(0, rows, values.to(target.dtype))
        return
    # NumPy is five times faster than torch at this, the conversion included.
    as_array(target)[rows.numpy()] = as_array(values.to(target.dtype) if target.dtype == torch.bfloat16 else values)

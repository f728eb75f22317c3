"""Boxes of pixels: sums, masks, filling and pasting, one box per image of a batch.

On a CPU each box is a slice of memory, on a GPU the batch is one masked operation without a host sync; callers see no
difference. A box is (top, left, bottom, right), the last two exclusive. Touches the tensors it is given, in place only
where asked. `regions` draws the boxes and offers these functions under its own name too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def box_sums(values: Tensor, boxes: Tensor) -> Tensor:
    """Sum of each map inside its box: (N, H, W), (N, 4) -> (N,) float64, summed in float64."""
    values = values.as_subclass(Tensor)
    height, width = values.shape[1:]
    if height * width > 4096 and _slices(values) and values.dtype != torch.bfloat16:
        result = torch.empty(len(values), dtype=torch.float64)
        for i, (top, left, bottom, right) in enumerate(boxes.tolist()):
            result[i] = float(values[i, top:bottom, left:right].sum(dtype=torch.float64))
        return result
    rows, columns = box_spans(boxes.to(values.device, non_blocking=True), height, width)
    return ((rows.double()[:, None] @ values.double())[:, 0] * columns).sum(1)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, 4) boxes -> (N, height, width) bool, true inside the box."""
    rows, columns = box_spans(boxes, height, width)
    return rows[:, :, None] & columns[:, None]


def box_spans(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows and the columns that boxes (..., 4) reach over: (..., height) and (..., width) bool."""
    y, x = (torch.arange(n, device=boxes.device) for n in (height, width))
    top, left, bottom, right = boxes[..., None].unbind(-2)
    return (y >= top) & (y < bottom), (x >= left) & (x < right)


def fill_boxes(images: Tensor, boxes: Tensor, colour: Tensor | float, inplace: bool = False) -> Tensor:
    """The images with one box each filled: (N, C, H, W) or (N, H, W), boxes (N, 4).

    colour: a number, or a tensor that broadcasts against the images with height and width 1, so (N, C, 1, 1) is a
    colour per image; rounded where the images are integers. Returns a new tensor, or ``images``, changed, if in place.
    """
    images = images.as_subclass(Tensor)
    if isinstance(colour, Tensor):
        colour = colour.detach().as_subclass(Tensor)
        if colour.is_floating_point() and not images.is_floating_point():
            colour = colour.round()
        colour = colour.to(images.device, images.dtype, non_blocking=True)
    else:
        colour = colour if images.is_floating_point() else round(colour)
        colour = torch.full((), colour, dtype=images.dtype, device=images.device)
    if not _slices(images):
        mask = _like(box_mask(boxes.to(images.device, non_blocking=True), *images.shape[-2:]), images)
        filled = torch.where(mask, colour, images)
        return images.copy_(filled) if inplace else filled
    result = images if inplace else images.clone()
    colours = as_array(colour.expand(*images.shape[:-2], 1, 1))
    filled = as_array(result)
    if images.ndim == 3:
        filled, colours = filled[:, None], colours[:, None]
    # Slices in NumPy: an erased 224 px batch takes 2 ms so, 16 ms by a mask, and a torch slice costs five times more.
    for image, value, (top, left, bottom, right) in zip(filled, colours, boxes.tolist(), strict=True):
        image[:, top:bottom, left:right] = value
    return result


def paste_boxes(
    target: Tensor,
    source: Tensor,
    boxes: Tensor,
    source_corner: Tensor | None = None,
    inplace: bool = False,
    source_rows: Tensor | None = None,
) -> Tensor:
    """The target with one box each taken from the source: (N, C, H, W) or (N, H, W) both, boxes (N, 4) in the target.

    source_corner: (N, 2) top and left of a region of equal size in the source; default is the same place.
    source_rows: (N,) which image of the source image i takes its box from; default is image i, and in a mixer the
    partner, which spares a shuffled copy of the batch.
    Returns a new tensor, or ``target``, changed, if in place; then ``source`` must not share its memory.
    """
    target, source = target.as_subclass(Tensor), source.as_subclass(Tensor).to(target.dtype)
    corner = boxes[:, :2] if source_corner is None else source_corner
    if not _slices(target, source):
        source = (
            source if source_rows is None else source.index_select(0, source_rows.to(source.device, non_blocking=True))
        )
        boxes, corner = (t.to(target.device, non_blocking=True) for t in (boxes, corner))
        mask = _like(box_mask(boxes, *target.shape[-2:]), target)
        pasted = torch.where(mask, source if source_corner is None else _shifted(source, target, boxes, corner), target)
        return target.copy_(pasted) if inplace else pasted
    result = target if inplace else target.clone()
    rows = range(len(target)) if source_rows is None else source_rows.tolist()
    images, others = as_array(result), as_array(source)
    if images.ndim == 3:
        images, others = images[:, None], others[:, None]
    # In plain loops: of a small image the bookkeeping costs as much as the pixels.
    if source_corner is None:
        for i, (row, (top, left, bottom, right)) in enumerate(zip(rows, boxes.tolist(), strict=True)):
            if bottom > top:
                images[i, :, top:bottom, left:right] = others[row, :, top:bottom, left:right]
        return result
    places = zip(rows, boxes.tolist(), corner.tolist(), strict=True)
    for i, (row, (top, left, bottom, right), (y, x)) in enumerate(places):
        if bottom > top:
            images[i, :, top:bottom, left:right] = others[row, :, y : y + bottom - top, x : x + right - left]
    return result


def _shifted(source: Tensor, target: Tensor, boxes: Tensor, corner: Tensor) -> Tensor:
    """The source moved so that its corner lies at the box's; beyond its border, which no box reaches, its edge."""
    y, x = (torch.arange(n, device=target.device)[None] for n in target.shape[-2:])
    shift = corner - boxes[:, :2]
    y = (y + shift[:, :1]).clamp(0, source.shape[-2] - 1)
    x = (x + shift[:, 1:]).clamp(0, source.shape[-1] - 1)
    places = _like(y[:, :, None] * source.shape[-1] + x[:, None], target).flatten(-2)
    moved = source.flatten(-2).gather(-1, places.expand(*source.shape[:-2], -1))
    return moved.view(*source.shape[:-2], *target.shape[-2:])


def _like(mask: Tensor, images: Tensor) -> Tensor:
    return mask[:, None] if images.ndim == 4 else mask


def _slices(*tensors: Tensor) -> bool:
    """True where the box of each image is quickest written by a slice: on a CPU, outside autograd."""
    return all(t.device.type == "cpu" and not t.requires_grad for t in tensors)


def as_array(tensor: Tensor) -> np.ndarray:
    """The memory of a tensor on the CPU as an array; NumPy has no bfloat16, of which it gets the bits as int16."""
    return tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()

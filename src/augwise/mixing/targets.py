"""What else may come with an image: masks, which are mixed as its pixels are, and coordinates, which cannot be.

Checks alone; draws nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from ..errors import UserError

_COORDINATES = tuple(getattr(tv_tensors, name) for name in ("BoundingBoxes", "KeyPoints") if hasattr(tv_tensors, name))
_NAMES = {"boxes", "bboxes", "keypoints"}


def refuse_coordinates(name: str, *given: Any) -> None:
    """`UserError` where boxes or keypoints are among what a mixer was given, as tensors of torchvision's types or by
    their usual names in a dictionary."""
    for part in given:
        if isinstance(part, Mapping):
            found = _NAMES & {str(key) for key in part}
            if found:
                _refuse(name, " and ".join(sorted(found)))
            refuse_coordinates(name, *part.values())
        elif isinstance(part, _COORDINATES):
            _refuse(name, type(part).__name__)
        elif isinstance(part, list | tuple):
            refuse_coordinates(name, *part)


def _refuse(name: str, what: str) -> None:
    raise UserError(
        f"{name} got {what}: no coordinates can say what part of an object another image covers or shows through. "
        "Draw them as masks (N, H, W) and give masks= to a mixer that cuts, such as CutMix, or mix images and class "
        "labels alone"
    )


def check_masks(name: str, masks: Any, images: Tensor) -> Tensor:
    """Segmentation masks of the batch as a plain tensor; `UserError` unless they are one integer per pixel."""
    wanted = (len(images), *images.shape[-2:])
    refuse_coordinates(name, masks)
    if not isinstance(masks, Tensor) or tuple(masks.shape) != wanted:
        got = f"shape {tuple(masks.shape)}" if isinstance(masks, Tensor) else f"a {type(masks).__name__}"
        raise UserError(f"{name} got masks of {got}: give one class per pixel, shape {wanted}")
    if masks.is_floating_point() or masks.is_complex():
        raise UserError(f"{name} got masks of type {masks.dtype}: give one class per pixel, of an integer type or bool")
    return masks.as_subclass(torch.Tensor)

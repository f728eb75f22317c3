"""timm's transforms as steps on a `Sample`: what `timm.data.create_transform` puts together.

timm is not imported: its objects are known by the names of their classes and asked for what they drew. They draw from
Python's `random` and NumPy, in the order and with the settings they always have.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ..importance_map import ImportanceMap
from .follow_base import Moved, OnImage, Opaque, Step, as_pil, from_pil

_WARPS = frozenset({"shear_x", "shear_y", "translate_x_rel", "translate_y_rel", "translate_x_abs", "translate_y_abs"})
_MOVING = _WARPS | {"rotate"}
"""timm's operations that move pixels, by the name of their function."""


def timm_step(transform: Any) -> Step:
    """One of timm's transforms as a step."""
    name = type(transform).__name__
    if name in _GEOMETRY:
        return Geometry(transform, _GEOMETRY[name], name)
    if name in ("RandAugment", "AutoAugment"):
        return Policy(transform, name)
    if name == "RandomErasing":
        return Erasing(transform, name)
    if name == "MaybeToTensor":
        return OnImage(v2.ToDtype(torch.float32, scale=True), name)
    if name == "ToTensor":
        return OnImage(v2.ToDtype(transform.dtype), name)
    if name in ("MaybePILToTensor", "ToNumpy"):
        return OnImage(nn.Identity(), name)
    return Opaque(transform, name, pil=True)


# Crops, padding and resizing: the parameters that the transform draws, applied to image and map by v2's functions.


def _resized_crop(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    top, left, height, width = t.get_params(image, t.scale, t.ratio)
    interpolation = _interpolation(t)
    return lambda x: F.resized_crop(x, top, left, height, width, list(t.size), interpolation, antialias=True)


def _resize_keep_ratio(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    size = t.get_params(
        image, t.size, t.longest, t.random_scale_prob, t.random_scale_range, t.random_scale_area,
        t.random_aspect_prob, t.random_aspect_range,
    )  # fmt: skip
    interpolation = _interpolation(t)
    return lambda x: F.resize(x, list(size), interpolation, antialias=True)


def _centre_crop_or_pad(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    del image
    height, width = t.size

    def move(x: Tensor) -> Tensor:
        more = [max(0, side - have) for side, have in zip((width, height), (x.shape[-1], x.shape[-2]), strict=True)]
        if any(more):
            sides = [more[0] // 2, more[1] // 2, (more[0] + 1) // 2, (more[1] + 1) // 2]
            x = F.pad(x, sides, fill=_fill(t), padding_mode=t.padding_mode)
        top, left = (round((have - side) / 2) for side, have in ((height, x.shape[-2]), (width, x.shape[-1])))
        return F.crop(x, top, left, height, width)

    return move


def _random_crop_or_pad(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    top, left = t.get_params(image, t.size)
    height, width = t.size

    def move(x: Tensor) -> Tensor:
        right, bottom = left + width, top + height
        sides = [max(-left, 0), max(-top, 0), max(right - x.shape[-1], 0), max(bottom - x.shape[-2], 0)]
        if any(sides):
            x = F.pad(x, sides, fill=_fill(t), padding_mode=t.padding_mode)
        return F.crop(x, max(top, 0), max(left, 0), height, width)

    return move


def _random_pad(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    sides = list(t.get_params(image, t.input_size))
    return lambda x: F.pad(x, sides, fill=_fill(t))


def _trim_border(t: Any, image: Tensor) -> Callable[[Tensor], Tensor]:
    height, width = image.shape[-2:]
    border = t.border_size
    top = left = min(border, height)
    return lambda x: F.crop(x, top, left, max(0, height - 2 * border), max(0, width - 2 * border))


_GEOMETRY = {
    "RandomResizedCropAndInterpolation": _resized_crop,
    "ResizeKeepRatio": _resize_keep_ratio,
    "CenterCropOrPad": _centre_crop_or_pad,
    "RandomCropOrPad": _random_crop_or_pad,
    "RandomPad": _random_pad,
    "TrimBorder": _trim_border,
}


def _interpolation(t: Any) -> Any:
    return random.choice(t.interpolation) if isinstance(t.interpolation, tuple | list) else t.interpolation


def _fill(t: Any) -> Any:
    return list(t.fill) if isinstance(t.fill, tuple | list) else t.fill


class Geometry(Step):
    """A crop, pad or resize: ``draw(transform, image)`` takes the random numbers and returns what they do."""

    def __init__(self, step: Any, draw: Callable[[Any, Tensor], Callable[[Tensor], Tensor]], name: str) -> None:
        super().__init__(step, name)
        self.draw = draw

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        move = self.draw(self.step, image)
        return move(image), None if maps is None else move(ImportanceMap(maps)).as_subclass(Tensor)


class Policy(Step):
    """timm's RandAugment or AutoAugment on a PIL copy; the map follows its shears, translations and rotations.

    Each is done to the map as it was done to the image, bilinear and with nothing from beyond the border: they keep
    areas, so no density changes. The pixels are those of the untouched policy under the same random numbers.
    """

    def __init__(self, step: Any, name: str) -> None:
        super().__init__(step, name)
        held = getattr(step, "ops", None) or [op for part in step.policy for op in part]
        self.operations = list({id(op): op for op in held}.values())

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        drawn: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        functions = [op.aug_fn for op in self.operations]

        def recorder(function: Callable[..., Any]) -> Callable[..., Any]:
            def recorded(picture: Any, *arguments: Any, **options: Any) -> Any:
                drawn.append((function, arguments))
                return function(picture, *arguments, **options)

            return recorded

        for op, function in zip(self.operations, functions, strict=True):
            op.aug_fn = recorder(function)
        try:
            result = from_pil(self.step(as_pil(image)), image)
        finally:
            for op, function in zip(self.operations, functions, strict=True):
                op.aug_fn = function
        moves = [(function, arguments) for function, arguments in drawn if function.__name__ in _MOVING]
        if maps is not None and moves:
            maps = torch.stack([_replayed(each, moves) for each in maps])
        return result, maps


def _replayed(importance: Tensor, moves: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> Tensor:
    from PIL import Image

    picture = Image.fromarray(importance.float().numpy())  # mode F
    for function, arguments in moves:
        picture = function(picture, *arguments, resample=Image.Resampling.BILINEAR, fillcolor=0)
    return torch.from_numpy(np.array(picture)).to(importance.dtype)


class Erasing(Step):
    """timm's RandomErasing: the map becomes 0 where the image was erased.

    Where it erases it draws from `random` alone, so it is asked a second time with the same numbers and a blank.
    """

    def __init__(self, step: Any, name: str) -> None:
        super().__init__(step, name)
        self.marker = copy.copy(step)
        self.marker.per_pixel = self.marker.rand_color = False  # black

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        before = random.getstate()
        image = self.step(image.as_subclass(Tensor))
        if maps is not None:
            after = random.getstate()
            random.setstate(before)
            left = self.marker(torch.ones(1, *image.shape[-2:]))
            random.setstate(after)
            maps = maps * left
        return image, maps

"""Kornia's augmentations, single or in an ImageSequential, as steps on a `Sample`.

Kornia is not imported. After an image has gone through, each geometric augmentation is applied again with the
parameters that it remembers, to a picture of coordinates, and the map follows these: any warp, crop or resize, and
RandomErasing. Kornia works on floats in [0, 1]: uint8 images are turned there and back (after a Normalize: not back).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from . import coordinates
from .follow_base import Moved, Step

_IN_PLACE = ("kornia.filters", "kornia.enhance", "kornia.color")
_BILINEAR = 1  # kornia.constants.Resample.BILINEAR


class Kornia(Step):
    """See the head of this module. Opaque where it holds what has no parameters to apply again (Kornia's policies,
    patches, transplantation, modules of others)."""

    def __init__(self, step: nn.Module, name: str | None = None) -> None:
        super().__init__(step, name)
        kinds = [_kind(leaf) for leaf in _leaves(step)]
        self.opaque = "opaque" in kinds
        self.normalises = any(type(leaf).__name__ in ("Normalize", "Denormalize") for leaf in _leaves(step))

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        plain = image.as_subclass(Tensor)
        pixels = plain if plain.is_floating_point() else plain / 255
        result = self._call(pixels[None])
        if isinstance(result, Tensor) and result.ndim == 4 and len(result) == 1:
            result = result[0]
        if isinstance(result, Tensor) and plain.dtype == torch.uint8 and not self.normalises:
            result = (result * 255).round().clamp(0, 255).to(torch.uint8)
        if maps is not None and not self.opaque:
            before = coordinates.grid(*image.shape[-2:])
            after = _again(self.step, getattr(self.step, "_params", None), before[None])[0]
            if after.shape != before.shape or not torch.equal(after, before):
                maps = coordinates.carry(maps, after)
        return result, maps

    def _call(self, images: Tensor) -> Any:
        if hasattr(self.step, "data_keys"):  # an AugmentationSequential, whatever it was made to expect
            return self.step(images, data_keys=["input"])
        return self.step(images)


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if _is_container(module):
        for child in module.children():
            yield from _leaves(child)
    else:
        yield module


def _is_container(module: nn.Module) -> bool:
    return type(module).__name__ in ("ImageSequential", "AugmentationSequential")


def _kind(leaf: nn.Module) -> str:
    """ "moves", "in place" or "opaque"."""
    bases = {base.__name__ for base in type(leaf).__mro__}
    if "GeometricAugmentationBase2D" in bases or type(leaf).__name__ in ("RandomErasing", "RandomElasticTransform"):
        return "moves"
    if "IntensityAugmentationBase2D" in bases or type(leaf).__module__.startswith(_IN_PLACE):
        return "in place"
    return "moves" if {"AugmentationBase2D", "RigidAffineAugmentationBase2D"} & bases and _warps(leaf) else "opaque"


def _warps(leaf: nn.Module) -> bool:
    return type(leaf).__module__.startswith("kornia.augmentation._2d.geometric")


def _again(module: nn.Module, params: Any, shown: Tensor) -> Tensor:
    """What the module with these parameters makes of a picture of coordinates (1, 3, H, W); colours are left out."""
    if _is_container(module):
        for item in params or []:
            shown = _again(module.get_submodule(item.name), item.data, shown)
        return shown
    if _kind(module) != "moves":
        return shown
    flags = getattr(module, "flags", {})
    options = {"resample": type(flags["resample"])(_BILINEAR)} if "resample" in flags else {}
    if "values" in params:  # what RandomErasing paints; a hole shows nothing
        params = params | {"values": torch.zeros_like(params["values"])}
    result = module(shown, params=params, **options)
    return result if result.ndim == 4 else result[None]
